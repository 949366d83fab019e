"""What every request passes before any route sees it: the host it names, the page it comes from, who sends it."""

from __future__ import annotations

import ipaddress
from typing import Any, cast

from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.errors import KithError, Refused
from kith.core.ports import Auth
from kith.gateway.failures import Refusal, translate

OPEN = frozenset({"/", "/health/live", "/health/ready", "/health/start"})
_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SECURE = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class Gate:
    """ASGI middleware, outside everything else.

    - The ``Host`` header has to name this machine: a page that rebinds its own name to 127.0.0.1 (DNS rebinding)
      still sends its own name.
    - ``Origin``, which browsers send and scripts cannot forge, has to be this server itself.
    - Every path but `OPEN` needs ``Authorization: Bearer``. Browsers cannot set headers on a WebSocket, so there the
      token may stand as the subprotocol ``bearer.<token>`` beside ``kith``; never in the address, because addresses
      are written to logs and histories.

    The principal is handed on as ``scope["user"]``.
    """

    def __init__(self, app: ASGIApp, auth: Auth, host: str) -> None:
        self._app, self._auth = app, auth
        self._names = _NAMES | {host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        guarded = _secured(send) if scope["type"] == "http" else send
        try:
            await self._check(scope)
        except KithError as error:
            await Refusal(translate(error))(scope, receive, guarded)
            return
        except Exception as error:  # noqa: BLE001  # the authenticator's bug must not reach the client either
            await Refusal(translate(error))(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    async def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in (b"host", b"origin", b"authorization"):
                raise Refused(f"the header {name.decode()} stands twice", code="header_twice")
            headers[name] = value
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if _name(host) not in self._names:
            raise Refused("the Host header does not name this machine", code="host_refused", hint="use 127.0.0.1")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in (f"http://{host}", f"https://{host}"):
            raise Refused("pages of other sites may not use this server", code="origin_refused")
        if scope["path"] not in OPEN:
            cast("dict[str, Any]", scope)["user"] = await self._auth.authenticate(_credential(scope, headers))


def _name(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets; empty when it is not well formed."""
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        return name if closed and (not port or (port[0] == ":" and port[1:].isdecimal())) else ""
    name, colon, port = host.partition(":")
    if colon and not port.isdecimal():
        return ""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _credential(scope: Scope, headers: dict[bytes, bytes]) -> str:
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if scope["type"] == "websocket":
        offered = cast("list[str]", scope.get("subprotocols", []))
        return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), "")
    return ""


def _secured(send: Send) -> Send:
    async def sending(event: Any) -> None:
        if event["type"] == "http.response.start":
            present = {name for name, _ in event["headers"]}
            event["headers"] = [*event["headers"], *(pair for pair in _SECURE if pair[0] not in present)]
        await send(event)

    return sending
