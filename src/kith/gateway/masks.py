"""``/api/personas``: who may speak for this household, and who speaks in a conversation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.audit import Act
from kith.core.errors import Fault, Invalid, NotFound
from kith.gateway.acting import acting
from kith.gateway.body import Call, read_json
from kith.gateway.luggage import Bytes
from kith.gateway.ports import GatewayPorts, Personas
from kith.gateway.rest import administrator, visible
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

_TOLD = ("greeting", "style", "boundaries", "avatar", "model", "voice")


class CardBody(msgspec.Struct, frozen=True):
    """A persona's file: YAML, or a character card as JSON or PNG, in base 64."""

    file: Annotated[str, msgspec.Meta(min_length=1)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class NameBody(msgspec.Struct, frozen=True):
    """The name of a persona."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Masks:
    """The routes about personas."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        added = {"body": CardBody, "answer": "Persona", "status": 201, "role": "admin"}
        chosen = {"body": NameBody, "answer": "Decision", "role": "admin"}
        worn = {"body": NameBody, "answer": "Decision", "role": "guest"}
        gone = {"answer": "Decision", "role": "admin"}
        seen = {"answer": "Bytes", "stream": "image/png", "only": True, "role": "guest"}
        return (
            get("/api/personas", opt={"answer": "Personas", "role": "guest"})(self.personas),
            get("/api/personas/{name:str}/picture", opt=seen)(self.picture),
            post("/api/personas", opt=added)(self.add),
            put("/api/personas/default", opt=chosen)(self.choose),
            delete("/api/personas/{name:str}", status_code=200, opt=gone)(self.remove),
            put("/api/conversations/{conversation:str}/persona", opt=worn)(self.wear),
        )

    async def personas(self) -> ASGIApp:
        """List the personas, and the one with which conversations begin."""

        async def work() -> tuple[int, Any]:
            cast = self._cast()
            rows = [_persona(key, one, builtin=not place) for place, (key, one) in enumerate(cast.all())]
            return 200, {"personas": rows, "default": cast.default}

        return Whole(work)

    async def picture(self, name: FromPath[str]) -> ASGIApp:
        """The picture that came with a persona's card."""
        return Bytes(self._cast().picture(name), "picture", "private, no-cache")

    async def add(self, request: Call) -> ASGIApp:
        """Add a persona from a file; one of the same name is replaced."""
        administrator(request.user)
        body = await read_json(request, CardBody, self._settings, self._settings.max_card)
        try:
            raw = base64.b64decode(body.file, validate=True)
        except (binascii.Error, ValueError):
            raise Invalid("the request is not valid", faults=(Fault("file", "is not base 64"),)) from None

        async def work() -> tuple[int, Any]:
            cast, by = self._cast(), acting(request)
            cast.check(raw, body.name)
            await self._ports.journal.act(Act("persona.add", by.actor, body.name, by.origin))
            key, persona = cast.add(raw, body.name)
            return 201, _persona(key, persona, builtin=False)

        return Whole(work)

    async def choose(self, request: Call) -> ASGIApp:
        """Let conversations begin with this persona."""
        administrator(request.user)
        body = await read_json(request, NameBody, self._settings)

        async def work() -> tuple[int, Any]:
            cast, by = self._cast(), acting(request)
            cast.get(body.name)
            await self._ports.journal.act(Act("persona.default", by.actor, body.name, by.origin))
            return 200, {"id": cast.choose(body.name), "done": "default"}

        return Whole(work)

    async def remove(self, request: Call, name: FromPath[str]) -> ASGIApp:
        """Delete a persona."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            cast, by = self._cast(), acting(request)
            cast.get(name)
            await self._ports.journal.act(Act("persona.remove", by.actor, name, by.origin))
            return 200, {"id": cast.remove(name), "done": "remove"}

        return Whole(work)

    async def wear(self, request: Call, conversation: FromPath[str]) -> ASGIApp:
        """Let a persona speak in a conversation of yours; several names with commas take turns."""
        body = await read_json(request, NameBody, self._settings)

        async def work() -> tuple[int, Any]:
            await visible(self._ports, request.user, conversation, acting(request))
            names = await self._cast().wear(conversation, body.name.split(","))
            return 200, {"id": ",".join(names), "done": "persona"}

        return Whole(work)

    def _cast(self) -> Personas:
        if self._ports.personas is None:
            raise NotFound("this household has one persona only", code="persona_not_found")
        return self._ports.personas


def _persona(key: str, persona: Any, *, builtin: bool) -> Mapping[str, Any]:
    told = {name: getattr(persona, name) for name in _TOLD}
    lore = [{"keys": list(one.keys), "text": one.text} for one in persona.knowledge]
    rest = {"tools": list(persona.tools), "knowledge": lore, "builtin": builtin}
    return {"name": key, "title": persona.name, "description": persona.character, **told, **rest}
