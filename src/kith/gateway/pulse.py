"""Health for supervisors and load balancers, and a first page that says what this is. None of it asks for a token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.gateway.body import Call
from kith.gateway.site import PREFIX, moved
from kith.gateway.stream import Whole
from kith.runtime.health import Health

_PAGE = {
    "name": "Kith",
    "what": "a private AI assistant that runs on this machine",
    "api": {"openai": "/v1", "kith": "/api", "description": "/openapi.json", "health": "/health/ready"},
    "access": "send 'Authorization: Bearer kith_...'; the command 'kith token new' makes a token",
}


class Pulse:
    """``/`` and ``/health``. Only names of components are told here; details are behind the token, in /api/state."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        opt = {"answer": "Pulse", "open": True}
        return (
            get("/", opt={"answer": "Page", "open": True})(self.page),
            get("/health/live", opt=opt)(self.live),
            get("/health/ready", opt=opt)(self.ready),
            get("/health/start", opt=opt)(self.start),
        )

    async def page(self, request: Call) -> ASGIApp:
        """What this server is; browsers are led to the web app."""
        if "text/html" in request.headers.get("accept", ""):
            return moved(f"{PREFIX}/")
        return _answer(lambda: (200, _PAGE))

    async def live(self) -> ASGIApp:
        """Whether the process runs: it does, or it would not answer."""
        return _answer(lambda: (200, {"status": "live"}))

    async def ready(self) -> ASGIApp:
        """Whether every required component can work; else 503 with the names of those that cannot."""

        def check() -> tuple[int, Any]:
            bad = ("starting", "failed", "stopped")
            reports = self._health.snapshot().items()
            waiting = sorted(name for name, report in reports if report.required and report.condition in bad)
            return (503, {"status": "not ready", "waiting": waiting}) if waiting else (200, {"status": "ready"})

        return _answer(check)

    async def start(self) -> ASGIApp:
        """Whether starting is over; else 503 with the names of components still on their way up."""

        def check() -> tuple[int, Any]:
            reports = self._health.snapshot().items()
            waiting = sorted(name for name, report in reports if report.condition == "starting")
            return (503, {"status": "starting", "waiting": waiting}) if waiting else (200, {"status": "started"})

        return _answer(check)


def _answer(check: Callable[[], tuple[int, Any]]) -> ASGIApp:
    async def work() -> tuple[int, Any]:
        return check()

    return Whole(work)
