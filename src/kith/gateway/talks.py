"""How dialogues stand and fare: their state, the paths that they take, their outcomes, and what could be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.audit import Act
from kith.core.errors import NotFound
from kith.gateway.acting import acting
from kith.gateway.body import Call, integer, parse, read_body, read_json
from kith.gateway.ports import GatewayPorts, Insight, Learning
from kith.gateway.rest import administrator, person, visible
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

_YEARS = 3650


class RatingBody(msgspec.Struct, frozen=True):
    """What somebody thinks of a reply; 0 takes it back."""

    rating: Literal[1, -1, 0]
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class LessonBody(msgspec.Struct, frozen=True):
    """Where a question belongs, when not where it was proposed; a new intent needs a response."""

    intent: Annotated[str, msgspec.Meta(max_length=64)] = ""
    response: Annotated[str, msgspec.Meta(max_length=4000)] = ""


class Talks:
    """The routes about dialogues."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        rated = {"body": RatingBody, "answer": "Rated", "role": "guest"}
        shown = {"query": ("days",), "role": "admin"}
        asked = {"answer": "Unanswered", "query": ("days", "limit"), "role": "admin"}
        decided = {"body": LessonBody, "answer": "Lesson", "role": "admin"}
        state = {"answer": "Standing", "role": "guest"}
        return (
            get("/api/conversations/{conversation:str}/state", opt=state)(self.standing),
            post("/api/turns/{turn:str}/rating", status_code=200, opt=rated)(self.rate),
            get("/api/outcomes", opt={"answer": "Outcomes", **shown})(self.outcomes),
            get("/api/use", opt={"answer": "Use", "query": ("by", "days"), "role": "admin"})(self.use),
            get("/api/paths", opt={"answer": "Paths", **shown})(self.paths),
            get("/api/unanswered", opt=asked)(self.unanswered),
            post("/api/unanswered/{question:str}/{action:str}", status_code=200, opt=decided)(self.decide),
        )

    async def standing(self, request: Call, conversation: FromPath[str]) -> ASGIApp:
        """Where the dialogue of a conversation stands: its state, the open form, what is missing and what waits."""

        async def work() -> tuple[int, Any]:
            await visible(self._ports, request.user, conversation, acting(request))
            found = await self._ports.store.conversation(conversation)
            standing = self._ports.flows.standing(found.state, self._ports.clock.now())
            return 200, {"conversation": found.id, **standing}

        return Whole(work)

    async def rate(self, request: Call, turn: FromPath[str]) -> ASGIApp:
        """Say whether a reply was good (1), bad (-1), or take that back (0)."""
        body = await read_json(request, RatingBody, self._settings)

        async def work() -> tuple[int, Any]:
            learning = self._learning()
            found = await learning.turn(turn)
            try:
                await visible(self._ports, request.user, found.conversation, acting(request))
            except NotFound:  # the same answer for a turn that is not there and for one of others
                raise NotFound("there is no such turn", code="turn_not_found") from None
            await learning.rate(turn, body.rating, body.note, found.person or person(request.user))
            return 200, {"turn": turn, "rating": body.rating}

        return Whole(work)

    async def outcomes(self, request: Call) -> ASGIApp:
        """How conversations ended, the share done without a human, and how replies were rated."""
        administrator(request.user)
        days = integer(request.query_params, "days", 30, _YEARS)

        async def work() -> tuple[int, Any]:
            return 200, await self._insight().outcomes(days)

        return Whole(work)

    async def use(self, request: Call) -> ASGIApp:
        """Turns, tokens, replies of fallback models and what they cost, by person, model, channel or persona."""
        administrator(request.user)
        days = integer(request.query_params, "days", 30, _YEARS)
        by = request.query_params.get("by", "person")

        async def work() -> tuple[int, Any]:
            return 200, await self._insight().use(by, days)

        return Whole(work)

    async def paths(self, request: Call) -> ASGIApp:
        """The ways that conversations took, as a graph, with drop-off points and loops."""
        administrator(request.user)
        days = integer(request.query_params, "days", 30, _YEARS)

        async def work() -> tuple[int, Any]:
            return 200, await self._insight().paths(days)

        return Whole(work)

    async def unanswered(self, request: Call) -> ASGIApp:
        """Questions that were not answered or answered badly, like ones together, each with a proposal."""
        administrator(request.user)
        days = integer(request.query_params, "days", 30, _YEARS)
        limit = integer(request.query_params, "limit", 50, 500)

        async def work() -> tuple[int, Any]:
            by = acting(request)
            await self._ports.journal.act(Act("questions.read", by.actor, "", by.origin))
            return 200, await self._learning().unanswered(days, limit)

        return Whole(work)

    async def decide(self, request: Call, question: FromPath[str], action: FromPath[str]) -> ASGIApp:
        """Put a question's phrases into the flow (`approve`), or never show it again (`dismiss`)."""
        administrator(request.user)
        raw = await read_body(request, self._settings)
        body = parse(raw, LessonBody) if raw.strip() else LessonBody()

        async def work() -> tuple[int, Any]:
            if action not in ("approve", "dismiss"):
                raise NotFound(
                    f"a question can be approved or dismissed, not {action!r}", hint="use approve or dismiss"
                )
            return 200, await self._learning().decide(question, action, acting(request), body.intent, body.response)

        return Whole(work)

    def _insight(self) -> Insight:
        if self._ports.insight is None:
            raise NotFound("this household does not look at its conversations")
        return self._ports.insight

    def _learning(self) -> Learning:
        if self._ports.learning is None:
            raise NotFound("this household does not learn from its conversations")
        return self._ports.learning
