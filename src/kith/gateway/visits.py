"""What the web app's door asks: whether the house has an owner yet, and which browsers are signed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from litestar import delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Scope

from kith.gateway.accounts import Accounts
from kith.gateway.acting import acting
from kith.gateway.body import Call
from kith.gateway.gate import session_cookie
from kith.gateway.stream import Whole


class Visits:
    """The routes ``/api/start`` and ``/api/sessions``."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        ended = {"answer": "Decision", "role": "guest"}
        return (
            get("/api/start", opt={"answer": "Start", "open": True})(self.start),
            get("/api/sessions", opt={"answer": "Sessions", "role": "guest"})(self.sessions),
            delete("/api/sessions/{session:str}", status_code=200, opt=ended)(self.end),
        )

    async def start(self) -> ASGIApp:
        """Whether the owner has chosen a password: before, the console's one-time code is asked for."""

        async def work() -> tuple[int, Any]:
            return 200, {"claimed": await self._accounts.claimed()}

        return Whole(work)

    async def sessions(self, request: Call) -> ASGIApp:
        """The browsers in which the caller is signed in, latest first."""
        secret = session_cookie(cast("Scope", request.scope), request.headers.get("cookie", ""))

        async def work() -> tuple[int, Any]:
            return 200, {"sessions": list(await self._accounts.visits(request.user.id, secret))}

        return Whole(work)

    async def end(self, request: Call, session: FromPath[str]) -> ASGIApp:
        """Sign out of one browser, from another."""

        async def work() -> tuple[int, Any]:
            await self._accounts.end_visit(request.user.id, session, acting(request))
            return 200, {"id": session, "done": "sign out"}

        return Whole(work)
