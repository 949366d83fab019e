"""The one HTTP client: pooled, kept alive, with time-outs; and one that reaches nothing inside the house."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from typing import Any

import httpx
from httpx import USE_CLIENT_DEFAULT

from kith.core.errors import Refused
from kith.runtime.carrier import Carrier

PER_HOST = 10  # unused connections kept for each host
_EMBEDDED = ipaddress.ip_network("64:ff9b::/96")  # NAT64 (RFC 6052): an IPv4 address stands in its last 32 bits


def http_client(
    *, timeout: float = 30.0, trust: ssl.SSLContext | None = None, public: bool = False, kept: int = PER_HOST
) -> httpx.AsyncClient:
    """A client for everything that goes out; `timeout` is in seconds for each read, not for the whole answer.
    `trust` replaces the trust in the usual certificate authorities. Up to `kept` unused connections to each host are
    kept for a moment and used again.

    With `public`, for addresses that a stranger may have written, it connects only to the public internet, and to the
    very address that was checked, so that a name cannot mean another one a moment later. Redirects are never followed
    by itself. Proxies and netrc of the environment are ignored: where bytes go is decided by the settings alone.
    """
    carrier = (_Public if public else Carrier)(trust=trust, kept=0 if public else kept)
    return _Client(carrier, httpx.Timeout(timeout, connect=10.0))


class _Client(httpx.AsyncClient):
    """It remembers nothing: no cookies, so that no server recognises the household, and no redirects."""

    def __init__(self, carrier: Carrier, timeout: httpx.Timeout) -> None:
        super().__init__(transport=carrier, timeout=timeout, follow_redirects=False, trust_env=False)
        self._carrier = carrier

    async def send(self, request: httpx.Request, *, stream: bool = False, **given: Any) -> httpx.Response:
        """As in `httpx`; what is plainly asked goes straight to the carrier, which takes a third of the time."""
        if self.is_closed or request.url.userinfo or any(value is not USE_CLIENT_DEFAULT for value in given.values()):
            return await super().send(request, stream=stream, **given)
        response = await self._carrier.handle_async_request(request)
        response.request, response.default_encoding = request, "utf-8"
        if response.has_redirect_location:  # who asked may want to follow, and looks first where it leads
            response.next_request = self._build_redirect_request(request, response)
        if not stream:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


class _Public(Carrier):
    """Connects to the address that was checked; the name stays in the request and in the handshake."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        found = await addresses(host)
        if not found or not all(outside(one) for one in found):
            raise Refused(f"{host} is not on the public internet", code="inner_address")
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=found[0])
        return await super().handle_async_request(request)


async def addresses(host: str) -> list[str]:
    """The addresses of a host, as text; none where the name means nothing."""
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(row[4][0]).partition("%")[0] for row in rows]


def outside(address: str) -> bool:
    """Whether an address belongs to the public internet, and none inside is hidden in it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        hidden = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if hidden is None and found in _EMBEDDED:
            hidden = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if hidden is not None:
            return outside(str(hidden))
    return found.is_global and not found.is_multicast


async def leads_inside(first: str, following: str) -> bool:
    """Whether a redirect leads from a host outside to one inside: then somebody else chose the goal."""
    if first == following or not all(outside(one) for one in await addresses(first)):
        return False
    return not all(outside(one) for one in await addresses(following))
