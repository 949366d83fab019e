"""What carries requests of the one HTTP client: connections over plain asyncio, kept alive and used again.

It stands in `httpx` where its own transport would: that one answers half as many requests, and twice the memory. There
are no proxies, no HTTP/2 and no redirects here; a connection goes where its request says and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from functools import cache
from typing import Any, cast

import httpx

from kith.runtime.line import Line

_IDLE = 5.0  # seconds for which a connection is kept; most servers keep it for as long
_STAGGER = 0.25  # seconds after which the next address of a name is tried beside (RFC 8305, 5)
Place = tuple[str, str, int, str]


@cache
def usual_trust() -> ssl.SSLContext:
    """Trust in the usual certificate authorities; read once, when something encrypted is first asked."""
    found = httpx.create_ssl_context(trust_env=False)
    found.set_alpn_protocols(["http/1.1"])
    return found


class Carrier(httpx.AsyncBaseTransport):
    """At most `most` connections at once; up to `kept` unused ones for each place are kept for a moment."""

    def __init__(self, *, trust: ssl.SSLContext | None = None, most: int = 100, kept: int = 10) -> None:
        self._trust, self._kept = trust, kept
        self._room = asyncio.Semaphore(most)
        self._idle: dict[Place, list[Line]] = {}
        self._lines = set[Line]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        times = cast("dict[str, Any]", request.extensions.get("timeout", {}))
        place = _place(request)
        await self._enter(times.get("pool"))
        with contextlib.ExitStack() as undo:
            undo.callback(self._room.release)
            line = self._waiting(place) or await self._connect(place, times.get("connect"))
            undo.callback(self._drop, line)
            await line.ask(request, times)
            undo.pop_all()
        told = {"http_version": b"HTTP/1.1", "reason_phrase": line.reason}
        body = _Body(self, line, place, times.get("read"))
        return httpx.Response(line.status, headers=line.headers, stream=body, extensions=told)

    async def aclose(self) -> None:
        """End every connection."""
        for line in tuple(self._lines):
            self._drop(line)
        self._idle.clear()

    def back(self, line: Line, place: Place) -> None:
        """An answer was read or given up: the connection is kept, or ended."""
        self._room.release()
        rows = self._idle.setdefault(place, [])
        if not line.idle or len(rows) >= self._kept or line not in self._lines:
            self._drop(line)
            if not rows:
                del self._idle[place]
            return
        line.rest()
        rows.append(line)
        line.timer = asyncio.get_running_loop().call_later(_IDLE, self._expire, line, place)

    def _expire(self, line: Line, place: Place) -> None:
        self._drop(line)
        rows = [one for one in self._idle.get(place, ()) if not one.closed]
        if rows:
            self._idle[place] = rows
        else:
            self._idle.pop(place, None)

    def _drop(self, line: Line) -> None:
        self._lines.discard(line)
        line.close()

    async def _enter(self, patience: float | None) -> None:
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(patience):
                await self._room.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("too many requests are on their way") from None

    def _waiting(self, place: Place) -> Line | None:
        """A connection that waits, the one used last."""
        rows = self._idle.get(place)
        while rows:
            line = rows.pop()
            if line.timer is not None:
                line.timer.cancel()
                line.timer = None
            if not line.closed:
                return line
            self._lines.discard(line)
        return None

    async def _connect(self, place: Place, patience: float | None) -> Line:
        scheme, host, port, name = place
        trust = (self._trust or usual_trust()) if scheme == "https" else None
        try:
            async with asyncio.timeout(patience):
                line = await _first([self._reach(one, port, trust, name) for one in await _named(host, port)])
        except TimeoutError:
            raise httpx.ConnectTimeout(f"{host} did not answer in time") from None
        except (OSError, ssl.CertificateError, UnicodeError) as error:
            raise httpx.ConnectError(str(error) or type(error).__name__) from error
        self._lines.add(line)
        return line

    async def _reach(self, address: str, port: int, trust: ssl.SSLContext | None, name: str) -> Line:
        made: Any = await asyncio.get_running_loop().create_connection(
            Line, address, port, ssl=trust, server_hostname=name if trust else None
        )
        return cast("Line", made[1])


class _Body(httpx.AsyncByteStream):
    """The body of an answer. Closing it before its end ends the connection, which tells the server to stop."""

    def __init__(self, carrier: Carrier, line: Line, place: Place, patience: float | None) -> None:
        self._carrier, self._line, self._place, self._patience = carrier, line, place, patience
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._line.piece(self._patience):
            yield piece

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            self._carrier.back(self._line, self._place)


def _place(request: httpx.Request) -> Place:
    url = request.url
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol(f"{url.scheme or 'nothing'}:// is not spoken here")
    host = url.raw_host.decode("ascii")
    name = str(request.extensions.get("sni_hostname") or host)
    return url.scheme, host, url.port or (443 if url.scheme == "https" else 80), name


async def _named(host: str, port: int) -> list[str]:
    """The addresses of a host, one of each family in turn (RFC 8305, 4). Raises `OSError`."""
    with contextlib.suppress(ValueError, OSError):
        for family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                socket.inet_pton(family, host)
                return [host]
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(row[4][0]) for row in rows))
    first = [one for one in found if (":" in one) == (":" in found[0])]
    others = [one for one in found if one not in first]
    turns = list(zip(first, others, strict=False))
    mixed = [one for pair in turns for one in pair]
    return mixed + first[len(turns) :] + others[len(turns) :]


async def _first(tries: list[Coroutine[Any, Any, Line]]) -> Line:
    """The connection that is made first; each try begins a moment after the one before, or when that has failed."""
    if len(tries) == 1:
        return await tries[0]
    running = set[asyncio.Task[Line]]()
    failure: BaseException = OSError("the name has no address")
    waiting = list(reversed(tries))
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(waiting.pop()))
            patience = _STAGGER if waiting else None
            done, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is None:
                    return task.result()
                failure = error
        raise failure
    finally:
        for one in waiting:
            one.close()
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)


def _discard(task: asyncio.Task[Line]) -> None:
    """End a connection that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
