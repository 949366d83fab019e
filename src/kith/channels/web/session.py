"""One connection: reads frames, follows conversations, and fills the gaps of the live stream from the store."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kith.channels.kit import Arrival, Kit, sorry
from kith.channels.web.parse import NAME, Cancel, Cursor, Frame, Ping, Resume, Say, cursor, decode, envelope, handle
from kith.channels.web.render import asked, encode, render
from kith.channels.web.settings import WebSettings
from kith.core.errors import KithError, NotFound, Refused
from kith.core.ids import conversation_id
from kith.core.ports import Accept, Peer
from kith.core.turn import Turn
from kith.runtime.streams import PIECES, StreamEvent, Subscription
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PAGE = 100
_RECENT = 20
_REMEMBERED = 2000


@dataclass(frozen=True, slots=True)
class Desk:
    """What every session shares."""

    kit: Kit
    accept: Accept
    boot: str
    settings: WebSettings


@dataclass(slots=True)
class _Known:
    """The ids that came last, as many as one connection may cost."""

    ids: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])

    def __contains__(self, one: object) -> bool:
        return one in self.ids

    def first(self, one: str) -> bool:
        """Whether `one` is new; afterwards it is known."""
        if one in self.ids:
            return False
        self.ids[one] = None
        if len(self.ids) > _REMEMBERED:
            self.ids.popitem(last=False)
        return True


@dataclass(slots=True)
class _Thread:
    """One conversation that this connection follows.

    `shown` are messages, and turns of which everything was shown; `told` are turns whose question the client knows.
    """

    name: str
    topic: str
    at: Cursor
    task: asyncio.Task[None] | None = None
    shown: _Known = field(default_factory=_Known)
    told: _Known = field(default_factory=_Known)

    def coming(self, event: StreamEvent) -> bool:
        """False for a piece of a reply that has been shown whole: nobody waits for it any more."""
        return event.kind not in PIECES or event.data.get("turn") not in self.shown


class Session:
    """The talk with one client, whose `sender` has been authenticated."""

    def __init__(self, peer: Peer, sender: Arrival, desk: Desk) -> None:
        self._peer, self._sender, self._desk = peer, sender, desk
        self._threads: dict[str, _Thread] = {}
        self._turns = _Known()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the client has gone (an `EOFError` or `OSError` of the peer; anything else it raises is raised)."""
        try:
            while True:
                reading = asyncio.ensure_future(self._peer.receive())
                try:
                    await asyncio.wait({reading, self._gone}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    reading.cancel()
                if self._gone.done():
                    return self._gone.result()
                answer = await self._hear(reading.result())
                if answer:
                    await self._peer.send(answer)
        except (EOFError, OSError):
            return None
        finally:
            self._gone.cancel()
            tasks = [thread.task for thread in self._threads.values() if thread.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, raw: str) -> str:
        """Do what a frame asks; the answer is a frame too. Whatever is wrong with it, the connection stays."""
        frame: Frame | None = None
        try:
            frame = decode(raw)
            return await self._do(frame)
        except KithError as error:
            told = dict(sorry(error, frame.locale if isinstance(frame, Say) else ""))
        except Exception as error:  # noqa: BLE001  # one frame's bug must not cost the connection
            _log.exception("frame failed", error=type(error).__name__)
            told = dict(sorry(KithError("unexpected")))
        if isinstance(frame, Say):
            told["id"] = frame.id
        return encode("error", told)

    async def _do(self, frame: Frame) -> str:
        match frame:
            case Say():
                return await self._say(frame)
            case Resume():
                await self._resume(frame.conversation, None if frame.after is None else cursor(frame.after), tell=True)
            case Cancel():
                if frame.turn not in self._turns:
                    raise NotFound("no reply that is being made here has that id")
                self._desk.kit.cancel(frame.turn)
            case Ping():
                return encode("pong", {})
        return ""

    async def _say(self, frame: Say) -> str:
        """Follow first, so that no piece of the answer is missed; then commit; then say so."""
        arrival = replace(self._sender, at=self._desk.kit.clock.now())
        if frame.conversation not in self._threads:
            await self._resume(frame.conversation, None, tell=False)
        accepted = await self._desk.accept(envelope(frame, arrival))
        self._turns.first(accepted.id)
        self._threads[frame.conversation].told.first(accepted.id)
        told = {"id": frame.id, "duplicate": accepted.duplicate, "turn": accepted.id}
        return encode("accepted", told, frame.conversation, self._threads[frame.conversation].at)

    async def _resume(self, name: str, after: Cursor | None, *, tell: bool) -> None:
        """Follow a conversation, from now on (None) or from behind `after`."""
        if name not in self._threads and len(self._threads) >= self._desk.settings.conversations:
            raise Refused("this connection follows too many conversations", hint="open another connection")
        old = self._threads.pop(name, None)
        if old is not None and old.task is not None:
            old.task.cancel()
            await asyncio.gather(old.task, return_exceptions=True)
        topic = conversation_id(NAME, self._sender.account, handle(name, self._sender))
        streams, boot = self._desk.kit.streams, self._desk.boot
        if after is None:
            latest = await self._desk.kit.store.turns(topic, 1)
            at = Cursor(boot, streams.last, latest[-1].id if latest else "")
        else:
            at = after
        known = at.boot == boot
        thread = self._threads[name] = _Thread(name, topic, at)
        reader = streams.subscribe(topic, at.event if known and after is not None else None)
        if missed := not known or reader.gap:
            reader.close()
        thread.task = asyncio.create_task(self._follow(thread, None if missed else reader, tell=tell))

    async def _follow(self, thread: _Thread, reader: Subscription | None, *, tell: bool) -> None:
        """Pass events on. Whenever the live stream has lost some (then there is no `reader`), the store tells what was
        said meanwhile, and the replies that are being made begin anew."""
        try:
            while True:
                if reader is None:
                    reader = await self._catch_up(thread)
                if tell:
                    await self._peer.send(encode("resumed", {}, thread.name, thread.at))
                    tell = False
                async for event in reader:
                    await self._pass(thread, event)
                if not reader.lagged:
                    return
                reader = None
        except Exception as error:  # noqa: BLE001  # the peer has gone, or the store failed: either ends the connection
            if not self._gone.done():
                self._gone.set_exception(error)
        finally:
            if reader is not None:
                reader.close()

    async def _catch_up(self, thread: _Thread) -> Subscription:
        """Everything up to now, and a reader of what comes. The cursor moves on last: whoever is cut off here starts
        here again."""
        streams = self._desk.kit.streams
        reader, begun, last = streams.subscribe(thread.topic), streams.begun(thread.topic), streams.last
        try:
            await self._replay(thread)
            await self._ask(thread)
            begun = [event for event in begun if thread.coming(event)]
            for turn in dict.fromkeys(str(event.data["turn"]) for event in begun):
                self._turns.first(turn)
                await self._peer.send(encode("reset", {"turn": turn}, thread.name, thread.at))
            for event in begun:
                await self._peer.send(encode(event.kind, event.data, thread.name, thread.at))
            thread.at = Cursor(self._desk.boot, last, thread.at.turn)
        except BaseException:
            reader.close()
            raise
        return reader

    async def _pass(self, thread: _Thread, event: StreamEvent) -> None:
        """One live event. Before a turn's end, its replies are sent whole."""
        data, kit = event.data, self._desk.kit
        turn = str(data.get("turn", ""))
        if not thread.coming(event):
            return
        if event.kind == "delta":  # said on another connection, perhaps before this page was read anew
            self._turns.first(turn)
            if turn not in thread.told:
                await self._ask(thread)
                thread.told.first(turn)
        if event.kind == "end" and not data.get("code"):
            recent = await kit.store.turns(thread.topic, _RECENT)
            for done in (found for found in recent if found.id == turn):
                await self._show(thread, done)
        at = Cursor(self._desk.boot, event.id, thread.at.turn)
        if event.kind != "message" or thread.shown.first(str(data.get("id"))):
            await self._peer.send(encode(event.kind, data, thread.name, at))
        thread.at = at  # only now: another frame may tell the client how far it is

    async def _show(self, thread: _Thread, turn: Turn) -> None:
        """A turn's replies; only the last one's cursor says that the turn is whole."""
        thread.shown.first(turn.id)
        whole = Cursor(thread.at.boot, thread.at.event, turn.id)
        for message in turn.spoke:
            if thread.shown.first(message.id):
                at = whole if message is turn.spoke[-1] else thread.at
                await self._peer.send(encode("message", render(message, turn), thread.name, at))
        thread.at = whole

    async def _ask(self, thread: _Thread) -> None:
        """Tell what was heard and has no reply yet, once each. This connection may stop those replies."""
        for turn, said in await self._desk.kit.waiting.unanswered(thread.topic):
            self._turns.first(turn)
            if thread.told.first(turn) and said.message.role == "user":  # what the house says itself is no question
                frame = asked(turn, said, self._sender.sender)
                await self._peer.send(encode("heard", frame, thread.name, thread.at))

    async def _replay(self, thread: _Thread) -> None:
        """Send again what was said after the last whole turn that the client knows."""
        left = self._desk.settings.replay
        while left > 0:
            turns = await self._after(thread, min(left, _PAGE))
            for turn in turns:
                await self._show(thread, turn)
                if not turn.spoke:  # nothing else says that it is over
                    await self._peer.send(encode("end", {"turn": turn.id}, thread.name, thread.at))
            if len(turns) < _PAGE:
                return
            left -= len(turns)

    async def _after(self, thread: _Thread, limit: int) -> Sequence[Turn]:
        store = self._desk.kit.store
        try:
            return await store.turns(thread.topic, limit, thread.at.turn)
        except NotFound:  # a turn that is not there any more: everything that is kept
            return await store.turns(thread.topic, limit)
