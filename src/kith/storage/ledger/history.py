"""Every turn, one by one or in a walk over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from kith.core.errors import NotFound
from kith.core.turn import Turn
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, Row, Rows, sql


class Walked:
    """The port `History` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def turn(self, turn: str) -> Turn:
        """As the port says. Raises `NotFound` (code ``turn_not_found``)."""
        found = await self._desk.driver.read(partial(_one, turn))
        if found is None:
            raise NotFound("there is no such turn", code="turn_not_found")
        return self._turn(found)

    async def walk(self, since: float = 0.0, after: str = "", limit: int = 500) -> Sequence[Turn]:
        """As the port says. A turn `after` that is gone is the beginning."""
        rows = await self._desk.driver.read(partial(_walk, since, after, limit))
        return tuple(map(self._turn, rows))

    def _turn(self, row: Row) -> Turn:
        return replace(self._desk.codec.unpack(Turn, row[0]), conversation=str(row[1]))


def _one(turn: str) -> Op[Row | None]:
    rows = yield sql("SELECT body, conversation FROM turns WHERE id = $1", turn)
    return rows[0] if rows else None


def _walk(since: float, after: str, limit: int) -> Op[Rows]:
    place = yield sql("SELECT seq FROM turns WHERE id = $1", after)
    return (
        yield sql(
            "SELECT body, conversation FROM turns WHERE seq > $1 AND at >= $2 ORDER BY seq LIMIT $3",
            int(place[0][0]) if place else 0,
            since,
            limit,
        )
    )
