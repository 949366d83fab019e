"""One HTTP/1.1 connection to somewhere else: a request goes out in one piece, the answer comes in as it is read.

Parsing is llhttp's (`httptools`, strict: https://llhttp.org), over a plain asyncio transport, encrypted or not. What
goes wrong is raised in the words of `httpx`.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any, cast

import httptools
import httpx

_HIGH = 64 * 1024  # bytes of an answer that wait for their reader; then the other side has to wait
_HEAD = 100 * 1024  # bytes of the status line and headers that are believed
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BARE = frozenset({204, 304})  # answers that have no body (RFC 9110, 15)


class Line(asyncio.Protocol):
    """A connection, used for one request at a time. `idle` says that another one may follow."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = False
        self.timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._reset(bare=False)

    def _reset(self, *, bare: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._chunks = deque[bytes]()
        self._waiting = self._read = 0
        self._bare, self._headed, self._done, self._framed, self._interim = bare, False, False, False, False
        self._stays = False
        self._error: httpx.TransportError | None = None
        self.status, self.reason, self.headers = 0, b"", list[tuple[bytes, bytes]]()

    @property
    def idle(self) -> bool:
        """Whether the answer is complete and the connection can serve another request."""
        return self._done and self._stays and not (self.closed or self._bare or self._error)

    def rest(self) -> None:
        """Nothing is asked now: whatever still comes makes the connection useless."""
        self._busy = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._done or self._error is not None:
            self.close()
            return
        if not self._headed:
            self._read += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("the server changes to a protocol that nobody asked for"))
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(f"this is not HTTP: {error}"))
        if not self._headed and self._read > _HEAD:
            self._fail(httpx.RemoteProtocolError("the answer's head is too large"))
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._busy and not self._done and self._error is None:
            if exc is None and self._headed and not self._framed:
                self._done = True  # an answer without a length ends where the connection does (RFC 9112, 6.3)
            else:
                self._error = httpx.RemoteProtocolError("the server closed the connection before its answer was whole")
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._done:
            self._fail(httpx.RemoteProtocolError("the server answers more than it was asked"))
        self.headers, self.reason = [], b""

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        lower = name.lower()
        self._framed = self._framed or lower in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._interim = 100 <= self.status < 200
        if self._interim:
            self._framed = False
            return
        self._headed, self._stays = True, bool(self._parser.should_keep_alive())
        self._framed = self._framed or self.status in _BARE
        if self._bare:
            self._done = True

    def on_body(self, body: bytes) -> None:
        if self._bare or self._error is not None:
            return
        self._chunks.append(body)
        self._waiting += len(body)
        if self._waiting > _HIGH and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if not self._interim:
            self._done = True

    # What is done with it.

    async def ask(self, request: httpx.Request, times: dict[str, Any]) -> None:
        """Send a request, and return when `status` and `headers` are known. Raises what `httpx` raises."""
        self._busy = True
        self._reset(bare=request.method == "HEAD")
        head, chunked = _head(request)
        if isinstance(request.stream, httpx.ByteStream):
            await self._write(head + b"".join(request.stream), times)
        else:
            await self._write(head, times)
            async for piece in cast("httpx.AsyncByteStream", request.stream):
                if piece:
                    await self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece, times)
                if self._headed:
                    break  # it has answered: the rest is of no use to it
            if chunked:
                await self._write(b"0\r\n\r\n", times)
        while not self._headed and self._error is None:
            await self._wait(times.get("read"))
        if not self._headed and self._error is not None:
            raise self._error

    async def piece(self, patience: float | None) -> bytes:
        """More of the answer's body, empty at its end; it waits up to `patience` seconds."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._done:
                return b""
            await self._wait(patience)
        found = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self._waiting > _HIGH and self._transport is not None and not self.closed:
            self._transport.resume_reading()
        self._waiting = 0
        return found

    def close(self) -> None:
        """End it at once."""
        self.closed = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._transport is not None:
            self._transport.abort()

    async def _write(self, data: bytes, times: dict[str, Any]) -> None:
        if self.closed or self._transport is None:
            raise httpx.WriteError("the connection was closed")
        self._transport.write(data)
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(times.get("write")):
                    await self._writable.wait()
            except TimeoutError:
                raise httpx.WriteTimeout("the server did not take the request in time") from None

    async def _wait(self, patience: float | None) -> None:
        self._waiter = waiter = self._loop.create_future()
        late = self._loop.call_later(patience, _late, waiter) if patience is not None else None
        try:
            await waiter
        finally:
            self._waiter = None
            if late is not None:
                late.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: httpx.TransportError) -> None:
        self._error = self._error or error
        self.close()


def _late(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx.ReadTimeout("the server did not answer in time"))


def _head(request: httpx.Request) -> tuple[bytes, bool]:
    """The request line and headers, and whether the body goes out in chunks. Raises `httpx.LocalProtocolError`.

    Nothing that stands in a header can begin another one, or another request.
    """
    rows, chunked = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)], False
    for name, value in request.headers.raw:
        if not _TOKEN.fullmatch(name):
            raise httpx.LocalProtocolError(f"{name!r} is no name of a header")
        rows.append(b"%b: %b" % (name, value.strip(b" \t")))
        chunked = chunked or (name.lower() == b"transfer-encoding" and value.lower() == b"chunked")
    head = b"\r\n".join(rows) + b"\r\n\r\n"
    breaks, gaps = {head.count(b"\n"), head.count(b"\r")}, rows[0].count(b" ")
    if breaks != {len(rows) + 1} or b"\0" in head or gaps > 2:
        raise httpx.LocalProtocolError("a line break stands where none can be")
    return head, chunked
