"""What every channel is given, and the small work that all of them share: the one helper of the channels' folders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

import httpx
from pydantic import Field

from kith.channels.arrival import (
    Arrival,
    check_name,
    check_text,
    clean,
    inner,
    mapping,
    message_id,
    natural,
    printable,
    quotes,
    rows,
    word,
)
from kith.channels.asking import (
    Flights,
    Stale,
    Token,
    answered,
    answering,
    decoded,
    decoded_fields,
    download_again,
    reaching,
    seconds_of,
)
from kith.channels.bodies import bodies, cut, drawable
from kith.channels.calls import body_of, keep, same, tended
from kith.channels.letters import Desk, Office, Post, Seal, read_letter, tags
from kith.channels.marks import Dialect, convert, pieces
from kith.channels.media import PENDING, Limits, download, gathered, media_parts, part_for, telling, wordless
from kith.channels.needs import Lack, guarded
from kith.channels.replay import Replay
from kith.channels.scan import Scan
from kith.channels.session import Bookmark, Event, Session, Usage, gateway
from kith.channels.text import Unit, measure, split
from kith.core.channel import Hook, HookReply
from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import Audio, Data, Envelope, File, Image, Media, Message, Part, Text
from kith.core.people import Parcel
from kith.core.ports import Accept, Records, Store, Waiting
from kith.core.turn import Sent, Turn
from kith.runtime.blobs import Blobs
from kith.runtime.http import http_client
from kith.runtime.locale import tr
from kith.runtime.settings import Section
from kith.runtime.streams import Streams
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
LINE_LIMIT = 64 * 1024
_HOLD = 5.0
_LOOK_BACK = 20


class ChannelSettings(Section):
    """The keys that every channel has."""

    enabled: bool = Field(default=True, description="Whether the channel is on.")
    account: str = Field(
        default="local",
        max_length=64,
        pattern=r"^[\w.@+-]+$",
        description="The account on the platform; part of a message's identity.",
    )
    access: Literal["paired", "listed", "everyone"] = Field(
        default="paired", description="Who may come in: who was paired, only who is in `allow`, or everyone."
    )
    allow: tuple[str, ...] = Field(
        default=(), description="Senders, or groups with all their members, that are let in without pairing."
    )
    groups: Literal["mention", "names", "sometimes", "always", "never"] = Field(
        default="mention", description="When a message in a group is answered."
    )
    names: tuple[str, ...] = Field(default=(), description="What the assistant is called in groups.")
    chance: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="The share of a group's other messages that is answered, where it is sometimes answered.",
    )
    streaming: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether a reply is shown while it is made, by editing it, where the platform can do that.",
    )
    debounce: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Seconds of silence before a message is answered, with what came meanwhile; absent: its own.",
    )
    bot_rounds: int = Field(
        default=0, ge=0, le=100, description="Messages of another bot answered in ten minutes, in one conversation."
    )

    def lacks(self) -> Sequence[Lack]:
        """What the channel cannot connect without, its other settings being as they are; nothing, unless it says so.
        What it needs in any case stands in its manifest, under ``needs``."""
        return ()


class Notes:
    """`Records` in memory, for tests and for channels that are tried out: what a Kit has when nobody gives it any."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        """What was put under `key`, or None."""
        return self._kept.get((kind, key))

    async def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        """Keep `value`, in place of what was there."""
        self._kept[kind, key] = dict(value)

    async def delete(self, kind: str, key: str) -> bool:
        """Whether there was something to forget."""
        return self._kept.pop((kind, key), None) is not None

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """Everything of one kind, by key."""
        return {key: value for (group, key), value in self._kept.items() if group == kind}


class Idle:
    """`Waiting` where nothing is waited for: what a Kit has when nobody gives it any."""

    async def unanswered(self, place: str) -> Sequence[tuple[str, Envelope]]:  # noqa: ARG002  # the port's name
        """Nothing, wherever `place` is."""
        return ()


async def _no_hurry(chat: str) -> None:
    """No rate is kept for `chat`."""


def _nothing() -> None:
    """Nobody watches."""


def _unheard(reason: str) -> None:
    """Nobody listens to `reason`."""


async def _nobody(parcel: str, receipt: str, reason: str) -> None:
    """Nobody listens to what became of `parcel`."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a channel may use. An entry is called as ``entry(settings, kit)``.

    `cancel` stops the making of a turn. `records` keeps cursors (see `load_cursor`), `blobs` media on their way in and
    out, `http` makes a client for everything that goes out. A channel calls `alive` on any traffic on a connection of
    its own, pings included: it is the proof of life, which a call of the platform's (`hook`) is not, nor what
    goes on the other way of a channel with two (`reach`, see `channels.way`); and `lost` with a
    sentence when its connection has gone for good or a loop of its own died: it is then taken down and brought up
    again. Both may be called from any thread. `pace` waits until the platform's declared rate allows one more message
    to a chat: the sender does so before `send`, `deliver` before each further piece. `limits` says what media the
    platform takes (see `collect`). `undelivered` is awaited with a parcel's id, one of its receipts and a sentence when
    the platform says that what it took did not arrive: the reply is a dead letter then; it raises `Unavailable` for a
    reply that is being settled. `waiting` tells what was heard and has no reply yet.
    """

    store: Store
    streams: Streams
    clock: Clock
    ids: Ids
    cancel: Callable[[str], None]
    records: Records = field(default_factory=Notes)
    blobs: Blobs = field(default_factory=Blobs)
    http: Callable[..., httpx.AsyncClient] = http_client
    alive: Callable[[], None] = _nothing
    lost: Callable[[str], None] = _unheard
    pace: Callable[[str], Awaitable[None]] = _no_hurry
    limits: Limits = field(default_factory=Limits)
    undelivered: Callable[[str, str, str], Awaitable[None]] = _nobody
    waiting: Waiting = field(default_factory=Idle)


def plain(message: Message) -> str:
    """A message as plain text: what is not text is named in brackets."""
    lines: list[str] = []
    for part in message.parts:
        match part:
            case Text():
                lines.append(part.text)
            case Media():
                lines.append(f"[{part.mime} {part.name}]".replace(" ]", "]"))
            case Data():
                lines.append(f"[{part.kind}]")
            case _:
                continue
    return "\n".join(lines)


async def origin(store: Store, parcel: Parcel) -> Turn | None:
    """The turn in which a parcel was said, if it is among the conversation's latest."""
    recent = await store.turns(parcel.thread or parcel.conversation, _LOOK_BACK)
    return next((t for t in reversed(recent) if any(said.id == parcel.message.id for said in t.spoke)), None)


def describe(turn: Turn | None) -> dict[str, Any]:
    """What a client may be told of the turn behind a reply."""
    if turn is None:
        return {"turn": "", "sources": [], "model": "", "fallback": False}
    sources = [passage.source for passage in turn.passages]
    return {"turn": turn.id, "sources": sources, "model": turn.model, "fallback": turn.fallback}


def sorry(error: KithError, locale: str = "") -> Mapping[str, Any]:
    """An error as a client is told: `message` in the person's language, the exact reason beside it."""
    match error:
        case Invalid():
            key = "invalid"
        case Refused(retry_after=float()):
            key = "too_many"
        case Refused():
            key = "refused"
        case Unavailable():
            key = "unavailable"
        case _:
            key = "failed"
    told: dict[str, Any] = {"code": error.code, "message": tr(f"channels.error.{key}", locale)}
    if key != "failed":
        told |= {"detail": error.message, "hint": error.hint}
    if isinstance(error, Refused | Unavailable) and error.retry_after is not None:
        told["retry_after"] = error.retry_after
    return told


async def load_cursor(kit: Kit, channel: str, account: str) -> Mapping[str, Any]:
    """Where the channel was in its platform's stream of updates; empty before the first `save_cursor`."""
    return await kit.records.get("cursor", f"{channel}:{account}") or {}


async def save_cursor(kit: Kit, channel: str, account: str, value: Mapping[str, Any]) -> None:
    """Keep the place up to which everything has been accepted. To be called only after `accept` returned."""
    await kit.records.put("cursor", f"{channel}:{account}", value)


P = TypeVar("P")


async def deliver(kit: Kit, parcel: Parcel, pieces: Sequence[P], send: Callable[[int, P], Awaitable[str]]) -> Sent:
    """Send the pieces of one parcel in order with ``send(index, piece) -> receipt``, each once however often it is
    tried: which of them went out is kept (records of kind ``pieces``) and they are left out the next time.

    A piece whose send failed in a way that does not tell whether it arrived is sent again: where the platform takes a
    key, ``f"{parcel.id}-{index}"`` is one. Returns `Sent` with the receipts, joined by spaces.
    """
    receipts: list[str] = []
    if len(pieces) > 1 and (kept := await kit.records.get("pieces", parcel.id)):
        receipts = [str(receipt) for receipt in kept.get("receipts", ())]
    first = len(receipts)
    for index in range(first, len(pieces)):
        if index > first:
            await kit.pace(parcel.target)
        receipts.append(await send(index, pieces[index]))
        if len(pieces) > 1:
            await kit.records.put("pieces", parcel.id, {"at": kit.clock.now(), "receipts": receipts})
    return Sent(" ".join(receipt for receipt in receipts if receipt))


async def hand_over(
    kit: Kit, accepting: Callable[[], Accept | None], heard: Envelope | Callable[[], Awaitable[Envelope | None]]
) -> bool:
    """Returns when `heard` has been accepted, or never can be: only then may the platform be told that we have it.
    False when the channel was stopped before.

    While the inbox cannot take it (`Unavailable`) it is tried again, so that nothing after it is heard, until
    `accepting()` gives None: the channel was stopped. `heard` may make the envelope, and then does so at each try.
    """
    while (accept := accepting()) is not None:
        try:
            envelope = heard if isinstance(heard, Envelope) else await heard()
            if envelope is not None:
                await accept(envelope)
        except Unavailable as error:
            await kit.clock.sleep(min(error.retry_after, _HOLD))
        except KithError as error:
            _log.info("message not accepted", code=error.code)
            return True
        else:
            return True
    return False


async def collect(kit: Kit, envelope: Envelope, fetch: Callable[[str, int], Awaitable[tuple[bytes, str]]]) -> Envelope:
    """The envelope with the bytes of its media that are still at the platform.

    Those are parts whose `blob` is `PENDING` and the platform's own name: ``fetch(name, most)`` gives their bytes and,
    where it knows, their type; it raises `Invalid` (code ``too_large``) behind `most` bytes. What is larger than the
    platform's limit is left where it is, and the door tells the sender; what is not to be had is named in brackets.
    Raises `Unavailable`.
    """
    if not any(part.blob.startswith(PENDING) for part in media_parts(envelope.message)):
        return envelope
    parts = [await _collected(kit, part, fetch) for part in envelope.message.parts]
    return replace(envelope, message=replace(envelope.message, parts=tuple(parts)))


async def _collected(kit: Kit, part: Part, fetch: Callable[[str, int], Awaitable[tuple[bytes, str]]]) -> Part:
    if not isinstance(part, Image | Audio | File) or not part.blob.startswith(PENDING):
        return part
    room = kit.limits.room(part.type)
    if part.size > room or not room:
        return part
    try:
        data, mime = await fetch(part.blob.removeprefix(PENDING), room)
    except (Invalid, Refused, NotFound) as error:
        if error.code == "too_large":
            return replace(part, size=room + 1)
        return Text(f"[{part.name or part.mime}: not to be had]", outside=True)
    return replace(part, blob=kit.blobs.put(data), mime=mime or part.mime, size=len(data))


class Closable(Protocol):
    """A connection."""

    async def close(self) -> object: ...


async def let_go(tasks: Iterable[asyncio.Task[None] | None], *wires: Closable | None) -> None:
    """End the loops of a channel that is stopped, then its connections in turn; None is passed over."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for wire in wires:
        if wire is not None:
            await wire.close()


__all__ = [
    "LINE_LIMIT",
    "PENDING",
    "Arrival",
    "Bookmark",
    "ChannelSettings",
    "Desk",
    "Dialect",
    "Event",
    "Flights",
    "Hook",
    "HookReply",
    "Kit",
    "Lack",
    "Limits",
    "Notes",
    "Office",
    "Post",
    "Replay",
    "Scan",
    "Seal",
    "Session",
    "Stale",
    "Token",
    "Unit",
    "Usage",
    "answered",
    "answering",
    "bodies",
    "body_of",
    "check_name",
    "check_text",
    "clean",
    "collect",
    "convert",
    "cut",
    "decoded",
    "decoded_fields",
    "deliver",
    "describe",
    "download",
    "download_again",
    "drawable",
    "gateway",
    "gathered",
    "guarded",
    "hand_over",
    "inner",
    "keep",
    "let_go",
    "load_cursor",
    "mapping",
    "measure",
    "media_parts",
    "message_id",
    "natural",
    "origin",
    "part_for",
    "pieces",
    "plain",
    "printable",
    "quotes",
    "reaching",
    "read_letter",
    "rows",
    "same",
    "save_cursor",
    "seconds_of",
    "sorry",
    "split",
    "tags",
    "telling",
    "tended",
    "word",
    "wordless",
]
