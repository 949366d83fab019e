"""A loopback TCP proxy with bad habits: it cuts connections, and swallows bytes while the socket stays open."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from tests.channels.emulators.site import turn_away


class Proxy:
    """`async with Proxy(port) as proxy:` listens on `proxy.port` and passes everything on to ``host:port``.

    `cut` resets every open connection; `blackhole` swallows what comes, both ways, on old and new connections, without
    closing anything; `heal` passes on again (what was swallowed is gone, as after a lost route: TCP would repeat it,
    so `heal` also cuts the connections that lost something). `refuse` turns new connections away.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.target = host, port
        self._server: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.refuse = False
        self.connections = 0
        self.swallowed = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await turn_away(self._server)
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    def lead(self, port: int) -> None:
        """New connections go to another port."""
        self.target = self.target[0], port

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        pairs = tuple(self._pairs)
        for pair in pairs:
            for writer in pair:
                writer.transport.abort()
        return len(pairs)

    def blackhole(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._open.clear()

    def heal(self) -> None:
        """Pass on again."""
        self._open.set()
        if self.swallowed:
            self.cut()
            self.swallowed = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            if self.refuse:
                writer.transport.abort()
                return
            await self._open.wait()  # a new connection into a black hole is accepted by nobody
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard(pair)
            for side in pair:
                side.transport.abort()
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await side.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if not self._open.is_set():
                self.swallowed += len(chunk)
                continue
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
