"""One turn of a conversation: what was heard, understood, found and said. The unit of storage, audit and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kith.core.message import Delta, Envelope, Message, ToolCall, Usage
from kith.core.people import Parcel


@dataclass(frozen=True, slots=True)
class Entity:
    """A value found in a text: characters `start`:`end` read `text` and mean `value`."""

    name: str
    value: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Understanding:
    """What a message means. `confidence` is in 0..1; `by` names the layer that decided; `others` are more intents."""

    intent: str = ""
    entities: tuple[Entity, ...] = ()
    emotion: str = ""
    confidence: float = 0.0
    by: Literal["", "rule", "classifier", "model"] = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of knowledge that was found, with where it came from. A higher `score` is better.

    `trusted` only where Kith itself, or the person who asks, wrote it; anything else is shown to a model as data.
    """

    text: str
    source: str
    score: float
    title: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One edge of a dialogue's path: from a state, by an intent ("" for none), to a state, and what came of it.

    `outcome`: ``answered``, ``asked`` (for a slot), ``again`` (once more), ``corrected``, ``confirm``, ``done`` (a form
    is complete), ``cancelled``, ``gave_up``, ``expired``, ``queued``, ``passed`` (on to model, tool or knowledge),
    ``handed_over`` or ``unknown``.
    """

    start: str
    intent: str
    end: str
    outcome: str = "answered"


@dataclass(frozen=True, slots=True)
class Turn:
    """The record of one turn. `timings` maps a stage to seconds; `path` is how the dialogue's state moved.

    `fallback` says that `model` answered in the place of the one that was asked; `persona` is the name of who spoke.
    """

    id: str
    conversation: str
    person: str
    at: float
    heard: Message
    spoke: tuple[Message, ...] = ()
    understanding: Understanding = field(default_factory=Understanding)
    passages: tuple[Passage, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    model: str = ""
    fallback: bool = False
    usage: Usage = field(default_factory=Usage)
    timings: Mapping[str, float] = field(default_factory=dict[str, float])
    outcome: Literal["answered", "refused", "failed", "handed_over"] = "answered"
    path: tuple[Step, ...] = ()
    persona: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The inbox's receipt. `duplicate` when the platform had delivered the same message before."""

    id: str
    conversation: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """One worker's lease on one waiting message, until `until`. A later claim on it has a higher `fence`.

    `following` are the ids and envelopes of messages that wait behind it in the same conversation, told by a renewal.
    """

    id: str
    conversation: str
    envelope: Envelope
    worker: str
    fence: int
    until: float
    attempts: int = 1
    following: tuple[tuple[str, Envelope], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is over: what is to be committed with it, in one transaction.

    `joined` are the ids of messages behind the claimed one that it answered too. `thread` is the conversation with
    which the place of the message goes on from now; with the place's own id it goes on alone.
    """

    turn: Turn
    state: Mapping[str, Any]
    parcels: tuple[Parcel, ...] = ()
    joined: tuple[str, ...] = ()
    thread: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: try again at `at`. With `doubt`, a reply that may have been sent before stays in doubt."""

    at: float
    error: str
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Never: kept aside for a person to see."""

    error: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The platform took it; `receipt` is the platform's own id, where it gives one."""

    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """Too old to send: shown, not sent."""


__all__ = [
    "Accepted",
    "Claim",
    "Dead",
    "Delta",
    "Done",
    "Entity",
    "Later",
    "Passage",
    "Sent",
    "Stale",
    "Step",
    "Turn",
    "Understanding",
]
