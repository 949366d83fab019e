"""The proxy with bad habits does what the channels' tests rely on."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest
from aiohttp import web

from tests.channels.emulators.site import listening
from tests.channels.proxy import Proxy


def test_it_passes_on_cuts_and_swallows() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(100):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def story() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"one")
            assert await reader.readexactly(3) == b"one"
            proxy.blackhole()
            writer.write(b"two")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await reader.read(3)
            assert proxy.swallowed == 3 and proxy.open == 1
            proxy.heal()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"three")
            assert await reader.readexactly(5) == b"three"
            assert proxy.cut() == 1
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        server.close()

    asyncio.run(story())


@pytest.mark.parametrize("turns", range(6))
def test_who_comes_while_it_closes_is_let_go(turns: int) -> None:
    async def story() -> None:
        async with listening(web.Application()) as url, Proxy(int(url.rpartition(":")[2])) as proxy:
            late.extend(socket.create_connection(("127.0.0.1", port)) for port in (proxy.port, proxy.target[1]))
            for _ in range(turns):
                await asyncio.sleep(0)

    late: list[socket.socket] = []
    asyncio.run(story())
    gc.collect()  # what nobody closed complains now
    for one in late:
        one.close()
