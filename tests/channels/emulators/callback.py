"""An address of our own that a platform's emulator calls over HTTP, as the gateway would take it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from kith.core.channel import Hook, HookReply
from kith.core.errors import KithError
from tests.channels.emulators.site import listening


@asynccontextmanager
async def called(hook: Callable[[Hook], Awaitable[HookReply]]) -> AsyncIterator[str]:
    """The address, while it listens. What `hook` raises is answered with the error's status."""

    async def take(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            reply = await hook(Hook(request.method, "", dict(request.query), headers, await request.read()))
        except KithError as error:
            return web.Response(status=error.status, text=error.code)
        return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

    app = web.Application()
    app.router.add_route("*", "/hook", take)
    async with listening(app) as url:
        yield f"{url}/hook"
