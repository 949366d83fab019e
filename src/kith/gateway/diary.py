"""``/api/me/memory`` and ``/api/people``: what is remembered, by the one it is about; and who is known, for admins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.audit import Act
from kith.core.errors import NotFound
from kith.core.memory import Fact
from kith.core.people import Met
from kith.gateway.acting import acting
from kith.gateway.body import Call, integer, read_json
from kith.gateway.ports import GatewayPorts, Memory
from kith.gateway.rest import administrator
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole


class FactBody(msgspec.Struct, frozen=True):
    """What is to be remembered, as one sentence."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class PersonBody(msgspec.Struct, frozen=True):
    """What is to be changed about a person; what is left out stays."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    timezone: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class LinkBody(msgspec.Struct, frozen=True, rename={"other": "with"}):
    """The person who turned out to be the same."""

    other: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Diary:
    """The routes about people and what is remembered of them."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        own = {"answer": "Facts", "role": "guest"}
        told = {"body": FactBody, "answer": "Fact", "status": 201, "role": "guest"}
        edited = {"body": FactBody, "answer": "Fact", "role": "guest"}
        gone = {"answer": "Forgotten", "role": "guest"}
        changed = {"body": PersonBody, "answer": "Person", "role": "admin"}
        linked = {"body": LinkBody, "answer": "Person", "role": "admin"}
        history = {"query": ("history",), **own}
        return (
            get("/api/me/memory", opt=history)(self.facts),
            post("/api/me/memory", opt=told)(self.tell),
            put("/api/me/memory/{fact:str}", opt=edited)(self.edit),
            delete("/api/me/memory/{fact:str}", status_code=200, opt=gone)(self.forget),
            delete("/api/me/memory", status_code=200, opt=gone)(self.forget_all),
            get("/api/me/export", opt={"answer": "Export", "role": "guest"})(self.export),
            get("/api/turns/{turn:str}/prompt", opt={"answer": "Prompt", "role": "guest"})(self.prompt),
            get("/api/people", opt={"answer": "People", "query": ("limit",), "role": "admin"})(self.people),
            get("/api/people/{person:str}/export", opt={"answer": "Export", "role": "admin"})(self.export_person),
            put("/api/people/{person:str}", opt=changed)(self.change),
            delete("/api/people/{person:str}", status_code=200, opt={"answer": "Erased", "role": "admin"})(self.erase),
            post("/api/people/{person:str}/link", status_code=200, opt=linked)(self.link),
        )

    async def facts(self, request: Call) -> ASGIApp:
        """What is remembered of you; with `history=1` also what no longer holds."""
        history = bool(integer(request.query_params, "history", 0, 1))

        async def work() -> tuple[int, Any]:
            memory = self._memory()
            found = await memory.facts(await memory.mine(request.user.id), history=history)
            return 200, {"facts": [_fact(fact) for fact in found]}

        return Whole(work)

    async def tell(self, request: Call) -> ASGIApp:
        """Have something remembered of you."""
        body = await read_json(request, FactBody, self._settings)

        async def work() -> tuple[int, Any]:
            return 201, _fact(await self._memory().remember(request.user, body.text))

        return Whole(work)

    async def edit(self, request: Call, fact: FromPath[str]) -> ASGIApp:
        """Put other words in a fact's place; the old ones are forgotten."""
        body = await read_json(request, FactBody, self._settings)

        async def work() -> tuple[int, Any]:
            memory = self._memory()
            persons = await memory.mine(request.user.id)
            return 200, _fact(await memory.edit(persons, fact, body.text, acting(request)))

        return Whole(work)

    async def forget(self, request: Call, fact: FromPath[str]) -> ASGIApp:
        """Have a fact gone, with its history and from everything where it was told."""

        async def work() -> tuple[int, Any]:
            memory = self._memory()
            persons = await memory.mine(request.user.id)
            return 200, {"forgotten": await memory.forget_one(persons, fact, acting(request))}

        return Whole(work)

    async def forget_all(self, request: Call) -> ASGIApp:
        """Have everything gone that is remembered of you."""

        async def work() -> tuple[int, Any]:
            memory = self._memory()
            persons = await memory.mine(request.user.id)
            return 200, {"forgotten": await memory.forget_all(persons, acting(request))}

        return Whole(work)

    async def export(self, request: Call) -> ASGIApp:
        """Everything that is stored of you."""

        async def work() -> tuple[int, Any]:
            memory = self._memory()
            return 200, await memory.export(await memory.mine(request.user.id))

        return Whole(work)

    async def prompt(self, request: Call, turn: FromPath[str]) -> ASGIApp:
        """What a model was shown for a turn of yours, part by part, with the tokens that each cost."""

        async def work() -> tuple[int, Any]:
            if self._ports.prompts is None:
                raise NotFound("the prompt of this turn is not known (any more)", code="prompt_gone")
            persons = await self._memory().mine(request.user.id)
            return 200, await self._ports.prompts.explain(turn, persons, self._ports.models)

        return Whole(work)

    async def people(self, request: Call) -> ASGIApp:
        """List everybody who was met; those who were heard last come first."""
        administrator(request.user)
        limit = integer(request.query_params, "limit", 1000, 100_000)

        async def work() -> tuple[int, Any]:
            return 200, {"people": [_person(met) for met in await self._memory().people.everybody(limit)]}

        return Whole(work)

    async def export_person(self, request: Call, person: FromPath[str]) -> ASGIApp:
        """Everything that is stored of a person; that somebody looked is written down."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            await self._known(person)
            by = acting(request)
            await self._ports.journal.act(Act("person.export", by.actor, person, by.origin))
            return 200, await self._memory().export([person])

        return Whole(work)

    async def change(self, request: Call, person: FromPath[str]) -> ASGIApp:
        """Change a person's name, language or time zone."""
        administrator(request.user)
        body = await read_json(request, PersonBody, self._settings)
        values = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}

        async def work() -> tuple[int, Any]:
            by = acting(request)
            if body.timezone is not None and self._ports.agenda is not None:
                await self._ports.agenda.move(person, body.timezone)
            act = Act("person.change", by.actor, person, by.origin, detail={"changed": ",".join(sorted(values))})
            return 200, _person(Met(await self._memory().people.change(person, values, act)))

        return Whole(work)

    async def erase(self, request: Call, person: FromPath[str]) -> ASGIApp:
        """Remove everything that is stored of a person, for ever."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            await self._memory().erase([person], acting(request))
            return 200, {"id": person, "done": "erase"}

        return Whole(work)

    async def link(self, request: Call, person: FromPath[str]) -> ASGIApp:
        """Say that another person was this one all along, met elsewhere."""
        administrator(request.user)
        body = await read_json(request, LinkBody, self._settings)

        async def work() -> tuple[int, Any]:
            return 200, _person(Met(await self._memory().link(person, body.other, acting(request))))

        return Whole(work)

    def _memory(self) -> Memory:
        if self._ports.memory is None:
            raise NotFound("this household keeps no memory", code="no_diary")
        return self._ports.memory

    async def _known(self, person: str) -> None:
        if person not in {met.person.id for met in await self._memory().people.everybody(1_000_000)}:
            raise NotFound(f"there is no person {person!r}", code="person_not_found")


def _fact(fact: Fact) -> Mapping[str, Any]:
    return {
        "id": fact.id,
        "text": fact.text,
        "kind": fact.kind,
        "confidence": fact.confidence,
        "at": fact.at,
        "by": fact.by,
        "told": {"conversation": fact.conversation, "turn": fact.turn},
        "replaced": fact.replaced,
    }


def _person(met: Met) -> Mapping[str, Any]:
    return {**asdict(met.person), "turns": met.turns, "seen": met.seen}
