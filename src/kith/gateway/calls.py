"""What the gRPC service does: the three calls of ``kith.proto``, over the same ports as every other door.

A call gets its messages as `Frames` and its way out as `Send`; protobuf's classes come from `Words`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, cast

from kith.core.audit import By
from kith.core.errors import Fault, Invalid, NotFound
from kith.core.ids import conversation_id
from kith.core.message import Delta, Message, Role, Text, Usage
from kith.core.people import Principal
from kith.gateway.ending import merged
from kith.gateway.failures import translate
from kith.gateway.feed import Feed, News
from kith.gateway.ports import GatewayPorts
from kith.gateway.rest import MessageBody, letter, visible
from kith.gateway.sentences import sentences
from kith.gateway.stream import closing

Frames = AsyncIterator[Any]
Send = Callable[[Any], Awaitable[None]]
Words = Callable[[str], Any]
_WAITING = 16  # events that wait for a client that reads slowly; then nothing more is taken from it either
_RECENT = 50
_REMEMBERED = 1000
_LONGEST = 200
_ROLES = ("system", "user", "assistant")


class Calls:
    """The calls. `words` gives the class of a message by its name in ``kith.proto``."""

    def __init__(self, ports: GatewayPorts, feed: Feed, words: Words) -> None:
        self._ports, self._feed, self._words = ports, feed, words

    async def ask(self, request: Any, send: Send, principal: Principal, by: By) -> None:
        """Answer at once. Raises what the dialogue raises."""
        del by
        _short(request, "conversation", "id", "locale", "persona")
        ids, now = self._ports.ids, self._ports.clock.now()
        history = [_past(index, past, ids.new("m"), now) for index, past in enumerate(request.history)]
        if history and not request.stateless:
            raise _wrong("history", "belongs to a question that is stateless")
        envelope = letter(self._ports, principal, _body(request), request.id or ids.new("q"))
        deltas = self._ports.talk.reply(envelope, history if request.stateless else None)
        last, event = Delta(), self._words("AskEvent")
        async with closing(sentences(deltas) if request.sentences else deltas) as running:
            async for delta in running:
                last = merged(last, delta)
                if delta.text:
                    await send(event(text=delta.text))
        usage = last.usage or Usage()
        spent = self._words("Usage")(prompt=usage.prompt, completion=usage.completion, cached=usage.cached)
        told = {"finish": last.finish or "stop", "model": last.model, "sources": last.sources}
        await send(event(done=self._words("Done")(**told, usage=spent, fallback=last.fallback)))

    async def follow(self, request: Any, send: Send, principal: Principal, by: By) -> None:
        """Pass on what happens in a conversation. Raises `NotFound` for one that the caller may not see."""
        _short(request, "conversation", "last_event_id", "after")
        await visible(self._ports, principal, request.conversation, by)
        async with self._feed.follow(request.conversation, request.last_event_id, request.after) as news:
            async for one in news:
                if (event := self.told(one)) is not None:
                    await send(event)

    async def chat(self, frames: Frames, send: Send, principal: Principal, by: By) -> None:
        """Talk in both directions until the client is done or gone. Raises `Invalid` for a wrong beginning."""
        del by
        first = await anext(frames, None)
        if first is None or first.WhichOneof("frame") != "open":
            raise _wrong("open", "has to be the first frame")
        _short(first.open, "conversation", "last_event_id", "after", "locale", "persona")
        talk = _Talk(self, self._ports, first.open, principal)
        await talk.run(frames, send, self._feed)

    def told(self, news: News) -> Any:
        """A live event in the words of gRPC; None for one that these have no words for."""
        data = news.data
        match news.kind:
            case "delta":
                return self.made("delta", "Piece", news.id, turn=str(data["turn"]), text=str(data["text"]))
            case "reset":
                return self.made("reset", "Reset", news.id, turn=str(data["turn"]))
            case "end":
                known = {key: str(data.get(key) or "") for key in ("turn", "text", "code")}
                return self.made("end", "End", news.id, **known)
            case "turn":
                return self.kept(data)
            case "lagged":
                return self.made("lagged", "Lagged")
            case _:
                return None

    def kept(self, turn: Mapping[str, Any]) -> Any:
        """An event that shows a stored turn, JSON-shaped."""
        said = {"heard": _text(turn["heard"]), "spoke": "\n".join(_text(message) for message in turn["spoke"])}
        return self.made("turn", "Turn", **said, **{key: turn[key] for key in ("id", "at", "model", "outcome")})

    def made(self, kind: str, name: str, event: str = "", **fields: Any) -> Any:
        """The event `event` whose field `kind` is a message `name`."""
        return self._words("ChatEvent")(id=event, **{kind: self._words(name)(**fields)})


class _Talk:
    """One bidirectional call. Reading, following and writing are three tasks around one short queue."""

    def __init__(self, calls: Calls, ports: GatewayPorts, begin: Any, principal: Principal) -> None:
        self._calls, self._ports, self._begin, self._principal = calls, ports, begin, principal
        self._conversation = conversation_id("api", principal.id, begin.conversation or "default")
        self._events: asyncio.Queue[Any] = asyncio.Queue(_WAITING)
        self._turns: OrderedDict[str, bool] = OrderedDict()  # whether each turn of this call, or seen in it, is over
        self._silent = False

    async def run(self, frames: Frames, send: Send, feed: Feed) -> None:
        """Until the client has said all and heard all, or has gone."""
        begin = self._begin
        async with feed.follow(self._conversation, begin.last_event_id, begin.after) as news:
            await send(self._calls.made("opened", "Opened", conversation=self._conversation))
            work = [asyncio.create_task(one) for one in (self._listen(frames), self._pass(news), self._write(send))]
            try:
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
                self._leave()

    def _leave(self) -> None:
        if self._begin.cancel_on_disconnect and self._ports.cancel:
            for turn in self._pending():
                self._ports.cancel(turn)

    async def _write(self, send: Send) -> None:
        while (event := await self._events.get()) is not None:
            await send(event)

    async def _listen(self, frames: Frames) -> None:
        """Take frames until the client has closed its side. A frame that is wrong does not end the call."""
        async for frame in frames:
            kind = frame.WhichOneof("frame")
            try:
                if kind == "say":
                    await self._say(frame.say)
                elif kind == "cancel":
                    self._cancel(frame.cancel.turn)
                else:
                    raise _wrong(kind or "frame", "cannot stand here")
            except Exception as error:  # noqa: BLE001  # translated for the client
                await self._events.put(self._problem(error, frame.say.id[:_LONGEST]))
        self._silent = True
        await self._rest()
        await asyncio.Event().wait()

    async def _say(self, said: Any) -> None:
        _short(said, "id")
        begin, ids = self._begin, self._ports.ids
        if not said.text.strip():
            raise _wrong("text", "is empty")
        body = MessageBody(said.text, begin.conversation or "default", None, begin.locale, begin.persona)
        accepted = await self._ports.talk.hear(letter(self._ports, self._principal, body, said.id or ids.new("x")))
        self._turns.setdefault(accepted.id, False)
        known = accepted.duplicate
        await self._events.put(self._calls.made("receipt", "Receipt", id=said.id, turn=accepted.id, duplicate=known))
        if accepted.duplicate and not self._turns[accepted.id]:
            await self._repeat(accepted.id)
        while len(self._turns) > _REMEMBERED:
            self._turns.popitem(last=False)

    async def _repeat(self, turn: str) -> None:
        """Show a turn that was over before this call began; one that is being made shows itself."""
        recent = await self._ports.store.turns(self._conversation, _RECENT)
        for found in (found for found in recent if found.id == turn):
            self._turns[turn] = True
            await self._events.put(self._calls.kept(asdict(found)))

    def _cancel(self, turn: str) -> None:
        if turn not in self._turns:
            raise NotFound("no reply of this call has that id", code="turn_not_found")
        if self._ports.cancel:
            self._ports.cancel(turn)

    async def _pass(self, news: AsyncIterator[News]) -> None:
        """Pass live events on, until there are no more: the server stops, or the client reads too slowly."""
        async for one in news:
            if one.kind == "end":  # noted first: the answer can be quicker than the receipt of its question
                self._turns[str(one.data.get("turn"))] = True
            if (event := self._calls.told(one)) is not None:
                await self._events.put(event)
            if one.kind == "end":
                await self._rest()
        await self._events.put(None)
        await asyncio.Event().wait()

    async def _rest(self) -> None:
        """End the call when the client has said all and heard all."""
        if self._silent and not self._pending():
            await self._events.put(None)

    def _pending(self) -> list[str]:
        return [turn for turn, over in self._turns.items() if not over]

    def _problem(self, error: Exception, key: str) -> Any:
        failure = translate(error)
        known = {"code": failure.code, "message": failure.sentence(), "hint": failure.hint}
        return self._calls.made("problem", "Problem", id=key, retry_after=float(failure.retry_after), **known)


def _body(request: Any) -> MessageBody:
    if not request.text.strip():
        raise _wrong("text", "is empty")
    return MessageBody(request.text, request.conversation or "default", None, request.locale, request.persona)


def _past(index: int, past: Any, key: str, now: float) -> Message:
    if past.role not in _ROLES:
        raise _wrong(f"history[{index}].role", f"has to be one of {', '.join(_ROLES)}")
    return Message(key, cast("Role", past.role), (Text(past.text),), now)


def _text(message: Mapping[str, Any]) -> str:
    return "\n".join(str(part["text"]) for part in message["parts"] if part["type"] == "text")


def _short(request: Any, *names: str) -> None:
    """Raises `Invalid` for names that are longer than any can be."""
    for name in names:
        if len(getattr(request, name)) > _LONGEST:
            raise _wrong(name, f"is longer than {_LONGEST} characters")


def _wrong(path: str, reason: str) -> Invalid:
    return Invalid("the request is not valid", faults=(Fault(path, reason),), code="invalid_request")
