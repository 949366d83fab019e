"""The two ways to reach a conversation from a terminal: in this process, or on a running server."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from kith.cli.server import Server, find_server
from kith.core.errors import KithError, Unavailable
from kith.runtime.locale import language
from kith.runtime.registry import Registry
from kith.runtime.streams import StreamEvent

_TRIES = 30
_ANSWER = 30.0
_FRAME = 4 * 1024 * 1024
_REMEMBERED = 1000


class Partner(Protocol):
    """Somebody to talk with. Events are ``delta``, ``reset``, ``message`` and ``end``, as on the live stream."""

    async def say(self, text: str, model: str = "") -> str:
        """Returns the id of the turn that will answer."""
        ...

    def events(self) -> AsyncIterator[StreamEvent]: ...

    async def cancel(self, turn: str) -> None: ...

    async def close(self) -> None: ...


class Remote:
    """A conversation on a running server, over its WebSocket. Survives a broken connection and a restarted server."""

    def __init__(self, server: Server, conversation: str = "main") -> None:
        self._server, self._conversation = server, conversation
        self._socket: ClientConnection | None = None
        self._at = ""
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._lost = asyncio.Event()
        self._up = asyncio.Event()

    async def open(self) -> None:
        """Connect. Raises `Unavailable`."""
        live = [m.name for m in Registry("channels").manifests().values() if "live" in m.capabilities]
        parts = urlsplit(self._server.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = urlunsplit((scheme, parts.netloc, f"/api/channels/{live[0]}/live", "", ""))
        try:
            self._socket = await connect(
                url,
                additional_headers=self._server.headers,
                max_size=_FRAME,
                proxy=None,
                open_timeout=5,
                ssl=self._server.trust(),
            )
            if self._at:
                await self._send({"type": "resume", "after": self._at})
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            raise Unavailable(f"no conversation with the server ({type(error).__name__})") from None
        self._up.set()

    async def say(self, text: str, model: str = "") -> str:
        """Send until it is kept: the id makes a repetition harmless. Raises what the server refuses."""
        frame = {"type": "message", "id": uuid.uuid4().hex, "text": text, "locale": language(), "model": model}
        for _ in range(_TRIES):
            answer = self._answers[frame["id"]] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(_ANSWER):
                    await self._up.wait()
                    await self._send(frame)
                    told = await answer
            except (OSError, TimeoutError, WebSocketException):
                continue
            finally:
                self._answers.pop(frame["id"], None)
            if told["type"] == "error":
                raise KithError(
                    str(told["message"]), code=str(told["code"]), hint=str(told.get("hint") or told.get("detail") or "")
                )
            return str(told["turn"])
        raise Unavailable("the server does not answer")

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Events, each whole reply once, until `close`. Raises `Unavailable` when the server stays away."""
        while not self._lost.is_set():
            assert self._socket is not None
            with suppress(WebSocketException, OSError):
                async for raw in self._socket:
                    event = self._read(raw)
                    if event is not None:
                        yield event
            if not self._lost.is_set():
                await self._again()

    async def cancel(self, turn: str) -> None:
        """Ask the server to stop making a reply."""
        with suppress(WebSocketException, OSError):
            await self._send({"type": "cancel", "turn": turn})

    async def close(self) -> None:
        """Leave."""
        self._lost.set()
        if self._socket is not None:
            await self._socket.close()

    async def _send(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps({"conversation": self._conversation, **frame}))

    def _read(self, raw: str | bytes) -> StreamEvent | None:
        frame = _frame(raw)
        self._at = str(frame.get("at") or self._at)
        kind = str(frame.get("type"))
        if kind in ("accepted", "error"):
            waiting = self._answers.get(str(frame.get("id")))
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
            return None
        if kind == "message":
            if "text" not in frame or frame.get("id") in self._seen:
                return None
            self._seen.append(str(frame.get("id")))
        return StreamEvent(0, kind, frame, len(raw))

    async def _again(self) -> None:
        """Connect anew, to the same server or to the one that took its place."""
        self._up.clear()
        for attempt in range(_TRIES):
            await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
            self._server = await find_server() or self._server
            with suppress(Unavailable):
                return await self.open()
        raise Unavailable("the server has gone", hint="start it again with: kith serve")


def _frame(raw: str | bytes) -> dict[str, Any]:
    """A frame of the server; one that is none counts as empty."""
    try:
        frame: object = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", frame) if isinstance(frame, dict) else {}
