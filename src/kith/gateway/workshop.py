"""``/api/models``: fetching, changing and removing models while they serve, and why one of them is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.audit import Act
from kith.core.errors import Fault, Invalid, NotFound
from kith.core.message import Message, Text
from kith.core.model import ChatRequest
from kith.gateway.acting import acting
from kith.gateway.body import Call, read_json
from kith.gateway.ports import GatewayPorts, Intake, Shelved, Versioning
from kith.gateway.rest import administrator
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

Named = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class SwapBody(msgspec.Struct, frozen=True):
    """A model and the version to change to, by default the newest. With `drain`, requests wait where two do not fit."""

    model: Named
    version: Annotated[str, msgspec.Meta(max_length=64)] = ""
    drain: Literal["", "yes"] = ""


class FetchBody(msgspec.Struct, frozen=True):
    """Where a model comes from (a URL, ``hf:owner/repository/file``, a path on the server), and its name here."""

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    name: Annotated[str, msgspec.Meta(max_length=80, pattern=r"^[\w.-]*$")] = ""


class RemoveBody(msgspec.Struct, frozen=True):
    """A model to be taken away."""

    model: Named


class RouteBody(msgspec.Struct, frozen=True):
    """Words that might be said, and the model that might be asked for."""

    text: Annotated[str, msgspec.Meta(max_length=20_000)] = ""
    model: Annotated[str, msgspec.Meta(max_length=100)] = ""


class Workshop:
    """The routes that change models."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        swap = {"body": SwapBody, "answer": "Swapped", "role": "admin"}
        refresh = {"answer": "Refreshed", "role": "admin"}
        fetch = {"body": FetchBody, "answer": "Coming", "status": 202, "role": "admin"}
        gone, removed = {"answer": "Decision", "role": "admin"}, {"body": RemoveBody, "answer": "Decision"}
        why = {"body": RouteBody, "answer": "Route", "role": "member"}
        kept = {"answer": "Versions", "query": ("model",), "role": "admin"}
        return (
            get("/api/models/downloads", opt={"answer": "Downloads", "role": "admin"})(self.downloads),
            post("/api/models/downloads", status_code=202, opt=fetch)(self.fetch),
            delete("/api/models/downloads/{coming:str}", status_code=200, opt=gone)(self.cancel),
            post("/api/models/remove", status_code=200, opt={**removed, "role": "admin"})(self.remove),
            post("/api/models/route", status_code=200, opt=why)(self.route),
            get("/api/models/versions", opt=kept)(self.versions),
            get("/api/advice", opt={"answer": "Advice", "query": ("locale",), "role": "admin"})(self.advice),
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

    async def downloads(self) -> ASGIApp:
        """The models on their way into the house, and those that lately were, with their progress in bytes."""

        async def work() -> tuple[int, Any]:
            return 200, {"downloads": list(self._intake().all())}

        return Whole(work)

    async def fetch(self, request: Call) -> ASGIApp:
        """Begin to fetch a model; it joins the others once it is whole and checked."""
        body = await read_json(request, FetchBody, self._settings)

        async def work() -> tuple[int, Any]:
            by = acting(request)
            coming = self._intake().begin(body.source, body.name)
            host = body.source.partition("?")[0][:200]  # what follows may be a secret
            detail = {"source": host, "name": str(coming["name"])}
            await self._ports.journal.act(Act("model.fetch", by.actor, str(coming["id"]), by.origin, detail=detail))
            return 202, coming

        return Whole(work)

    async def cancel(self, request: Call, coming: FromPath[str]) -> ASGIApp:
        """Stop fetching a model; what has arrived is kept for the next try."""

        async def work() -> tuple[int, Any]:
            by = acting(request)
            await self._intake().cancel(coming)
            await self._ports.journal.act(Act("model.fetch_cancelled", by.actor, coming, by.origin))
            return 200, {"id": coming, "done": "cancel"}

        return Whole(work)

    async def remove(self, request: Call) -> ASGIApp:
        """Take a model away that was added, with all its versions."""
        body = await read_json(request, RemoveBody, self._settings)

        async def work() -> tuple[int, Any]:
            by = acting(request)
            await self._shelved().remove(body.model)
            await self._ports.journal.act(Act("model.remove", by.actor, body.model, by.origin))
            return 200, {"id": body.model, "done": "remove"}

        return Whole(work)

    async def route(self, request: Call) -> ASGIApp:
        """Which models would be asked for these words, in order, and why; nothing is asked."""
        body = await read_json(request, RouteBody, self._settings)

        async def work() -> tuple[int, Any]:
            said = Message("m", "user", (Text(body.text),), self._ports.clock.now())
            return 200, asdict(self._shelved().route(ChatRequest((said,), body.model)))

        return Whole(work)

    async def versions(self, request: Call) -> ASGIApp:
        """The kept versions of a model."""
        name = request.query_params.get("model", "")
        if not 0 < len(name) <= 100:
            raise Invalid("the request is not valid", faults=(Fault("model", "is required"),))

        async def work() -> tuple[int, Any]:
            return 200, {"versions": list(await self._shelved().versions(name))}

        return Whole(work)

    async def advice(self, request: Call) -> ASGIApp:
        """Which size of model suits this machine, and why."""
        locale = request.query_params.get("locale", "")[:35]

        async def work() -> tuple[int, Any]:
            if self._ports.advise is None:
                raise NotFound("nothing here knows this machine")
            return 200, await asyncio.to_thread(self._ports.advise, locale)

        return Whole(work)

    def _intake(self) -> Intake:
        if self._ports.intake is None:
            raise NotFound("no models are fetched here")
        return self._ports.intake

    def _shelved(self) -> Shelved:
        models = self._ports.models
        if not isinstance(models, Shelved):
            raise NotFound("this household's models come from elsewhere")
        return models

    def _versioning(self) -> Versioning:
        models = self._ports.models
        if not isinstance(models, Versioning):
            raise NotFound("this household's models have no versions")
        return models
