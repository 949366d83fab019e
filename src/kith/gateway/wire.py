"""The server's outer wall: limits that have to hold before there is a request, and a server that can be embedded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator, Iterable
from typing import Any, cast

import uvicorn
from litestar.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kith.gateway.failures import Failure
from kith.gateway.settings import GatewaySettings

_LINGER = 5.0  # seconds in which a client may finish sending what has already been answered
_TOGETHER = 16 * 1024  # bytes
_HEAD_TOO_LARGE = Failure(431, "head_too_large", "the request line and headers are too large")
_PHRASES = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


class Gathering:
    """A transport that writes what is said in one turn of the event loop at once: a head and its body, or the end of a
    stream in three parts. Each write is a system call, and a packet; for short answers these are what costs most.

    More than `_TOGETHER` bytes do not wait, so that a client that reads slowly is noticed.
    """

    __slots__ = ("_loop", "_said", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._loop = transport, asyncio.get_running_loop()
        self._said: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Say something, now or in a moment."""
        if not self._said:
            self._loop.call_soon(self.flush)
        self._said.append(data)
        self._size += len(data)
        if self._size > _TOGETHER:
            self.flush()

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        self.write(b"".join(list_of_data))

    def flush(self) -> None:
        """Say what waits."""
        said, self._said, self._size = self._said, [], 0
        if said and not self._transport.is_closing():
            self._transport.write(said[0] if len(said) == 1 else b"".join(said))

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Door(HttpToolsProtocol):
    """uvicorn's HTTP connection with what it does not do: limits on the head's size and time, and on connections.

    A client has `read_timeout` seconds to send each head, which ends slow-loris attacks; the body is timed where it
    is read. When an answer is out before its request's body is in, the rest is discarded, but not for long.
    """

    limits = GatewaySettings()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as uvicorn narrows it
        super().connection_made(cast("asyncio.Transport", Gathering(transport)))
        self._heading, self._refused = True, False
        self._head = self._sized = 0
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.limits.max_connections:
            self._refuse(Failure(503, "too_many_connections", "too many connections are open", retry_after=1))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._heading:
            self._head += len(data)
        super().data_received(data)
        if not self._heading or not self._head or self._refused:
            return
        if self._head > self.limits.max_head:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._timer is None:  # a head that came whole needs none
            self._await_head()

    def on_message_begin(self) -> None:
        self._sized = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._sized += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._sized += len(name) + len(value) + 4
        if self._sized <= self.limits.max_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._forget_timer()
        self._heading, self._head = False, 0
        if self._sized > self.limits.max_head:
            self._refuse(_HEAD_TOO_LARGE)
        else:
            super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        if not self._refused:
            super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._heading = True
        self._forget_timer()
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._timer = self.loop.call_later(min(_LINGER, self.limits.read_timeout), self.transport.close)

    def send_400_response(self, msg: str) -> None:
        del msg
        self._refuse(Failure(400, "not_http", "this is not a valid HTTP request"))

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.read_timeout, self._late)

    def _late(self) -> None:
        if self._head:
            self._refuse(Failure(408, "too_slow", "the request was not sent in time"))
        else:
            self.transport.close()  # it has said nothing, so it waits for no answer

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, failure: Failure) -> None:
        """Answer without a request, and close when the client has heard it."""
        if self._refused or self.transport.is_closing():
            return
        self._forget_timer()
        self._refused = True
        body = failure.body("/")
        head = b"HTTP/1.1 %d %s\r\n" % (failure.status, _PHRASES.get(failure.status, b"Bad Request"))
        extra = [*failure.headers(), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        self.transport.write(head + b"".join(b"%s: %s\r\n" % pair for pair in extra) + b"\r\n" + body)
        # Closing at once while bytes still arrive would reset the connection, and the client would lose the answer.
        with contextlib.suppress(OSError):
            self.transport.write_eof()
        self._timer = self.loop.call_later(min(_LINGER, self.limits.read_timeout), self.transport.close)


class Server(uvicorn.Server):
    """uvicorn inside somebody else's process: signals are the household's business. `up` is set when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


def make_server(app: ASGIApp, settings: GatewaySettings, tls: ssl.SSLContext | None = None) -> Server:
    """A server for `app` with every limit of `settings`, encrypted with `tls`."""
    door = type("Door", (Door,), {"limits": settings})
    config = uvicorn.Config(
        cast("ASGI3Application", app),
        loop="none",
        http=cast("type[asyncio.Protocol]", door),
        ws="websockets-sansio",
        ws_max_size=settings.max_frame,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
        timeout_keep_alive=max(1, int(settings.keep_alive)),
        timeout_graceful_shutdown=max(1, int(settings.grace)),
    )
    return Server(config)
