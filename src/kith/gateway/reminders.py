"""``/api/me/reminders``: what somebody is to be reminded of, by the one who asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.errors import NotFound
from kith.gateway.body import Call
from kith.gateway.ports import GatewayPorts
from kith.gateway.stream import Whole


class Reminders:
    """The routes about reminders. They are asked for by saying so; here they are seen and taken away."""

    def __init__(self, ports: GatewayPorts) -> None:
        self._ports = ports

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        listed, gone = {"answer": "Reminders", "role": "guest"}, {"answer": "Decision", "role": "guest"}
        return (
            get("/api/me/reminders", opt=listed)(self.reminders),
            delete("/api/me/reminders/{reminder:str}", status_code=200, opt=gone)(self.cancel_reminder),
        )

    async def reminders(self, request: Call) -> ASGIApp:
        """List your reminders, soonest first."""

        async def work() -> tuple[int, Any]:
            return 200, {"reminders": await self._mine(request)}

        return Whole(work)

    async def cancel_reminder(self, request: Call, reminder: FromPath[str]) -> ASGIApp:
        """Take away one of your reminders."""

        async def work() -> tuple[int, Any]:
            agenda = self._ports.agenda
            if agenda is None or all(one["id"] != reminder for one in await self._mine(request)):
                raise NotFound("there is no such reminder", code="reminder_not_found")
            await agenda.cancel(reminder)
            return 200, {"id": reminder, "done": "cancel"}

        return Whole(work)

    async def _mine(self, request: Call) -> list[Mapping[str, Any]]:
        memory, agenda = self._ports.memory, self._ports.agenda
        if memory is None or agenda is None:
            return []
        found = [one for person in await memory.mine(request.user.id) for one in await agenda.described(person)]
        return sorted(found, key=lambda one: (one["next"], one["id"]))
