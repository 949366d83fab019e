"""WebSockets: a connected client as a `Peer`, handed to the channel that speaks with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler
from litestar.params import FromPath

from kith.core.errors import KithError, NotFound
from kith.core.people import Principal
from kith.core.ports import Line
from kith.gateway.failures import Gone, Refusal, translate
from kith.gateway.settings import GatewaySettings

Socket = WebSocket[Principal, Any, Any]


class _Caller:
    """Implements the port `Peer` over a WebSocket. Text frames only; both directions are bounded.

    In: the server refuses a frame above `max_frame`, and reads the next one only when the last has been taken. Out:
    `send` waits while 64 KiB are unread, and gives the client up after `patience` seconds.
    """

    def __init__(self, socket: Socket, patience: float) -> None:
        self._socket, self._patience = socket, patience

    async def receive(self) -> str:
        event = await self._socket.receive()
        if event["type"] != "websocket.receive":
            raise Gone
        text = event.get("text")
        return text if text is not None else (event.get("bytes") or b"").decode("utf-8", "replace")

    async def send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._socket.send({"type": "websocket.send", "text": text, "bytes": None})
        except TimeoutError:
            raise Gone from None


class Live:
    """The route ``/api/channels/{name}/live``. It ends when the client goes, or when `closing` is set."""

    def __init__(self, lines: Mapping[str, Line], settings: GatewaySettings, closing: asyncio.Event) -> None:
        self._lines, self._settings, self._closing = lines, settings, closing

    def routes(self) -> tuple[WebsocketRouteHandler, ...]:
        """The route, ready to be registered."""
        return (websocket("/api/channels/{name:str}/live", opt={"role": "guest"})(self.live),)

    async def live(self, socket: Socket, name: FromPath[str]) -> None:
        """Talk over a channel's own protocol."""
        line = self._lines.get(name)
        if line is None:
            missing = NotFound(f"there is no live channel {name!r}", code="channel_not_found")
            await Refusal(translate(missing))(socket.scope, socket.receive, socket.send)
            return
        subprotocol = "kith" if "kith" in cast("Any", socket.scope)["subprotocols"] else None
        await socket.accept(subprotocols=subprotocol)
        code, reason = await self._converse(line, _Caller(socket, self._settings.write_timeout), socket.user)
        if code:
            try:
                async with asyncio.timeout(self._settings.write_timeout):
                    await socket.send({"type": "websocket.close", "code": code, "reason": reason})
            except (RuntimeError, OSError, TimeoutError):
                return  # it went away by itself in the meantime

    async def _converse(self, line: Line, caller: _Caller, principal: Principal) -> tuple[int, str]:
        """Run the conversation; the close code and reason to be sent, 0 when the client has gone already."""
        talk = asyncio.ensure_future(line.converse(caller, principal))
        stop = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((talk, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (talk, stop):
                task.cancel()
            results = await asyncio.gather(talk, stop, return_exceptions=True)
        error = results[0]
        if isinstance(error, asyncio.CancelledError):
            return 1012, "the server is stopping"
        if isinstance(error, Gone | WebSocketDisconnect | OSError):
            return 0, ""
        if isinstance(error, KithError):
            return 1008, translate(error).message[:100]
        return (1011, translate(error).message) if isinstance(error, BaseException) else (1000, "")
