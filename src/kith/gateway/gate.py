"""What every request passes before any route sees it: whence it comes, what host it names, who sends it, how often."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, cast
from urllib.parse import urlsplit

from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.people import Principal
from kith.core.ports import Auth
from kith.gateway.caller import Address, Callers
from kith.gateway.failures import Refusal, translate
from kith.gateway.lane import Lanes
from kith.gateway.settings import GatewaySettings
from kith.runtime.buckets import Buckets

_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_ONCE = frozenset(
    {b"host", b"origin", b"authorization", b"x-api-key", b"cookie", b"x-forwarded-for", b"x-forwarded-proto"}
)
_SAFE = ("GET", "HEAD", "OPTIONS")
_SECURE = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=(), payment=(), usb=()"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_NAMED = frozenset(name for name, _ in _SECURE)
_STRICT = (b"strict-transport-security", b"max-age=31536000")
Headers = dict[bytes, bytes]


class Gate:
    """ASGI middleware, outside everything else.

    - The address has to be welcome; a proxy's word on it counts only when the proxy is declared.
    - The ``Host`` header has to name this machine, or a name of the settings: a page that rebinds its own name to
      127.0.0.1 (DNS rebinding) still sends its own name.
    - ``Origin``, which browsers send and scripts cannot forge, has to be this server itself.
    - Every path but those that are `open` needs a credential: ``Authorization: Bearer``, or a browser session's
      cookie. With a cookie, whatever changes something and every WebSocket needs an ``Origin`` too, because browsers
      send cookies along by themselves. Browsers cannot set headers on a WebSocket, so there a token may stand as the
      subprotocol ``bearer.<token>`` beside ``kith``; never in the address, because addresses are written to logs.
    - Callers from elsewhere have a bucket of requests, by address and by principal; each route can have its own.

    The principal is handed on as ``scope["user"]``, to the application, or by a short way where one of `lanes` fits.
    """

    def __init__(
        self,
        app: ASGIApp,
        auth: Auth,
        settings: GatewaySettings,
        is_open: Callable[[str, str], bool],
        clock: Clock,
        lanes: Lanes | None = None,
    ) -> None:
        self._app, self._auth, self._open, self._lanes = app, auth, is_open, lanes or {}
        self._callers = Callers(settings)
        self._origins = frozenset(settings.origins)
        self._names = _NAMES | {settings.host} | {urlsplit(origin).hostname or "" for origin in settings.origins}
        self._rate = Buckets(settings.requests_per_minute, settings.request_burst, clock)
        self._routes = {path: Buckets(rate, rate, clock) for path, rate in settings.route_limits.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        guarded = send
        try:
            headers = _headers(scope)
            caller = self._callers.identify(scope, headers)
            guarded = _secured(send, _encrypted(scope)) if scope["type"] == "http" else send
            await self._check(scope, headers, caller)
        except Exception as error:  # noqa: BLE001  # the authenticator's bug must not reach the client either
            guarded = _secured(send, encrypted=False) if guarded is send and scope["type"] == "http" else guarded
            await Refusal(translate(error))(scope, receive, guarded)
            return
        app = self._lanes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (app or self._app)(scope, receive, guarded)

    async def admit(self, scope: Scope, *, is_open: bool = False) -> Principal | None:
        """The same for a call that did not come as HTTP, described as a request: who makes it, None where it is open.

        Such a call names no host and comes from no page. Raises `Refused`.
        """
        headers = _headers(scope)
        caller = self._callers.identify(scope, headers)
        self._come(caller)
        return None if is_open else await self._enter(scope, headers, caller)

    async def _check(self, scope: Scope, headers: Headers, caller: Address | None) -> None:
        self._come(caller)
        self._place(headers)
        if scope["type"] == "http" and self._open(scope["method"], scope["path"]):
            return
        cast("dict[str, Any]", scope)["user"] = await self._enter(scope, headers, caller)

    def _come(self, caller: Address | None) -> None:
        if caller is not None and not caller.is_loopback:
            self._rate.take(str(caller))

    async def _enter(self, scope: Scope, headers: Headers, caller: Address | None) -> Principal:
        principal = await self._auth.authenticate(_credential(scope, headers))
        if caller is not None and not caller.is_loopback:
            self._rate.take(("principal", principal.id))
        self._limit(scope["path"], principal)
        return principal

    def _place(self, headers: Headers) -> None:
        """The host that the request names, and the page that it comes from."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not host or _name(host) not in self._names:
            known = ", ".join(sorted(self._origins)) or "127.0.0.1"
            hint = f"use {known}, or name the address under which you came in gateway.origins"
            raise Refused("the Host header does not name this machine", code="host_refused", hint=hint)
        origin = headers.get(b"origin")
        if origin is not None:
            page = origin.decode("latin-1").lower()
            if page not in (f"http://{host}", f"https://{host}") and page not in self._origins:
                raise Refused("pages of other sites may not use this server", code="origin_refused")

    def _limit(self, path: str, principal: Principal) -> None:
        for beginning, buckets in self._routes.items():
            if path.startswith(beginning):
                buckets.take(principal.id)


def cookie_name(scope: Scope) -> str:
    """The session cookie's name. The prefix makes browsers insist on TLS and on this very host (RFC 6265bis, 4.1.3)."""
    return "__Host-kith" if _encrypted(scope) else "kith"


def session_cookie(scope: Scope, cookie: str) -> str:
    """The session that a ``Cookie`` header carries, empty if none."""
    try:
        found = SimpleCookie(cookie).get(cookie_name(scope))
    except CookieError:
        return ""
    return found.value if found else ""


def _encrypted(scope: Scope) -> bool:
    return scope["scheme"] in ("https", "wss")


def _headers(scope: Scope) -> Headers:
    headers: Headers = {}
    for name, value in scope["headers"]:
        if name in headers and name in _ONCE:
            raise Refused(f"the header {name.decode()} stands twice", code="header_twice")
        headers[name] = value
    return headers


def _name(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets; empty when it is not well formed."""
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        return name if closed and (not port or (port[0] == ":" and port[1:].isdecimal())) else ""
    name, colon, port = host.partition(":")
    if colon and not port.isdecimal():
        return ""
    if name in _NAMES:
        return name
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _credential(scope: Scope, headers: Headers) -> str:
    """What the caller shows of itself. Raises `Refused` when a browser's cookie comes from no page that we know."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return "" if token.strip().startswith("session_") else token.strip()
    if key := headers.get(b"x-api-key", b"").decode("latin-1").strip():  # where Anthropic's clients put it
        return "" if key.startswith("session_") else key
    if scope["type"] == "websocket":
        offered = cast("list[str]", scope.get("subprotocols", []))
        if named := next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), ""):
            return "" if named.startswith("session_") else named
    session = session_cookie(scope, headers.get(b"cookie", b"").decode("latin-1"))
    harmless = scope["type"] == "http" and scope["method"] in _SAFE
    if session and not harmless and b"origin" not in headers:
        raise Refused("a browser's session is used from its own pages only", code="origin_refused")
    return session if session.startswith("session_") else ""


def _secured(send: Send, encrypted: bool) -> Send:
    async def sending(event: Any) -> None:
        if event["type"] == "http.response.start":
            present = {name.lower() for name, _ in event["headers"]}
            added = _SECURE if present.isdisjoint(_NAMED) else [pair for pair in _SECURE if pair[0] not in present]
            event["headers"] = [*event["headers"], *added, *((_STRICT,) if encrypted else ())]
        await send(event)

    return sending
