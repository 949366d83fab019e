"""Who talks, and where: persons, conversations, principals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kith.core.message import Message

Role = Literal["owner", "admin", "member", "guest"]


@dataclass(frozen=True, slots=True)
class Person:
    """A human or a persona. `handles` maps a channel to the address the person has there.

    `timezone` is a name such as ``Asia/Shanghai``, empty for that of the household.
    """

    id: str
    kind: Literal["human", "persona"] = "human"
    name: str = ""
    handles: Mapping[str, str] = field(default_factory=dict[str, str])
    locale: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class Met:
    """A person with how many `turns` their conversations have, and when somebody last spoke in one (`seen`)."""

    person: Person
    turns: int = 0
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """One thread of talk. `state` is the dialogue state: small, JSON-shaped, owned by the dialogue room. `places` are
    the ids of other places of its person that go on with it."""

    id: str
    channel: str
    account: str
    handle: str
    kind: Literal["direct", "group"] = "direct"
    members: tuple[str, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    updated: float = 0.0
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a credential belongs to, and what it may do."""

    id: str
    name: str
    role: Role = "owner"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A reply on its way out. `id` is the idempotency key; `sequence` orders parcels of one conversation.

    `conversation` is that of the place where it goes, `thread` the one in which it was said, if that is another.

    `expires` is the instant after which the reply is shown to a person instead of being sent; 0 means never.
    """

    id: str
    sequence: int
    conversation: str
    channel: str
    account: str
    target: str
    message: Message
    reply_to: str = ""
    state: Literal["waiting", "sending", "sent", "dead", "stale", "dropped"] = "waiting"
    attempts: int = 0
    due: float = 0.0
    expires: float = 0.0
    error: str = ""
    fence: int = 0
    thread: str = ""
