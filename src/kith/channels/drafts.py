"""A reply that grows while it is made, on platforms where a message can be edited.

A first piece is sent as a message of its own, and edited as more of the reply comes; the finished reply, when it leaves
the outbox, replaces it. That such a message was begun, and what the platform calls it, is kept in the records (kind
``draft``, key the turn) before anything is edited: after a crash the finished reply still replaces it. Only where the
process ended between sending the first piece and keeping its name, and the platform takes no key of ours, does the
unfinished piece stay beside the reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

from kith.channels.kit import Kit, deliver, origin
from kith.channels.text import Unit, split
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.ids import conversation_id
from kith.core.message import Envelope, Message, Part, Text
from kith.core.people import Parcel
from kith.core.ports import Channel, Reconciler
from kith.core.turn import Sent
from kith.runtime.leaks import masked
from kith.runtime.streams import StreamEvent, Subscription
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_FIRST = 1.5
_SILENT = 300.0
_SEND = 20.0
_AT_ONCE = 64
_KNOWN = 1000
_KEPT = 86_400.0
_FAILURES = 3
_TAIL = re.compile(r"[!-~]+$")  # a word that may go on: half a key would not be known as one


class Editor(Protocol):
    """A channel that can replace a message: `receipt` is the platform's id of it, `text` Markdown that fits into one
    message. Doing it twice is doing it once. Raises `Refused` or `NotFound` when it cannot be replaced (any more)."""

    async def edit(self, parcel: Parcel, receipt: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a platform is edited: `every` so many seconds, up to `limit` in `unit`; `keyed` when it knows what was sent
    twice by our key."""

    every: float
    limit: int
    unit: Unit = "chars"
    keyed: bool = False


@dataclass(slots=True)
class _Draft:
    """One message that grows. `begun`: it may be on the platform. `parcel`: the reply that replaces it."""

    base: Parcel
    text: str = ""
    shown: str = ""
    receipt: str = ""
    parcel: str = ""
    begun: bool = False
    closed: bool = False
    due: float = 0.0
    edits: int = 0
    failures: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Drafts:
    """Of one channel. `reach` is the channel when it is up, `spare` whether the platform takes one more message to a
    chat now and nothing more important waits."""

    def __init__(
        self, kit: Kit, manner: Manner, reach: Callable[[], Channel | None], spare: Callable[[str], bool]
    ) -> None:
        self._kit, self._manner, self._reach, self._spare = kit, manner, reach, spare
        self._drafts: dict[str, _Draft] = {}
        self._pending: dict[str, set[str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loaded = False

    def begin(self, envelope: Envelope, turn: str) -> None:
        """A message was kept, and `turn` will answer it."""
        topic = conversation_id(envelope.channel, envelope.account, envelope.conversation)
        if topic not in self._tasks and len(self._tasks) >= _AT_ONCE:
            return
        said = Message(f"d_{turn}", "assistant", (), self._kit.clock.now())
        base = Parcel(
            said.id, 0, topic, envelope.channel, envelope.account, envelope.conversation, said,
            reply_to=envelope.platform_id,
        )  # fmt: skip
        self._drafts[turn] = _Draft(base)
        if len(self._drafts) > _KNOWN:
            del self._drafts[next(iter(self._drafts))]
        self._pending.setdefault(topic, set()).add(turn)
        if topic not in self._tasks:
            task = asyncio.create_task(self._follow(topic, self._kit.streams.subscribe(topic)))
            self._tasks[topic] = task
            task.add_done_callback(lambda _: self._left(topic))

    async def say(self, channel: Channel, parcel: Parcel) -> Sent:
        """The finished reply: in place of its draft where there is one. Raises what the channel raises."""
        draft = await self._belonging(parcel)
        if draft is None:
            return await channel.send(parcel)
        async with draft.lock:
            draft.closed = True
            if draft.begun and not draft.receipt and self._manner.keyed:
                draft.receipt = await self._post(channel, draft, "…")
            if draft.begun and not draft.parcel:
                draft.parcel = parcel.id
                await self._keep(draft)
            if not draft.receipt or draft.parcel != parcel.id:
                return await channel.send(parcel)
            try:
                return await self._replace(channel, draft.receipt, parcel)
            except (Refused, NotFound, Invalid) as error:
                if isinstance(error, Refused) and error.retry_after:
                    raise
                _log.info("draft not replaced", channel=parcel.channel, code=error.code)
                return await channel.send(parcel)

    async def settled(self, parcel: Parcel) -> None:
        """Nothing more happens to this reply: its draft is forgotten."""
        for turn, draft in tuple(self._drafts.items()):
            if draft.parcel == parcel.id:
                del self._drafts[turn]
                with contextlib.suppress(KithError):  # else it is forgotten after a day
                    await self._kit.records.delete("draft", turn)

    async def close(self) -> None:
        """Edit nothing more."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _left(self, topic: str) -> None:
        self._tasks.pop(topic, None)
        for turn in self._pending.pop(topic, ()):
            self._drop(turn)

    def _drop(self, turn: str) -> None:
        """Nothing more of this turn is shown; what is on the platform waits for its reply."""
        if (draft := self._drafts.get(turn)) is not None:
            draft.closed = True
            if not draft.begun:
                del self._drafts[turn]

    async def _follow(self, topic: str, reader: Subscription) -> None:
        """Until every turn that was begun has ended, or nothing was heard of them for long."""
        try:
            heard = self._kit.clock.monotonic()
            while (turns := self._pending.get(topic)) and self._kit.clock.monotonic() - heard < _SILENT:
                event = await _next(reader, self._wait(turns))
                if event is not None:
                    heard = self._kit.clock.monotonic()
                    self._note(turns, event)
                elif reader.lagged:
                    return
                for turn in tuple(turns):
                    await self._show(self._drafts.get(turn))
        except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's: the reply itself still comes
            _log.exception("draft failed", error=type(error).__name__)
        finally:
            reader.close()

    def _note(self, turns: set[str], event: StreamEvent) -> None:
        turn = str(event.data.get("turn", ""))
        if turn not in turns or (draft := self._drafts.get(turn)) is None:
            return
        match event.kind:
            case "delta":
                draft.due = draft.due or self._kit.clock.monotonic() + min(_FIRST, self._manner.every)
                draft.text += str(event.data.get("text", ""))
            case "reset":
                draft.text = ""
            case "end":
                turns.discard(turn)
                self._drop(turn)
            case _:
                return

    def _wait(self, turns: set[str]) -> float:
        """Seconds until something may be due to be shown."""
        now = self._kit.clock.monotonic()
        drafts = (self._drafts[turn] for turn in turns if turn in self._drafts)
        return min((max(one.due - now, 0.05) for one in drafts if self._fresh(one)), default=_SILENT)

    def _fresh(self, draft: _Draft) -> bool:
        return not draft.closed and bool(said := self._sayable(draft)) and said != draft.shown

    def _sayable(self, draft: _Draft) -> str:
        whole = masked(_TAIL.sub("", draft.text)).strip()
        return split(whole, self._manner.limit, self._manner.unit)[0] if whole else ""

    async def _show(self, draft: _Draft | None) -> None:
        """Send or edit, when it is time to and there is something new."""
        if draft is None or not self._fresh(draft) or draft.due > self._kit.clock.monotonic():
            return
        channel = self._reach()
        draft.due = self._kit.clock.monotonic() + self._manner.every
        if channel is None or not self._spare(draft.base.target):
            return
        async with draft.lock:
            if draft.closed:
                return
            try:
                async with asyncio.timeout(_SEND):
                    await self._put(channel, draft, self._sayable(draft))
            except (KithError, OSError, TimeoutError) as error:
                self._failed(draft, error)
            except Exception as error:  # noqa: BLE001  # a channel's bug stays the channel's
                _log.exception("channel failed", channel=draft.base.channel, error=type(error).__name__)
                draft.closed = True

    async def _put(self, channel: Channel, draft: _Draft, text: str) -> None:
        if not draft.begun:
            await self._keep(draft)
            draft.begun = True
            draft.receipt = await self._post(channel, draft, text)
            draft.closed = not draft.receipt
        elif draft.receipt:
            draft.edits += 1
            await cast("Editor", channel).edit(_named(draft.base, str(draft.edits)), draft.receipt, text)
        draft.shown = text

    async def _post(self, channel: Channel, draft: _Draft, text: str) -> str:
        """Send the first piece, and keep what the platform calls it."""
        said = replace(draft.base, message=replace(draft.base.message, parts=(Text(text),)))
        receipt = ((await channel.send(said)).receipt.split() or [""])[0]
        if receipt:
            await self._keep(draft, receipt)
        return receipt

    def _failed(self, draft: _Draft, error: Exception) -> None:
        """What was surely not sent may be tried again; whatever is in doubt waits for the reply itself."""
        draft.failures += 1
        _log.debug("draft not shown", channel=draft.base.channel, error=type(error).__name__)
        if isinstance(error, Unavailable) and draft.failures < _FAILURES:
            draft.begun = draft.begun and bool(draft.receipt)
            draft.due += error.retry_after
        else:
            draft.closed = True

    async def _replace(self, channel: Channel, receipt: str, parcel: Parcel) -> Sent:
        """The draft becomes the first piece of the reply; the other pieces follow it, each once."""
        parts = parcel.message.parts
        text = "\n".join(part.text for part in parts if isinstance(part, Text))
        said: list[tuple[Part, ...]] = [(Text(one),) for one in split(text, self._manner.limit, self._manner.unit)]
        if others := tuple(part for part in parts if not isinstance(part, Text)):
            said.append(others)

        async def give(index: int, piece: Sequence[Part]) -> str:
            if index == 0 and isinstance(piece[0], Text):
                await cast("Editor", channel).edit(parcel, receipt, piece[0].text)
                return receipt
            one = _named(replace(parcel, message=replace(parcel.message, parts=tuple(piece)), reply_to=""), str(index))
            again = parcel.state == "sending" or parcel.attempts > 1
            if again and hasattr(channel, "arrived") and await cast("Reconciler", channel).arrived(one):
                return ""
            return (await channel.send(one)).receipt

        return await deliver(self._kit, parcel, said, give)

    async def _belonging(self, parcel: Parcel) -> _Draft | None:
        """The draft of the turn in which a reply was said."""
        await self._load()
        if not any(draft.base.conversation == parcel.conversation for draft in self._drafts.values()):
            return None
        turn = await origin(self._kit.store, parcel)
        draft = self._drafts.get(turn.id) if turn is not None else None
        if draft is not None:
            draft.closed = True
        return draft

    async def _load(self) -> None:
        """Once: what an earlier process began. What is older than a day is thrown away."""
        if self._loaded:
            return
        now = self._kit.clock.now()
        for turn, kept in (await self._kit.records.all("draft")).items():
            if float(kept["at"]) < now - _KEPT:
                await self._kit.records.delete("draft", turn)
            elif turn not in self._drafts:
                self._drafts[turn] = _read(turn, kept)
        self._loaded = True

    async def _keep(self, draft: _Draft, receipt: str = "") -> None:
        base = draft.base
        value = {
            "at": self._kit.clock.now(), "conversation": base.conversation, "channel": base.channel,
            "account": base.account, "target": base.target, "reply_to": base.reply_to,
            "receipt": receipt or draft.receipt, "parcel": draft.parcel,
        }  # fmt: skip
        await self._kit.records.put("draft", base.id.removeprefix("d_"), value)


def _read(turn: str, kept: Any) -> _Draft:
    said = Message(f"d_{turn}", "assistant", (), float(kept["at"]))
    names = (str(kept[key]) for key in ("conversation", "channel", "account", "target"))
    base = Parcel(said.id, 0, *names, message=said, reply_to=str(kept["reply_to"]))
    return _Draft(base, receipt=str(kept["receipt"]), parcel=str(kept["parcel"]), begun=True, closed=True)


def _named(parcel: Parcel, part: str) -> Parcel:
    return replace(parcel, id=f"{parcel.id}-{part}")


async def _next(reader: Subscription, seconds: float) -> StreamEvent | None:
    """The next event, or None when none came in time or none comes any more."""
    with contextlib.suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(seconds):
            return await anext(reader)
    return None
