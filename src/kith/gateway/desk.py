"""What the web app asks besides the common routes: who one is, which models there are, what was talked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith import __version__
from kith.core.errors import Fault, Invalid
from kith.core.people import Conversation, Principal
from kith.core.turn import Turn
from kith.gateway.body import Call, integer
from kith.gateway.ports import GatewayPorts
from kith.gateway.rest import person, trusted
from kith.gateway.stream import Whole

_SEARCHED = 200  # conversations looked through, latest first
_DEPTH = 100  # latest turns looked at in each
_TITLE = 80
_AROUND = 60


class Desk:
    """The routes ``/api/me``, ``/api/models`` and ``/api/history``."""

    def __init__(self, ports: GatewayPorts) -> None:
        self._ports = ports

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        past = {"answer": "History", "query": ("q", "limit"), "role": "guest"}
        return (
            get("/api/me", opt={"answer": "Me", "role": "guest"})(self.me),
            get("/api/models", opt={"answer": "Models", "role": "guest"})(self.models),
            get("/api/history", opt=past)(self.history),
        )

    async def me(self, request: Call) -> ASGIApp:
        """Whom this credential belongs to."""
        user = request.user

        async def work() -> tuple[int, Any]:
            needs = "second_factor" if await self._ports.accounts.lacking(user) else ""
            known = {"id": user.id, "name": user.name, "role": user.role, "version": __version__}
            return 200, {**known, "needs": needs}

        return Whole(work)

    async def models(self) -> ASGIApp:
        """Every model with what is known of it and how it is."""

        async def work() -> tuple[int, Any]:
            reports = self._ports.health.snapshot()
            return 200, {"models": [_model(asdict(card), reports) for card in self._ports.models.cards()]}

        return Whole(work)

    async def history(self, request: Call) -> ASGIApp:
        """Conversations, latest first, with their last words; with `q`, those in which it was said and where."""
        limit = integer(request.query_params, "limit", 50, _SEARCHED)
        wanted = request.query_params.get("q", "").strip().casefold()
        if len(wanted) > 200:
            raise Invalid("the request is not valid", faults=(Fault("q", "is longer than 200 characters"),))

        async def work() -> tuple[int, Any]:
            user = request.user
            own = "" if trusted(user) else person(user)
            found = await self._ports.store.conversations(own, _SEARCHED if wanted else limit)
            rows: list[Mapping[str, Any]] = []
            for one in found:
                turns = await self._ports.store.turns(one.id, _DEPTH if wanted else 1)
                place = next((turn for turn in reversed(turns) if wanted in _words(turn).casefold()), None)
                if place is not None:
                    live = one.channel in self._ports.lines
                    rows.append(_row(one, place, _name(one, user) if live else "", wanted))
                if len(rows) >= limit:
                    break
            return 200, {"conversations": rows}

        return Whole(work)


def _model(card: Mapping[str, Any], reports: Mapping[str, Any]) -> Mapping[str, Any]:
    """A card without the place of its file, which is nobody's business but this machine's."""
    report = reports.get(f"model:{card['name']}")
    state = {"condition": report.condition if report else "idle", "detail": report.detail if report else ""}
    return {name: value for name, value in card.items() if name != "path"} | state


def _words(turn: Turn) -> str:
    return "\n".join((turn.heard.text, *(said.text for said in turn.spoke)))


def _name(found: Conversation, user: Principal) -> str:
    """The name under which this caller may go on with it over a WebSocket; empty when it is somebody else's."""
    owner, _, name = found.handle.partition(":")
    return name if owner == user.id else ""


def _row(found: Conversation, turn: Turn, name: str, wanted: str) -> Mapping[str, Any]:
    """A conversation in the list; for a search with the words around what was found."""
    words = _words(turn)
    at = max(0, words.casefold().find(wanted) - _AROUND) if wanted else 0
    return {
        "id": found.id,
        "channel": found.channel,
        "name": name,
        "kind": found.kind,
        "updated": found.updated,
        "title": turn.heard.text[:_TITLE],
        "excerpt": words[at : at + 2 * _AROUND] if wanted else "",
        "turn": turn.id,
    }
