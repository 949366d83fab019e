"""The ports: what rooms ask of one another. One page; each has 1 to 4 methods.

Every method raises only `KithError`s (see `kith.core.errors`) and may be cancelled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from kith.core.audit import Act, Change, Entry
from kith.core.channel import Hook, HookReply, Welcome
from kith.core.memory import Fact
from kith.core.message import Delta, Envelope, Message, Part, ToolCall, ToolResult
from kith.core.model import ChatRequest, ModelCard, ToolSpec
from kith.core.people import Conversation, Met, Parcel, Person, Principal
from kith.core.turn import Accepted, Claim, Dead, Done, Later, Passage, Sent, Stale, Turn

Accept = Callable[[Envelope], Awaitable[Accepted]]


class Channel(Protocol):
    """One chat platform, under one account."""

    async def start(self, accept: Accept) -> None:
        """Connect, and hand every message to `accept` before acknowledging it to the platform."""
        ...

    async def send(self, parcel: Parcel) -> Sent:
        """Hand one reply to the platform. Raises `Unavailable` to be tried again, any other error for never."""
        ...

    async def stop(self) -> None:
        """Disconnect; no message is accepted afterwards."""
        ...


class Reconciler(Protocol):
    """A channel with delivery policy ``reconcile``: it can ask its platform what arrived."""

    async def arrived(self, parcel: Parcel) -> bool: ...


class Hooked(Protocol):
    """A channel whose platform calls us. Raises `Refused` for a wrong signature, `Invalid` for what is no call."""

    async def hook(self, request: Hook) -> HookReply: ...


class Hooks(Protocol):
    """Every channel's webhooks behind one door. Raises `NotFound` for a channel that takes none."""

    async def hook(self, channel: str, account: str, request: Hook) -> HookReply: ...


class Access(Protocol):
    """Who may come in through a channel: asked before a message is kept, and again by the guard."""

    async def greet(self, envelope: Envelope) -> Welcome: ...

    async def admitted(self, envelope: Envelope) -> Principal | None:
        """Who speaks, if they have been let in."""
        ...

    def rule(self, channel: str, rule: Literal["paired", "listed", "everyone"], allowed: Collection[str]) -> None:
        """How a channel lets people in, and which senders or groups in any case."""
        ...


class Peer(Protocol):
    """One connected client of a channel that is reached through Kith's own door (a WebSocket)."""

    async def receive(self) -> str: ...

    async def send(self, text: str) -> None: ...


class Line(Protocol):
    """A channel that speaks with clients of Kith's own door. Returns when the client has gone."""

    async def converse(self, peer: Peer, principal: Principal) -> None: ...


class ChatModel(Protocol):
    """A loaded model that talks."""

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]: ...


class Embedder(Protocol):
    """A loaded model that turns texts into vectors: n texts give n rows of equal length."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]: ...


class Models(Protocol):
    """Every model of this household behind one door."""

    def cards(self) -> Sequence[ModelCard]: ...

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Route and stream. Raises `NotFound` for an unknown or absent model, `Invalid` for too long an input."""
        ...

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]: ...

    async def count(self, text: str, model: str = "") -> int:
        """The number of tokens of `text`, exactly where the model can tell, else an upper estimate."""
        ...


class Talk(Protocol):
    """The dialogue, as channels and programs see it."""

    async def hear(self, envelope: Envelope) -> Accepted:
        """Commit to the inbox; the reply leaves by the outbox. Raises `Unavailable` when it cannot be kept."""
        ...

    def reply(self, envelope: Envelope, history: Sequence[Message] | None = None) -> AsyncIterator[Delta]:
        """Run one turn at once and stream it. With a `history`, also an empty one, the caller keeps the past."""
        ...


class Inbox(Protocol):
    """Messages that were heard and wait to be answered, in order within a conversation."""

    async def accept(self, envelope: Envelope) -> Accepted: ...

    async def claim(self, worker: str, limit: int) -> Sequence[Claim]:
        """Lease the oldest waiting message of up to `limit` conversations that have none leased."""
        ...

    async def renew(self, claim: Claim) -> Claim:
        """Prolong a lease, and tell what waits behind it. Raises `Refused` (code ``lease_lost``) if another has it."""
        ...

    async def settle(self, claim: Claim, outcome: Done | Later | Dead) -> None:
        """End a claim; for `Done`: turn, dialogue state and parcels in the same transaction. Raises as `renew`."""
        ...


class Waiting(Protocol):
    """What was heard and has no reply yet, for whoever comes while it is being made."""

    async def unanswered(self, place: str) -> Sequence[tuple[str, Envelope]]:
        """The first messages that wait in the conversation with which `place` goes on, in order: turn, message."""
        ...


class Outbox(Protocol):
    """Replies on their way out, in order within a conversation."""

    async def take(self, worker: str, limit: int) -> Sequence[Parcel]:
        """Lease the first unsettled parcel, if due, of up to `limit` conversations."""
        ...

    async def settle(self, parcel: Parcel, outcome: Sent | Later | Dead | Stale) -> None: ...

    async def find(self, state: str = "", limit: int = 100) -> Sequence[Parcel]: ...

    async def decide(self, parcel: str, action: str, by: Act | None = None) -> None:
        """A person's word on a dead or stale parcel: ``retry`` or ``drop``, written down as `by`. Raises `NotFound`."""
        ...


class Complaints(Protocol):
    """An outbox that hears what became of a reply after its platform had taken it."""

    async def complain(self, parcel: str, receipt: str, error: str) -> Parcel | None:
        """A reply that was sent, with `receipt` among its receipts, did not arrive: it is dead from now on.

        None when there is no such reply, or it did not end as sent. Raises `Unavailable` while it has no end yet.
        """
        ...


class Store(Protocol):
    """People, conversations and their turns."""

    async def resolve(self, envelope: Envelope, conversation: str = "") -> tuple[Person, Conversation]:
        """Who speaks, and in which conversation: `conversation`, or that with which their place goes on now.

        Both are made when first met.
        """
        ...

    async def conversation(self, conversation: str) -> Conversation: ...

    async def conversations(self, person: str = "", limit: int = 100) -> Sequence[Conversation]: ...

    async def turns(self, conversation: str, limit: int = 100, after: str = "", before: str = "") -> Sequence[Turn]:
        """The last `limit` turns, oldest first; with `before`, the last ones before that turn's id; with `after`, the
        first `limit` behind it.

        Of a place that goes on with another conversation, the turns of both.
        """
        ...


class History(Protocol):
    """Every turn of the household, for those who learn from all of them."""

    async def turn(self, turn: str) -> Turn:
        """One turn by its id. Raises `NotFound`."""
        ...

    async def walk(self, since: float = 0.0, after: str = "", limit: int = 500) -> Sequence[Turn]:
        """The first `limit` turns heard at `since` or later, in the order they were kept, behind the turn `after`."""
        ...


class Records(Protocol):
    """Small records by kind and key, JSON-shaped: tokens, cursors, preferences."""

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None: ...

    async def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None: ...

    async def delete(self, kind: str, key: str) -> bool: ...

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]: ...


class People(Protocol):
    """Everybody who was met."""

    async def everybody(self, limit: int = 1000) -> Sequence[Met]: ...

    async def who(self, handles: Sequence[tuple[str, str]]) -> Sequence[str]:
        """The ids of those who have one of these addresses (channel, address)."""
        ...

    async def change(self, person: str, values: Mapping[str, str], by: Act) -> Person:
        """Set ``name``, ``locale`` or ``timezone``, written down as `by`. Raises `NotFound`."""
        ...

    async def link(self, person: str, other: str, by: Act) -> Person:
        """`other` was the same human all along: from now on both are `person`. Raises `NotFound`, `Invalid`."""
        ...


class Facts(Protocol):
    """What is remembered of people."""

    async def facts(self, persons: Sequence[str]) -> Sequence[Fact]:
        """Every fact of these persons, also replaced ones, oldest first."""
        ...

    async def keep(self, facts: Sequence[Fact]) -> None:
        """Store these facts, in the place of those with the same ids."""
        ...


class Dossiers(Protocol):
    """Everything that is stored of one person, to be handed over or to be gone."""

    async def export(self, persons: Sequence[str]) -> Mapping[str, Any]:
        """All of it, JSON-shaped; of group conversations only what these persons said and were told."""
        ...

    async def erase(self, persons: Sequence[str], by: Act) -> Sequence[str]:
        """Remove all of it, written down as `by`; gives the ids of the conversations they were in."""
        ...

    async def redact(self, persons: Sequence[str], facts: Sequence[Fact], by: Act) -> Sequence[str]:
        """Remove these facts, and their words from everything stored of these persons; gives the conversations."""
        ...


class Journal(Protocol):
    """The audit log: append-only and chained by hashes."""

    async def act(self, act: Act, changes: Sequence[Change] = ()) -> Entry:
        """Write an act down and do what it changes, both or neither. Raises `Refused` (``changed_meanwhile``)."""
        ...

    async def entries(self, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """The first `limit` entries behind the one numbered `after`, oldest first."""
        ...

    async def verify(self, after: int = 0, limit: int = 1000) -> tuple[int, str]:
        """Reckon a stretch of the chain again: its last number and what is wrong with it, empty if nothing.

        Behind the end of the log the number is `after` itself.
        """
        ...


class Recall(Protocol):
    """Knowledge and memory."""

    async def recall(self, query: str, person: str, locale: str, limit: int) -> Sequence[Passage]: ...


class Senses(Protocol):
    """Turns a part that is not text into text or data."""

    async def sense(self, part: Part) -> Sequence[Part]: ...


class Tools(Protocol):
    """What the assistant may do."""

    def offered(self, principal: Principal) -> Sequence[ToolSpec]: ...

    async def call(self, call: ToolCall, principal: Principal) -> ToolResult: ...


class Release(Protocol):
    """One reply on its way out, piece by piece. A piece that may be the beginning of a secret waits for the next."""

    def feed(self, text: str) -> str:
        """What may go out now."""
        ...

    def finish(self) -> str:
        """What was held back and may go out at the end."""
        ...

    @property
    def withheld(self) -> bool:
        """Whether the rest of the reply is withheld: nothing more goes out."""
        ...


class Guard(Protocol):
    """Who may speak, how often, and what may be said. Raises `Refused`."""

    async def admit(self, envelope: Envelope) -> Principal: ...

    def release(self, envelope: Envelope, known: Sequence[str] = ()) -> Release:
        """The way out of one reply to `envelope`; `known` is what was said in that conversation before."""
        ...

    async def judge(self, text: str) -> Mapping[str, float]:
        """How sure the content filter is, in 0..1, that `text` belongs to each category; 0.5 and more is flagged."""
        ...

    async def direct(self, asked: Sequence[str], known: Sequence[str]) -> Release | None:
        """A program asks a model by its name: the way out of the reply, None where the owner wants none.

        `asked` is what its user says, `known` all that it says. Raises for harm as `admit` does.
        """
        ...


class Auth(Protocol):
    """The one authentication function. Raises `Refused` (code ``unauthenticated``)."""

    async def authenticate(self, credential: str) -> Principal: ...


class Cipher(Protocol):
    """Keys for data at rest, kept outside the data."""

    def key(self, purpose: str) -> bytes:
        """32 bytes, the same for the same purpose. Raises `Refused` when the owner's secret is wrong or absent."""
        ...
