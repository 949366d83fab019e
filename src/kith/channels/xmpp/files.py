"""Files: uploaded to the server (XEP-0363) and told as addresses (XEP-0066, out of band data), which is how they come.

An address in a message may have been written by anybody: it is asked only on the public internet and only over HTTPS.
The one exception is where the own server keeps files, which may well be inside the house.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from kith.channels.kit import download
from kith.channels.xmpp.wire import Wire
from kith.core.errors import Invalid, KithError, Refused, Unavailable

# What a slot may have sent along with the upload (XEP-0363, section 5).
_HEADERS = ("authorization", "cookie", "expires")


class Files:
    """Of one connection. `inside` is the client for our own server, `outside` one that reaches only the internet."""

    def __init__(self, wire: Wire, inside: httpx.AsyncClient, outside: httpx.AsyncClient) -> None:
        self._wire, self._inside, self._outside = wire, inside, outside
        self._origin: tuple[str, str, int | None] | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        await self._inside.aclose()
        await self._outside.aclose()

    async def put(self, data: bytes, mime: str, name: str) -> str:
        """Store a file at the server; its address. Raises `Invalid` where it takes none, `Unavailable`, `Refused`."""
        goal, headers, address = await self._wire.slot(name, len(data), mime)
        sent = {key: value for key, value in headers.items() if key.lower() in _HEADERS and value.isprintable()}
        try:
            answer = await self._inside.put(goal, content=data, headers={**sent, "Content-Type": mime})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"the XMPP server takes no file now ({type(error).__name__})", retry_after=5.0) from None
        if answer.status_code not in (200, 201, 204):
            raise _no(answer.status_code)
        return address

    async def get(self, address: str, most: int) -> tuple[bytes, str]:
        """The bytes at an address that somebody wrote. Raises `Invalid`, `Refused`, `Unavailable`."""
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            raise Invalid("this is no address of a file", code="not_wanted") from None
        if url.host in self._wire.names and (url.scheme, url.host, url.port) == await self._own():
            return await download(self._inside, address, most)
        if url.scheme != "https":
            raise Refused("a file is fetched only over HTTPS")
        return await download(self._outside, address, most)

    async def _own(self) -> tuple[str, str, int | None]:
        """Scheme, host and port at which our server keeps files: those of a slot that is asked for and not used."""
        if self._origin is None:
            url = httpx.URL((await self._wire.slot("kith.txt", 1, "text/plain"))[2])
            self._origin = (url.scheme, url.host, url.port)
        return self._origin


def opener(http: Callable[..., httpx.AsyncClient], wire: Wire) -> Files:
    """Files over two clients of the house's."""
    return Files(wire, http(timeout=30.0, trust=wire.trust), http(timeout=30.0, public=True))


def _no(status: int) -> KithError:
    if status == 413:
        return Invalid("the file is larger than the XMPP server takes", code="too_large")
    if status in (401, 403):
        return Refused("the XMPP server takes no files of ours")
    return Unavailable(f"the XMPP server does not take the file ({status})", retry_after=5.0)
