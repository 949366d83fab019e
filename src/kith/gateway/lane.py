"""A short way to the routes that programs ask all the time: their handlers, without what the framework does for them.

Such a route says ``lane`` in its `opt`, and its handler wants nothing but the request. It is registered as any other,
and described by what it declares; only what names its path and method exactly comes in here, behind the same gate and
the same role. Litestar's way to a handler (a copy of the scope's state, a stack for dependencies, arguments by
signature, a response by annotation) costs as much as all that the gate does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.errors import Refused
from kith.core.people import Principal
from kith.gateway.access import allow, declared
from kith.gateway.body import Call
from kith.gateway.failures import Refusal, translate

Lanes = Mapping[tuple[str, str], ASGIApp]
"""Applications by method and path."""


def lanes(routes: Sequence[HTTPRouteHandler], failed: Callable[[Call, Exception], ASGIApp]) -> Lanes:
    """The short ways to those `routes` that declare one; `failed` is how the framework answers an error there."""
    quick = [route for route in routes if route.opt.get("lane")]
    return {
        (str(method), path): _lane(route, failed)
        for route in quick
        for path in route.paths
        for method in route.http_methods
    }


def _lane(route: HTTPRouteHandler, failed: Callable[[Call, Exception], ASGIApp]) -> ASGIApp:
    handle, role = cast("Callable[[Call], Awaitable[ASGIApp]]", route.fn), declared(route)

    async def lane(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            allow(cast("Principal", scope["user"]), role)
        except Refused as error:
            await Refusal(translate(error))(scope, receive, send)
            return
        request: Call = Request(cast("Any", scope), receive, send)
        try:
            answer = await handle(request)
        except Exception as error:  # noqa: BLE001  # translated for the client
            answer = failed(request, error)
        await answer(scope, receive, send)

    return lane
