"""The client for what strangers write reaches nothing inside, whatever the address is dressed as."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kith.core.errors import Refused
from kith.runtime import http
from kith.runtime.http import http_client, leads_inside, outside

INSIDE = (
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "ff02::1", "nonsense", "",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_inside(address: str) -> None:
    assert not outside(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_outside(address: str) -> None:
    assert outside(address)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://localhost:9/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/"]
)
def test_the_public_client_does_not_reach_inside(url: str) -> None:
    async def story() -> None:
        async with http_client(public=True) as client:
            with pytest.raises(Refused) as caught:
                await client.get(url)
            assert caught.value.code == "inner_address"

    asyncio.run(story())


def test_the_address_that_was_checked_is_the_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means something else at the second look (DNS rebinding) is looked up once."""
    asked: list[str] = []

    async def story() -> None:
        async def resolve(host: str) -> list[str]:
            asked.append(host)
            return [socket.gethostbyname("127.0.0.1")]

        heard: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setattr(http, "addresses", resolve)
        monkeypatch.setattr(http, "outside", lambda _: True)
        async with server, http_client(public=True) as client:
            assert (await client.get(f"http://name.invalid:{port}/x")).status_code == 204
        assert asked == ["name.invalid"] and b"Host: name.invalid" in heard[0]

    asyncio.run(story())


def test_a_redirect_from_outside_must_not_lead_inside() -> None:
    async def story() -> None:
        assert await leads_inside("1.1.1.1", "169.254.169.254")
        assert not await leads_inside("1.1.1.1", "8.8.8.8")
        assert not await leads_inside("127.0.0.1", "127.0.0.2")

    asyncio.run(story())
