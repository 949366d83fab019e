"""``/api`` routes that stream: asking at once, and following a conversation live."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.message import Delta, Message, Text, Usage
from kith.gateway.acting import acting
from kith.gateway.body import Call, read_json
from kith.gateway.ending import merged
from kith.gateway.failures import Failure
from kith.gateway.feed import Feed
from kith.gateway.mind import Chunks
from kith.gateway.ports import GatewayPorts
from kith.gateway.rest import MessageBody, letter, visible
from kith.gateway.sentences import sentences
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import PLAIN, SSE, Streamed, Whole, closing, sse


class Past(msgspec.Struct, frozen=True):
    """One earlier message of a conversation that the caller keeps."""

    role: Literal["system", "user", "assistant"]
    text: str


class AskBody(MessageBody, frozen=True):
    """A question to be answered at once. With `history`, the caller keeps the conversation."""

    history: list[Past] | None = None
    chunks: Chunks = "tokens"


class Events:
    """The streaming routes of ``/api``."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings, feed: Feed) -> None:
        self._ports, self._settings, self._feed = ports, settings, feed

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        follow = {"answer": "Turns", "stream": SSE, "only": "stream", "query": ("after",), "role": "guest"}
        asked = {"body": AskBody, "answer": "Answer", "stream": SSE, "plain": True, "role": "guest"}
        return (
            post("/api/ask", opt=asked)(self.ask),
            get("/api/conversations/{conversation:str}/events", opt=follow)(self.follow),
        )

    async def ask(self, request: Call) -> ASGIApp:
        """Answer at once: as plain text or server-sent events while it is made (by `Accept`), else as JSON."""
        body = await read_json(request, AskBody, self._settings)
        ids, now = self._ports.ids, self._ports.clock.now()
        history = None
        if body.history is not None:
            history = [Message(ids.new("m"), past.role, (Text(past.text),), now) for past in body.history]
        envelope = letter(self._ports, request.user, body, body.id or ids.new("q"))
        deltas = self._ports.talk.reply(envelope, history)
        deltas = sentences(deltas) if body.chunks == "sentences" else deltas
        accept = request.headers.get("accept", "")
        patience = self._settings.write_timeout
        if accept.startswith("text/plain"):
            return Streamed(_plain(deltas), PLAIN, patience=patience)
        if accept.startswith(SSE):
            return Streamed(_answer_events(deltas), SSE, patience=patience, failed=_failed)

        async def work() -> tuple[int, Any]:
            texts: list[str] = []
            last = Delta()
            async with closing(deltas) as running:
                async for delta in running:
                    texts.append(delta.text)
                    last = merged(last, delta)
            return 200, {"text": "".join(texts), **_ending(last)}

        return Whole(work)

    async def follow(self, request: Call, conversation: FromPath[str]) -> ASGIApp:
        """Follow a conversation as server-sent events. `Last-Event-ID` resumes; what is gone comes as turns."""
        await visible(self._ports, request.user, conversation, acting(request))
        last = request.headers.get("last-event-id", "")
        after = request.query_params.get("after", "")
        chunks = self._live(conversation, last, after)
        beat = self._settings.heartbeat
        return Streamed(chunks, SSE, patience=self._settings.write_timeout, failed=_failed, heartbeat=beat)

    async def _live(self, conversation: str, last: str, after: str) -> AsyncGenerator[bytes]:
        async with self._feed.follow(conversation, last, after) as news:
            async for one in news:
                yield sse(msgspec.json.encode(one.data), one.kind, one.id)


async def _plain(deltas: AsyncIterator[Delta]) -> AsyncGenerator[bytes]:
    async with closing(deltas) as running:
        async for delta in running:
            if delta.text:
                yield delta.text.encode("utf-8", "replace")


async def _answer_events(deltas: AsyncIterator[Delta]) -> AsyncGenerator[bytes]:
    last = Delta()
    async with closing(deltas) as running:
        async for delta in running:
            last = merged(last, delta)
            if delta.text:
                yield sse(msgspec.json.encode({"text": delta.text}), "delta")
    yield sse(msgspec.json.encode(_ending(last)), "done")


def _ending(last: Delta) -> dict[str, Any]:
    usage = asdict(last.usage or Usage())
    about = {"model": last.model, "fallback": last.fallback, "sources": last.sources, "turn": last.turn}
    return {"finish": last.finish or "stop", **about, "usage": usage}


def _failed(failure: Failure) -> bytes:
    return sse(msgspec.json.encode(failure.kith()), "error")
