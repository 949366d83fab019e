"""Where a request comes from: the address behind declared proxies, and lists of who is let in and who is kept out.

A proxy's word (``X-Forwarded-For``, ``X-Forwarded-Proto``) counts only when the connection comes from an address that
the settings declare as a proxy: anybody can send these headers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from litestar.types import Scope

from kith.core.errors import Refused
from kith.gateway.settings import GatewaySettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SHORT = 64  # characters: no address is longer, and nobody fills the memory with ones that are none


class Callers:
    """Tells the address of a request, and refuses those that are not welcome."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._proxies, self._allow, self._deny = (
            _networks(names) for names in (settings.proxies, settings.allow, settings.deny)
        )

    def identify(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Address | None:
        """The caller's address; the scope's client and scheme are set to what a declared proxy says.

        Raises `Refused` (code ``address_refused``) for an address that is denied, or not allowed where some are.
        """
        client = scope["client"]
        peer = _address(str(client[0])) if client else None
        caller = peer
        if peer is not None and _within(peer, self._proxies):
            caller = self._behind(headers.get(b"x-forwarded-for", b""), peer)
            self._rewrite(scope, caller, headers.get(b"x-forwarded-proto", b""))
        if caller is not None and not caller.is_loopback:
            shut = _within(caller, self._deny) or (self._allow and not _within(caller, self._allow))
            if shut:
                raise Refused("requests from this address are not taken", code="address_refused")
        return caller

    def _behind(self, forwarded: bytes, peer: Address) -> Address:
        """The last address of the chain that is not a proxy of ours: those before it are hearsay."""
        for name in reversed(forwarded.decode("latin-1").split(",")):
            found = _address(name.strip())
            if found is None:
                break
            if not _within(found, self._proxies):
                return found
        return peer

    def _rewrite(self, scope: Scope, caller: Address, scheme: bytes) -> None:
        changed = cast("dict[str, Any]", scope)
        changed["client"] = (str(caller), 0)
        if scheme in (b"https", b"http"):
            changed["scheme"] = {"http": "ws", "https": "wss"}[scheme.decode()] if _socket(scope) else scheme.decode()


def _socket(scope: Scope) -> bool:
    return scope["type"] == "websocket"


def _networks(names: Sequence[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _address(name: str) -> Address | None:
    return _short(name) if len(name) <= _SHORT else _read(name)


@lru_cache(maxsize=1024)
def _short(name: str) -> Address | None:
    """The same, remembered: most requests come from addresses that were seen a moment ago."""
    return _read(name)


def _read(name: str) -> Address | None:
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found  # ::ffff:1.2.3.4 is 1.2.3.4: lists are written for the address people know
