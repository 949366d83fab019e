"""Who may use which route: each one declares the least role it is for, and nothing is open by accident."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import cast

from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.errors import Refused
from kith.core.people import Principal, Role
from kith.gateway.failures import Refusal, translate

ROLES: tuple[Role, ...] = ("guest", "member", "admin", "owner")
"""From the least to the most trusted."""
_PARAMETER = re.compile(r"\\{\w+:(\w+)\\}")
_PATTERNS = {"path": ".+"}


def permit(app: ASGIApp) -> ASGIApp:
    """Middleware before every route, HTTP or WebSocket. A route that declares no role is the owner's.

    Litestar's own guards would do the same, but they get a copy of the route's handler, made for every request; and a
    handler can replace what it inherits of hooks, while middleware only adds up.
    """

    async def permitted(scope: Scope, receive: Receive, send: Send) -> None:
        handler = cast("BaseRouteHandler", scope["route_handler"])
        if not handler.opt.get("open"):
            try:
                allow(cast("Principal", scope["user"]), declared(handler))
            except Refused as error:
                await Refusal(translate(error))(scope, receive, send)  # a WebSocket is told before it is accepted
                return
        await app(scope, receive, send)

    return permitted


def declared(handler: BaseRouteHandler) -> Role:
    """The least role that a route is for."""
    role = handler.opt.get("role", "owner")
    return role if role in ROLES else "owner"


def allow(principal: Principal, role: Role) -> None:
    """Raises `Refused` for a principal below `role`."""
    if ROLES.index(principal.role) < ROLES.index(role):
        names = {"owner": "the owner", "admin": "the owner and admins", "member": "members of the household"}
        raise Refused(f"this is for {names.get(role, role)}", code="role_refused")


def openness(routes: Sequence[HTTPRouteHandler]) -> Callable[[str, str], bool]:
    """Tells whether a method of a path may be asked for without a credential: what routes declare with ``open``.

    An unknown method of an open path is open too, so that its caller learns that there is none.
    """
    patterns: list[str] = []
    shut = {
        (method, path)
        for route in routes
        if not route.opt.get("open")
        for path in route.paths
        for method in route.http_methods
    }
    for path in (path for route in routes if route.opt.get("open") for path in route.paths):
        pieces = _PARAMETER.split(re.escape(path))
        kinds = [_PATTERNS.get(kind, "[^/]+") for kind in pieces[1::2]]
        patterns.append("".join(a + b for a, b in zip(pieces[::2], [*kinds, ""], strict=True)))
    pattern = re.compile("|".join(patterns))
    return lambda method, path: (method, path) not in shut and bool(pattern.fullmatch(path.rstrip("/") or "/"))
