"""Stream mode: a WebSocket on which every message waits for our answer (open.dingtalk.com, "Stream mode protocol")."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from kith.channels.kit import decoded_fields, inner, word
from kith.core.errors import Unavailable
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_CONNECT = 15.0

Hear = Callable[[dict[str, Any] | None], None]


class Line:
    """One connection. `hear` gets every callback as it is, and None when DingTalk wants this connection replaced;
    `alive` is called on any traffic."""

    def __init__(self, hear: Hear, alive: Callable[[], None], lost: Callable[[str], None]) -> None:
        self._hear, self._alive, self._lost = hear, alive, lost
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, url: str) -> None:
        """Connect. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(_CONNECT):
                self._socket = await connect(
                    url, proxy=None, ping_interval=None, max_size=4 * 1024 * 1024, close_timeout=2
                )
        except (InvalidHandshake, WebSocketException, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"DingTalk's socket does not open ({type(error).__name__})", retry_after=2.0) from None
        self._task = asyncio.create_task(self._listen(self._socket))

    async def close(self) -> None:
        """Hear nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def acknowledge(self, frame: dict[str, Any]) -> None:
        """Answer a callback: it is kept. Raises `Unavailable`."""
        await self._answer(frame, '{"response":null}')

    async def ask(self) -> None:
        """Ping, and wait for the pong. Raises `Unavailable`."""
        if self._socket is None:
            raise Unavailable("DingTalk's socket is closed")
        try:
            await (await self._socket.ping())
        except (WebSocketException, OSError) as error:
            raise Unavailable(f"DingTalk's socket is closed ({type(error).__name__})") from None

    async def _answer(self, frame: dict[str, Any], data: str) -> None:
        if self._socket is None:
            raise Unavailable("DingTalk's socket is closed")
        name = word(inner(frame, "headers"), "messageId")
        answer = {
            "code": 200,
            "headers": {"contentType": "application/json", "messageId": name},
            "message": "OK",
            "data": data,
        }
        try:
            await self._socket.send(msgspec.json.encode(answer).decode())
        except (WebSocketException, OSError) as error:
            raise Unavailable(f"DingTalk's socket is closed ({type(error).__name__})") from None

    async def _listen(self, socket: ClientConnection) -> None:
        reason = "DingTalk closed the connection"
        try:
            async for raw in socket:
                self._alive()
                await self._take(raw)
        except (WebSocketException, OSError, Unavailable) as error:
            reason = f"the connection to DingTalk ended ({type(error).__name__})"
        except Exception as error:  # noqa: BLE001  # a bug ends this connection and not the channel
            _log.exception("dingtalk connection failed", error=type(error).__name__)
            reason = f"the DingTalk channel failed ({type(error).__name__})"
        self._lost(reason)

    async def _take(self, raw: str | bytes) -> None:
        frame = decoded_fields(raw)
        match frame.get("type"), word(inner(frame, "headers"), "topic"):
            case "SYSTEM", "disconnect":
                self._hear(None)
            case "SYSTEM", _:
                data = frame.get("data")
                await self._answer(frame, data if isinstance(data, str) else "{}")
            case "CALLBACK", _:
                self._hear(frame)
            case _:
                _log.info("frame not understood")
