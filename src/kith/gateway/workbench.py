"""The workbench of those who look after the house: settings, the flow's text, knowledge, live figures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import psutil
from litestar import get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.core.audit import Act
from kith.core.errors import Fault, Invalid, NotFound
from kith.gateway.acting import acting
from kith.gateway.body import Call, integer, read_json
from kith.gateway.ports import GatewayPorts, Preferences, Studio
from kith.gateway.rest import person
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole
from kith.gateway.tongue import refusing, tongue
from kith.runtime.meanings import explained
from kith.runtime.meter import Meter

_QUERY = 500


class SettingsBody(msgspec.Struct, frozen=True):
    """Values by the dotted path of their key; null takes a key out of the file."""

    changes: Annotated[dict[str, Any], msgspec.Meta(max_length=200)]


class FlowBody(msgspec.Struct, frozen=True):
    """The text of a flow's file."""

    text: Annotated[str, msgspec.Meta(max_length=4_000_000)]


class SentenceBody(msgspec.Struct, frozen=True):
    """A message to be tried, in the dialogue's state of the try before."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    state: dict[str, Any] = {}
    locale: Annotated[str, msgspec.Meta(max_length=35)] = ""


class Workbench:
    """The routes of settings, flow texts, knowledge and figures."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings, meter: Meter) -> None:
        self._ports, self._settings, self._meter = ports, settings, meter
        self._process = psutil.Process()

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        changed = {"body": SettingsBody, "answer": "SettingsChanged", "role": "owner"}
        text, tried = {"body": FlowBody, "answer": "Flow"}, {"body": SentenceBody, "answer": "Reading"}
        found = {"answer": "Passages", "query": ("q", "limit", "locale"), "role": "guest"}
        return (
            get("/api/settings", opt={"answer": "Settings", "query": ("locale",), "role": "owner"})(self.settings),
            put("/api/settings", opt=changed)(self.change),
            get("/api/flow/source", opt={"answer": "FlowSource", "role": "admin"})(self.source),
            put("/api/flow/source", opt={**text, "role": "owner"})(self.write),
            post("/api/flow/check", status_code=200, opt={**text, "role": "admin"})(self.check),
            post("/api/flow/try", status_code=200, opt={**tried, "role": "admin"})(self.probe),
            get("/api/flow/report", opt={"answer": "FlowReport", "role": "admin"})(self.report),
            get("/api/knowledge", opt=found)(self.knowledge),
            get("/api/metrics", opt={"answer": "Metrics", "role": "admin"})(self.metrics),
        )

    async def settings(self, request: Call) -> ASGIApp:
        """The schema of kith.yaml, its values (secrets masked), what the file sets, and what waits for a restart.

        The schema's descriptions are in the language of `locale`, else of ``Accept-Language``, else English.
        """
        locale = tongue(request)

        async def work() -> tuple[int, Any]:
            told = await asyncio.to_thread(self._preferences().describe)
            return 200, {**told, "schema": await asyncio.to_thread(explained, told["schema"], locale)}

        return Whole(work)

    async def change(self, request: Call) -> ASGIApp:
        """Change keys of kith.yaml; comments stay, and what cannot be used is refused by its key."""
        body = await read_json(request, SettingsBody, self._settings)

        async def work() -> tuple[int, Any]:
            preferences = self._preferences()
            with refusing(request):
                done = await preferences.change(body.changes, acting(request))
            waiting = (await asyncio.to_thread(preferences.describe))["waiting"]
            return 200, {"changed": list(done), "waiting": waiting}

        return Whole(work)

    async def source(self) -> ASGIApp:
        """The text of the flow in force."""

        async def work() -> tuple[int, Any]:
            return 200, await asyncio.to_thread(self._studio().source)

        return Whole(work)

    async def check(self, request: Call) -> ASGIApp:
        """What a flow's text would be; every mistake is named with its line. Nothing is changed."""
        body = await read_json(request, FlowBody, self._settings)

        async def work() -> tuple[int, Any]:
            return 200, await asyncio.to_thread(self._studio().check, body.text)

        return Whole(work)

    async def write(self, request: Call) -> ASGIApp:
        """Keep a flow's text and put it in force; a broken one is refused and the old one stays."""
        body = await read_json(request, FlowBody, self._settings)

        async def work() -> tuple[int, Any]:
            studio, by = self._studio(), acting(request)
            await asyncio.to_thread(studio.check, body.text)
            await self._ports.journal.act(Act("flow.write", by.actor, "", by.origin))
            described, moved = await asyncio.to_thread(studio.write, body.text)
            if moved and self._ports.preferences is not None:
                await self._ports.preferences.change({"dialogue.flow": moved}, by)
            return 200, described

        return Whole(work)

    async def probe(self, request: Call) -> ASGIApp:
        """What the flow in force makes of a sentence."""
        body = await read_json(request, SentenceBody, self._settings)

        async def work() -> tuple[int, Any]:
            return 200, await asyncio.to_thread(self._studio().probe, body.text, body.state, body.locale)

        return Whole(work)

    async def report(self) -> ASGIApp:
        """How well the flow in force understands its own phrases, and its own tests."""

        async def work() -> tuple[int, Any]:
            return 200, await asyncio.to_thread(self._studio().report)

        return Whole(work)

    async def knowledge(self, request: Call) -> ASGIApp:
        """Search what Kith knows: its handbook, and whatever it was given to read."""
        limit, query = integer(request.query_params, "limit", 10, 50), request.query_params.get("q", "").strip()
        if not 0 < len(query) <= _QUERY:
            raise Invalid("the request is not valid", faults=(Fault("q", f"has to be 1 to {_QUERY} characters"),))
        locale = request.query_params.get("locale", "")[:35]

        async def work() -> tuple[int, Any]:
            if self._ports.knowledge is None:
                raise NotFound("nothing is known here")
            found = await self._ports.knowledge.recall(query, person(request.user), locale, limit)
            return 200, {"passages": [asdict(passage) for passage in found]}

        return Whole(work)

    async def metrics(self) -> ASGIApp:
        """The latest figures of every metric since the start, and what this process takes of the machine."""

        async def work() -> tuple[int, Any]:
            memory = psutil.virtual_memory()
            with self._process.oneshot():
                own = {"memory": self._process.memory_info().rss, "cpu": sum(self._process.cpu_times()[:2])}
            whole = {"memory": memory.total, "available": memory.available, "cpu": psutil.cpu_percent(None)}
            return 200, {
                "at": self._ports.clock.now(),
                "process": own,
                "machine": whole,
                "metrics": list(self._meter.figures()),
            }

        return Whole(work)

    def _preferences(self) -> Preferences:
        if self._ports.preferences is None:
            raise NotFound("the settings of this house are kept elsewhere")
        return self._ports.preferences

    def _studio(self) -> Studio:
        if self._ports.studio is None:
            raise NotFound("the flow of this house is kept elsewhere")
        return self._ports.studio
