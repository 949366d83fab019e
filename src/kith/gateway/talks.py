"""How dialogues stand and fare: their state, the paths that they take, their outcomes, and what could be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.gateway.acting import acting
from kith.gateway.body import Call
from kith.gateway.ports import GatewayPorts
from kith.gateway.rest import visible
from kith.gateway.stream import Whole


class Talks:
    """The routes about dialogues."""

    def __init__(self, ports: GatewayPorts) -> None:
        self._ports = ports

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        stands = {"answer": "Standing", "role": "guest"}
        return (get("/api/conversations/{conversation:str}/state", opt=stands)(self.standing),)

    async def standing(self, request: Call, conversation: FromPath[str]) -> ASGIApp:
        """Where the dialogue of a conversation stands: its state, the open form, what is missing and what waits."""

        async def work() -> tuple[int, Any]:
            await visible(self._ports, request.user, conversation, acting(request))
            found = await self._ports.store.conversation(conversation)
            return 200, {
                "conversation": found.id,
                **self._ports.flows.standing(found.state, self._ports.clock.now()),
            }

        return Whole(work)
