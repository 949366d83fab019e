"""``/api/models``: changing models while they serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.core.errors import NotFound
from kith.gateway.body import Call, read_json
from kith.gateway.ports import GatewayPorts, Versioning
from kith.gateway.rest import administrator
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole


class SwapBody(msgspec.Struct, frozen=True):
    """A model and the version to change to, by default the newest. With `drain`, requests wait where two do not fit."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    version: Annotated[str, msgspec.Meta(max_length=64)] = ""
    drain: Literal["", "yes"] = ""


class Workshop:
    """The routes that change models."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        swap = {"body": SwapBody, "answer": "Swapped", "role": "admin"}
        refresh = {"answer": "Refreshed", "role": "admin"}
        return (
            post("/api/models/swap", status_code=200, opt=swap)(self.swap),
            post("/api/models/refresh", status_code=200, opt=refresh)(self.refresh),
        )

    async def swap(self, request: Call) -> ASGIApp:
        """Change a model to another version without a pause; if that one fails, the old one goes on."""
        administrator(request.user)
        body = await read_json(request, SwapBody, self._settings)

        async def work() -> tuple[int, Any]:
            done = await self._versioning().swap(body.model, body.version, drain=bool(body.drain))
            return 200, asdict(done)

        return Whole(work)

    async def refresh(self, request: Call) -> ASGIApp:
        """Take in the models that were added by command since the start."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            return 200, {"added": list(await self._versioning().refresh())}

        return Whole(work)

    def _versioning(self) -> Versioning:
        models = self._ports.models
        if not isinstance(models, Versioning):
            raise NotFound("this household's models have no versions")
        return models
