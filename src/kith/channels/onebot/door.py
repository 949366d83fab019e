"""The WebSocket at which the program calls: "reverse WebSocket" in the OneBot 11 standard."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from kith.channels.onebot.wire import BIGGEST, Link, Pipe
from kith.core.errors import Invalid, KithError, Unavailable

WAIT = 45.0  # programs try again every 3 to 30 s


class Porch:
    """Awaits one program at ``host:port``."""

    def __init__(
        self, listen: str, token: str, heard: Callable[[dict[str, Any]], None], gone: Callable[[KithError], None]
    ) -> None:
        host, _, port = listen.rpartition(":")
        if not token and host not in ("127.0.0.1", "localhost", "::1"):
            raise Invalid("a port that others can reach needs a token", code="bad_field")
        self._host, self._port, self._token = host, int(port), token
        self._heard, self._gone = heard, gone
        self._server: Server | None = None
        self._link: Link | None = None
        self._there = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that is listened to; differs from the wanted one where that was 0."""
        sockets = list(self._server.sockets) if self._server is not None else []
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def open(self) -> None:
        """Listen. Raises `Unavailable` where the port is not free."""
        try:
            self._server = await serve(
                self._come, self._host, self._port, process_request=self._look, max_size=BIGGEST, close_timeout=2
            )
        except OSError as error:
            raise Unavailable(f"the port {self._port} cannot be listened to ({type(error).__name__})") from None

    async def link(self, seconds: float = WAIT) -> Link:
        """The program's connection. Raises `Unavailable` when it does not come."""
        try:
            async with asyncio.timeout(seconds):
                await self._there.wait()
        except TimeoutError:
            raise Unavailable("the OneBot program has not connected yet", retry_after=1.0) from None
        assert self._link is not None
        return self._link

    async def close(self) -> None:
        """Let the program go, and listen no more."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        """Whom to let in: who shows the token, in the header or in the query, and speaks both ways on one socket."""
        shown = request.headers.get("Authorization", "").partition(" ")[2]
        shown = shown or parse_qs(urlsplit(request.path).query).get("access_token", [""])[0]
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), self._token.encode()) and self._token:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "the token is not ours\n")
        if request.headers.get("X-Client-Role", "Universal") not in ("Universal", ""):
            return connection.respond(HTTPStatus.BAD_REQUEST, "one connection for both, please: Universal\n")
        return None

    async def _come(self, connection: ServerConnection) -> None:
        if self._link is not None:  # the older connection is dead, though nobody noticed
            self._gone(Unavailable("the OneBot program has connected anew"))
            return
        self._link = Link(cast("Pipe", connection), self._heard, self._gone)
        self._there.set()
        await connection.wait_closed()
