"""What is remembered of people."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kith.core.memory import Fact
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, each, sql


class Remembered:
    """The port `Facts` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def facts(self, persons: Sequence[str]) -> Sequence[Fact]:
        return await self._desk.driver.read(partial(facts_of, self._desk, persons))

    async def keep(self, facts: Sequence[Fact]) -> None:
        desk = self._desk
        rows = [(fact.id, fact.person, fact.at, desk.codec.pack(fact)) for fact in facts]
        if rows:
            await desk.driver.write(partial(_keep, rows))


def facts_of(desk: Desk, persons: Sequence[str]) -> Op[Sequence[Fact]]:
    """Every fact of these persons, in the order in which they were told."""
    found: list[Fact] = []
    for person in persons:
        rows = yield sql("SELECT body FROM facts WHERE person = $1 ORDER BY seq", person)
        found += [desk.codec.unpack(Fact, row[0]) for row in rows]
    return tuple(sorted(found, key=lambda fact: fact.at))


def _keep(rows: Sequence[tuple[str, str, float, bytes]]) -> Op[None]:
    yield each(
        """INSERT INTO facts (id, person, at, body) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET body = excluded.body""",
        rows,
    )
