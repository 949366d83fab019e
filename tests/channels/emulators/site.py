"""A web application on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from websockets.exceptions import ConnectionClosed


async def reach(sending: Awaitable[None]) -> None:
    """What a platform tells an end that has gone meanwhile: it is told again when it is back, if at all."""
    with suppress(ConnectionError, ConnectionClosed):
        await sending


async def turn_away(server: asyncio.Server) -> None:
    """To be awaited before a server is closed: nobody more is accepted, and who was just accepted has come in.

    asyncio makes the connection of one that was accepted in a later turn of the loop, and forgets the socket when its
    server was closed in between: Python complains of that in some later test.
    """
    for one in server.sockets:
        asyncio.get_running_loop().remove_reader(one.fileno())
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Its address, while it listens."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await turn_away(site._server)  # pyright: ignore
        await runner.cleanup()
