"""What the gateway needs from the household."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from kith.core.audit import By
from kith.core.clock import Clock
from kith.core.ids import Ids
from kith.core.memory import Fact
from kith.core.model import ChatRequest, Picture
from kith.core.people import Person, Principal
from kith.core.ports import Auth, Hooks, Journal, Line, Models, Outbox, People, Recall, Release, Store, Talk
from kith.core.turn import Turn
from kith.gateway.accounts import Accounts
from kith.runtime.blobs import Blobs
from kith.runtime.health import Health
from kith.runtime.streams import Streams


class Flows(Protocol):
    """The running dialogue flow, as an administrator sees it."""

    def describe(self) -> Mapping[str, Any]:
        """The flow in force, JSON-shaped."""
        ...

    def standing(self, state: Mapping[str, Any], now: float) -> Mapping[str, Any]:
        """Where a dialogue stands, JSON-shaped, from what is kept with its conversation."""
        ...

    def reload(self) -> object:
        """Read the flow's file again. Raises `Invalid` with every mistake; the old flow then stays in force."""
        ...


class Judge(Protocol):
    """The content filter, as a program may ask it."""

    async def judge(self, text: str) -> Mapping[str, float]:
        """How sure it is, in 0..1, that `text` belongs to each category; 0.5 and more is flagged."""
        ...

    async def direct(self, asked: Sequence[str], known: Sequence[str]) -> Release | None:
        """As `kith.core.ports.Guard.direct`."""
        ...


class Budget(Models, Protocol):
    """The models, as long as the day's budget lasts. Raises `Refused` (``budget_spent``)."""

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        ...


class Memory(Protocol):
    """What is remembered of people, for the one it is about. Everything raises `NotFound` for what is not theirs."""

    @property
    def people(self) -> People: ...

    async def mine(self, principal: str) -> Sequence[str]:
        """The ids of the persons that a principal is."""
        ...

    async def facts(self, persons: Sequence[str], *, history: bool = False) -> Sequence[Fact]: ...

    async def remember(self, principal: Principal, text: str) -> Fact: ...

    async def edit(self, persons: Sequence[str], fact: str, text: str, by: By) -> Fact: ...

    async def forget_one(self, persons: Sequence[str], fact: str, by: By) -> int: ...

    async def forget_all(self, persons: Sequence[str], by: By) -> int: ...

    async def export(self, persons: Sequence[str]) -> Mapping[str, Any]: ...

    async def erase(self, persons: Sequence[str], by: By) -> None: ...

    async def link(self, person: str, other: str, by: By) -> Person: ...


class Agenda(Protocol):
    """What people are to be reminded of."""

    async def described(self, person: str) -> Sequence[Mapping[str, Any]]:
        """The reminders of a person, JSON-shaped."""
        ...

    async def cancel(self, reminder: str) -> None: ...

    async def move(self, person: str, name: str) -> None:
        """Keep a person's reminders at their time of day in another time zone. Raises `Refused` for an unknown one."""
        ...


class Personas(Protocol):
    """Who may speak for the household. Names that are not there raise `NotFound`."""

    @property
    def default(self) -> str: ...

    def all(self) -> Sequence[tuple[str, Any]]: ...

    def get(self, name: str) -> Any: ...

    def check(self, raw: bytes, file: str) -> object:
        """Read a persona without keeping it. Raises as `add`."""
        ...

    def add(self, raw: bytes, file: str) -> tuple[str, Any]: ...

    def picture(self, name: str) -> bytes: ...

    def choose(self, name: str) -> str: ...

    def remove(self, name: str) -> str: ...

    async def wear(self, conversation: str, names: Sequence[str]) -> Sequence[str]:
        """Let these speak in a conversation, in turns if they are several; their names."""
        ...


class Prompts(Protocol):
    """What models were shown lately."""

    async def explain(self, turn: str, persons: Sequence[str], models: Models) -> Mapping[str, Any]:
        """The parts of the prompt of a turn of these persons, with their tokens. Raises `NotFound`."""
        ...


class Insight(Protocol):
    """What all conversations show of the dialogue; each answer is JSON-shaped and about the last `days`."""

    async def paths(self, days: float) -> Mapping[str, Any]:
        """The graph of the ways that conversations took."""
        ...

    async def outcomes(self, days: float) -> Mapping[str, Any]:
        """How conversations ended, and how replies were rated."""
        ...

    async def use(self, by: str, days: float) -> Mapping[str, Any]:
        """Turns, tokens and their price ``by`` person, model, channel or persona. Raises `Invalid` for another."""
        ...


class Learning(Protocol):
    """What people think of replies, and what the flow can learn from it."""

    async def turn(self, turn: str) -> Turn:
        """One turn. Raises `NotFound`."""
        ...

    async def rate(self, turn: str, rating: int, note: str, person: str) -> None:
        """Keep what a person thinks of a reply: 1, -1, or 0 to take it back."""
        ...

    async def rated(self, turns: Sequence[str]) -> Mapping[str, int]:
        """What was kept of these turns, 1 or -1; a turn without a rating is absent."""
        ...

    async def unanswered(self, days: float, limit: int) -> Mapping[str, Any]:
        """Questions without a good answer, like ones together, each with a proposal."""
        ...

    async def decide(
        self, question: str, action: Literal["approve", "dismiss"], by: By, intent: str, response: str
    ) -> Mapping[str, Any]:
        """Put a question's phrases into the flow, or never show it again. Raises why not."""
        ...


@runtime_checkable
class Versioning(Protocol):
    """Changing models while they serve: what the port `Models` can do besides where it keeps versions."""

    async def swap(self, name: str, version: str = "", *, drain: bool = False) -> Any:
        """Change a model to a version, by default the newest; returns a dataclass that tells of it. Raises why not."""
        ...

    async def refresh(self) -> Sequence[str]:
        """Take in what was added to the register since; returns the names."""
        ...


@runtime_checkable
class Draws(Protocol):
    """Pictures from words: what the port `Models` can do besides where a model for it is set up."""

    async def draw(self, picture: Picture, model: str = "") -> bytes:
        """A PNG by `model`. Raises as `Models.chat`."""
        ...


@runtime_checkable
class Shelved(Protocol):
    """The models that were added, and why one is asked: what the port `Models` can do besides where it keeps them."""

    async def remove(self, name: str) -> None:
        """Take a model away. Raises `NotFound`, or `Refused` for one of the settings."""
        ...

    async def versions(self, name: str) -> Sequence[Mapping[str, Any]]:
        """What is kept of a model, oldest first."""
        ...

    def route(self, request: ChatRequest, kind: str = "chat") -> Any:
        """Which models would answer, as a dataclass with reasons. Raises when none can."""
        ...


@runtime_checkable
class Branching(Protocol):
    """What the port `Store` can do besides where conversations can be branched."""

    async def branch(self, conversation: str, turn: str, handle: str, *, whole: bool) -> str:
        """Begin a new conversation with what was said up to `turn`; returns its id. Raises `NotFound`, `Invalid`."""
        ...


class Intake(Protocol):
    """Models on their way into the house."""

    def begin(self, source: str, name: str = "") -> Mapping[str, Any]:
        """Begin to fetch a model. Raises `Invalid`, `NotFound` or `Refused`."""
        ...

    def all(self) -> Sequence[Mapping[str, Any]]:
        """What is on its way or was lately, with its progress."""
        ...

    async def cancel(self, coming: str) -> None:
        """Stop one. Raises `NotFound`."""
        ...


class Studio(Protocol):
    """The flow as text, and sentences tried on it. What is wrong with a text is raised as `Invalid`."""

    def source(self) -> Mapping[str, Any]: ...

    def check(self, text: str) -> Mapping[str, Any]: ...

    def write(self, text: str) -> tuple[Mapping[str, Any], str]: ...

    def probe(self, text: str, state: Mapping[str, Any], locale: str) -> Mapping[str, Any]: ...

    def report(self) -> Mapping[str, Any]: ...


class Preferences(Protocol):
    """The settings of the house, as its owner may change them."""

    def describe(self) -> Mapping[str, Any]:
        """Their schema, what the file says with secrets masked, and where the file is."""
        ...

    def section(self, place: str) -> Mapping[str, Any]:
        """The mapping at a dotted path of the file, as it stands there; empty where there is none."""
        ...

    async def change(self, changes: Mapping[str, Any], by: By) -> Sequence[str]:
        """Set keys by their dotted path, or with None take them out; returns what changed. Raises `Invalid`."""
        ...


class Channels(Hooks, Protocol):
    """The channels of the house, as an administrator runs them and as platforms call them."""

    def describe(self) -> Sequence[Mapping[str, Any]]:
        """Every channel there is, and how it is."""
        ...

    def about(self, name: str) -> Mapping[str, Any]:
        """One channel. Raises `NotFound`."""
        ...

    async def conceal(self, name: str, settings: Mapping[str, Any], locale: str = "") -> Mapping[str, Any]:
        """Check a channel's settings and keep their secrets; what may be written down. Raises `Invalid`, in the
        language of `locale` for what is lacking, `NotFound`."""
        ...

    async def kept(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Calls of its platform that were not understood. Raises `NotFound`."""
        ...

    async def configure(self, name: str, settings: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Give a channel its settings and bring it up with them, or with None take it away."""
        ...

    async def command(self, name: str, action: Any) -> Mapping[str, Any]:
        """``start``, ``stop``, ``restart`` or ``test``. Raises `NotFound`, or `Unavailable` with the reason."""
        ...

    async def scan(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin a set-up by a QR code. Raises `NotFound` for a channel without one, `Unavailable`, `Refused`."""
        ...

    async def scanned(self, name: str, scan: str, code: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """How far it is, and once it is done the whole settings. Raises `NotFound`, `Refused`."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayPorts:
    """Everything behind the door. `lines` are the channels that speak over this server's own WebSocket, by name.

    `blobs` holds the pictures of requests for the models that look at them; `cancel` stops the making of a reply.
    """

    talk: Talk
    models: Models
    store: Store
    outbox: Outbox
    auth: Auth
    accounts: Accounts
    journal: Journal
    flows: Flows
    streams: Streams
    health: Health
    lines: Mapping[str, Line]
    clock: Clock
    ids: Ids
    blobs: Blobs = field(default_factory=Blobs)
    judge: Judge | None = None
    purse: Budget | None = None
    knowledge: Recall | None = None
    memory: Memory | None = None
    insight: Insight | None = None
    learning: Learning | None = None
    cancel: Callable[[str], None] | None = None
    intake: Intake | None = None
    preferences: Preferences | None = None
    channels: Channels | None = None
    studio: Studio | None = None
    advise: Callable[[str], Mapping[str, Any]] | None = None
    prompts: Prompts | None = None
    agenda: Agenda | None = None
    personas: Personas | None = None
