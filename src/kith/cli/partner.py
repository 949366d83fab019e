"""The two ways to reach a conversation from a terminal: in this process, or on a running server."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import InvalidHandshake, WebSocketException

from kith.cli.server import Server, find_server
from kith.core.errors import KithError, Unavailable
from kith.runtime.locale import language
from kith.runtime.registry import Registry
from kith.runtime.streams import StreamEvent

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_ANSWER = 30.0  # seconds without an answer after which a message is said again, under the same id
_FULL = 60.0  # seconds during which a server that has no room is asked again
_PATIENCE = 600.0
_LONGEST = 2.0
_FRAME = 4 * 1024 * 1024
_REMEMBERED = 1000
_AWAY = "the server has gone"


class Partner(Protocol):
    """Somebody to talk with. Events are ``delta``, ``reset``, ``message`` and ``end``, as on the live stream; over a
    connection also ``lost`` and ``back``."""

    async def say(self, text: str, model: str = "") -> str:
        """Returns the id of the turn that will answer."""
        ...

    def events(self) -> AsyncIterator[StreamEvent]: ...

    async def cancel(self, turn: str) -> None: ...

    async def close(self) -> None: ...


class Remote:
    """A conversation on a running server, over its WebSocket.

    Survives a broken connection and a server that is killed and started again, wherever it listens then: `events` looks
    for it for `patience` seconds, resumes behind the last frame that it saw, and says again, under the same id, what
    was not acknowledged.
    """

    def __init__(self, server: Server, conversation: str = "main", patience: float = _PATIENCE) -> None:
        self._server, self._conversation, self._patience = server, conversation, patience
        self._socket: ClientConnection | None = None
        self._at = ""
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._said: dict[str, dict[str, Any]] = {}
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._closed = self._gone = self._up = self._away = False

    async def open(self) -> None:
        """Connect. Raises `Unavailable`."""
        from websockets.asyncio.client import connect  # here: a server, which loads this file too, never does it

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
            await self._send({"type": "resume", "after": self._at or None})
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            raise Unavailable(f"no conversation with the server ({type(error).__name__})") from None

    async def say(self, text: str, model: str = "") -> str:
        """Returns when it is kept, however long the server is away; the id makes a repetition harmless. Somebody has
        to read `events` meanwhile. Raises what the server refuses, and `Unavailable` when it has gone for good."""
        frame = {"type": "message", "id": uuid.uuid4().hex, "text": text, "locale": language(), "model": model}
        waited, self._said[frame["id"]] = 0.0, frame
        try:
            while True:
                told = await self._answer(frame)
                if told["type"] != "error":
                    return str(told["turn"])
                after = told.get("retry_after")
                if not isinstance(after, int | float) or waited + after > _FULL:
                    raise KithError(
                        str(told["message"]),
                        code=str(told["code"]),
                        hint=str(told.get("hint") or told.get("detail") or ""),
                    )
                waited += max(after, 0.1)
                await asyncio.sleep(max(after, 0.1))
        finally:
            del self._said[frame["id"]]

    async def _answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        """What the server says to a frame, which goes again to each new connection, and when no answer comes."""
        answer = self._answers[frame["id"]] = asyncio.get_running_loop().create_future()
        try:
            while not answer.done():
                if self._gone:
                    raise Unavailable(_AWAY)
                if self._up:
                    with suppress(WebSocketException, OSError):
                        await self._send(frame)
                await asyncio.wait({answer}, timeout=_ANSWER)
            return answer.result()
        finally:
            del self._answers[frame["id"]]
            answer.cancel()

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Events, each whole reply once, until `close`. Raises `Unavailable` when the server stays away."""
        try:
            while not self._closed:
                assert self._socket is not None
                with suppress(WebSocketException, OSError):
                    async for raw in self._socket:
                        for event in await self._read(raw):
                            yield event
                self._up = False
                if self._closed:
                    return
                if not self._away:
                    self._away = True
                    yield StreamEvent(0, "lost", {}, 0)
                await self._again()
        finally:
            self._gone = True
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Unavailable(_AWAY))

    async def cancel(self, turn: str) -> None:
        """Ask the server to stop making a reply."""
        with suppress(WebSocketException, OSError):
            await self._send({"type": "cancel", "turn": turn})

    async def close(self) -> None:
        """Leave."""
        self._closed = True
        if self._socket is not None:
            await self._socket.close()

    async def _send(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps({"conversation": self._conversation, **frame}))

    async def _read(self, raw: str | bytes) -> list[StreamEvent]:
        """What a frame tells. A reply whose cursor names its turn is the last one of it."""
        frame = _frame(raw)
        self._at = str(frame.get("at") or self._at)
        kind, events = str(frame.get("type")), list[StreamEvent]()
        match kind:
            case "accepted" | "error":
                waiting = self._answers.get(str(frame.get("id")))
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
            case "resumed":
                events += await self._resumed()
            case "message" if "text" in frame:
                if frame.get("id") not in self._seen:
                    self._seen.append(str(frame.get("id")))
                    events.append(StreamEvent(0, kind, frame, len(raw)))
                if (turn := str(frame.get("turn") or "")) and self._at.rpartition(".")[2] == turn:
                    events.append(StreamEvent(0, "end", {"turn": turn}, 0))
            case "delta" | "reset" | "end":
                events.append(StreamEvent(0, kind, frame, len(raw)))
            case _:
                pass
        return events

    async def _resumed(self) -> list[StreamEvent]:
        """From here on nothing is missed: say what waits to be said."""
        self._up, away, self._away = True, self._away, False
        for frame in tuple(self._said.values()):
            await self._send(frame)
        return [StreamEvent(0, "back", {}, 0)] if away else []

    async def _again(self) -> None:
        """Connect anew, to the same server or to the one that took its place."""
        began, wait = time.monotonic(), 0.1
        while time.monotonic() - began < self._patience:
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            wait = min(wait * 2, _LONGEST)
            self._server = await find_server() or self._server
            with suppress(Unavailable):
                return await self.open()
        raise Unavailable(_AWAY, hint="start it again with: kith serve")


def _frame(raw: str | bytes) -> dict[str, Any]:
    """A frame of the server; one that is none counts as empty."""
    try:
        frame: object = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", frame) if isinstance(frame, dict) else {}
