"""A turn in progress, and everything that its stages may ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kith.core.clock import Clock
from kith.core.ids import Ids, person_id
from kith.core.message import Delta, Envelope, Message, Text, ToolCall, Usage
from kith.core.people import Conversation, Person, Principal
from kith.core.ports import Guard, Inbox, Models, People, Recall, Records, Senses, Store, Tools
from kith.core.turn import Claim, Passage, Step, Turn, Understanding
from kith.dialogue.care.measures import Worry
from kith.dialogue.flows.flow import FlowBook
from kith.dialogue.flows.layers import Layers
from kith.dialogue.initiative.agenda import Agenda
from kith.dialogue.memory import Where
from kith.dialogue.mind import Mind
from kith.dialogue.personas.persona import Persona
from kith.dialogue.purse import Purse
from kith.dialogue.session import Session
from kith.dialogue.settings import DialogueSettings
from kith.runtime.blobs import Blobs
from kith.runtime.bus import Bus
from kith.runtime.locale import tr


@dataclass(slots=True)
class Draft:
    """A turn in progress. `history` is given by callers that keep the conversation themselves.

    Once `acted`, a tool was used, which is not done again for another word; once `closing`, the reply is being kept.
    `joined` are the messages behind the claimed one that it answers too; `thread` is the conversation with which this
    place goes on afterwards, if that changes. Once in `danger`, the script is the answer; what is `fixed` is the
    house's own word about danger, which nothing filters or adds to.
    """

    id: str
    envelope: Envelope
    emit: Callable[[Delta], Awaitable[None]]
    claim: Claim | None = None
    history: Sequence[Message] | None = None
    heard: Message = field(init=False)
    principal: Principal | None = None
    person: Person | None = None
    conversation: Conversation | None = None
    session: Session = field(default_factory=Session)
    locale: str = "en"
    understanding: Understanding = field(default_factory=Understanding)
    answer: str | None = None
    recall_for: str = ""
    passages: Sequence[Passage] = ()
    instruction: str = ""
    coda: str = ""
    path: tuple[Step, ...] = ()
    prompt: Sequence[Message] = ()
    work: list[Message] = field(default_factory=list[Message])
    text: str = ""
    pending: tuple[ToolCall, ...] = ()
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    spoke: tuple[Message, ...] = ()
    model: str = ""
    fallback: bool = False
    usage: Usage = field(default_factory=Usage)
    timings: dict[str, float] = field(default_factory=dict[str, float])
    outcome: Any = "answered"
    stopping: bool = False
    acted: bool = False
    closing: bool = False
    joined: tuple[str, ...] = ()
    danger: bool = False
    fixed: bool = False
    worry: Worry = field(default_factory=Worry)
    granted: str = ""
    forgot: bool = False
    where: Where | None = None
    speaker: Persona | None = None
    label: str = ""
    thread: str = ""

    def __post_init__(self) -> None:
        self.heard = self.envelope.message

    def met(self, person: Person, conversation: Conversation) -> tuple[Person, Conversation]:
        """Who speaks, and where. What the house was to say to one alone is not said before those who came since."""
        if self.heard.role == "system" and self.envelope.kind == "direct" and conversation.kind == "group":
            self.answer = tr("dialogue.agenda.private", self.locale)
            self.heard = replace(self.heard, parts=(Text(self.answer),))
        return person, conversation

    @property
    def payer(self) -> str:
        """Whose budget pays: the person's, also where the caller keeps the conversation and nobody was looked up."""
        one = self.envelope
        return self.person.id if self.person else person_id(one.channel, one.account, one.sender)

    def pick(self, options: Sequence[str]) -> str:
        """One of several replies: another one each round."""
        return options[self.session.rounds % len(options)]

    def turn(self) -> Turn:
        """The record of what happened so far."""
        return Turn(
            id=self.id,
            conversation=self.conversation.id if self.conversation else "",
            person=self.person.id if self.person else "",
            at=self.heard.at,
            heard=self.heard,
            spoke=self.spoke,
            understanding=self.understanding,
            passages=tuple(self.passages),
            calls=tuple(self.calls),
            model=self.model,
            fallback=self.fallback,
            usage=self.usage,
            timings=dict(self.timings),
            outcome=self.outcome,
            path=self.path,
            persona=self.speaker.name if self.speaker else "",
        )


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that a stage may ask for, by name."""

    guard: Guard
    store: Store
    inbox: Inbox
    senses: Senses
    flows: FlowBook
    knowledge: Recall
    models: Models
    tools: Tools
    persona: Persona
    settings: DialogueSettings
    bus: Bus
    clock: Clock
    ids: Ids
    records: Records
    people: People
    mind: Mind = field(default_factory=Mind)
    blobs: Blobs = field(default_factory=Blobs)
    layers: Layers = field(init=False)
    agenda: Agenda = field(init=False)
    purse: Purse = field(init=False)

    def __post_init__(self) -> None:
        chosen = self.settings
        purse = Purse(self.models, self.records, self.clock, chosen.budgets, chosen.timezone)
        layers = Layers(purse, self.clock, self.ids, chosen.understanding, chosen.model)
        agenda = Agenda(self.records, self.people, self.inbox, self.clock, chosen.initiative, chosen.timezone)
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "agenda", agenda)
        object.__setattr__(self, "purse", purse)
        if self.mind.memory is not None:
            self.mind.memory.wipe_also(agenda.wipe)
