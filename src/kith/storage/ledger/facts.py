"""What is remembered of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
        if facts:
            await desk.driver.write(partial(_keep, desk, facts))


def facts_of(desk: Desk, persons: Sequence[str]) -> Op[Sequence[Fact]]:
    """Every fact of these persons, in the order in which they were told."""
    found: list[Fact] = []
    for person in persons:
        rows = yield sql("SELECT body FROM facts WHERE person = $1 ORDER BY seq", person)
        found += [desk.codec.unpack(Fact, row[0]) for row in rows]
    return tuple(sorted(found, key=lambda fact: fact.at))


def _keep(desk: Desk, facts: Sequence[Fact]) -> Op[None]:
    """Each is kept as told where its turn is now: the room may have begun anew since it was heard."""
    rows: list[tuple[str, str, float, bytes]] = []
    for fact in facts:
        told = yield sql("SELECT conversation FROM turns WHERE id = $1", fact.turn)
        kept = replace(fact, conversation=str(told[0][0])) if told else fact
        rows.append((kept.id, kept.person, kept.at, desk.codec.pack(kept)))
    yield each(
        """INSERT INTO facts (id, person, at, body) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET body = excluded.body""",
        rows,
    )
