"""The questions at the end: is anything lost, doubled, out of order, or left lying about?"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.runtime.settings import home
from kith.security import KeyRing
from kith.settings import Settings
from kith.storage import open_storage
from kith.storage.ledger import sql
from tests.crash.traffic import Traffic

# Each asks for rows that may not be there when everything was answered and the server has stopped.
_ORPHANS = {
    "unanswered messages": "SELECT count(*) FROM inbox WHERE state <> 1",
    "unsent replies": "SELECT count(*) FROM outbox WHERE state <> 1",
    "leases": "SELECT count(*) FROM lanes WHERE worker <> '' OR boot <> '' OR head IS NOT NULL",
    "messages without their turn": "SELECT count(*) FROM inbox WHERE id NOT IN (SELECT id FROM turns)",
    "turns without their message": "SELECT count(*) FROM turns WHERE id NOT IN (SELECT id FROM inbox)",
    "turns without their reply": "SELECT (SELECT count(*) FROM turns) - (SELECT count(*) FROM outbox)",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts; all have to be 0. `orphans` names what was left, and how much of it."""

    lost: int
    doubled: int
    misordered: int
    orphans: dict[str, int]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.misordered or self.orphans)


def judge(traffic: Traffic, settings: Settings) -> Verdict:
    """Compare what was acknowledged with what people saw, and look into the database of the stopped server."""
    seen = Counter(traffic.answers)
    wanted = {(room.name, number) for room in traffic.rooms for number in range(room.acknowledged)}
    order: dict[str, list[int]] = defaultdict(list)
    for room, number in traffic.answers:
        order[room].append(number)
    return Verdict(
        lost=sum(name not in seen for name in wanted),
        doubled=sum(count - 1 for count in seen.values()),
        misordered=sum(_descents(numbers) for numbers in order.values()),
        orphans={name: count for name, count in asyncio.run(_left(settings)).items() if count},
    )


def _descents(numbers: Sequence[int]) -> int:
    return sum(later < earlier for earlier, later in itertools.pairwise(numbers))


async def _left(settings: Settings) -> dict[str, int]:
    clock = SystemClock()
    storage = await open_storage(settings.storage, clock, Ids(clock), KeyRing(home() / "keys"))

    def ask() -> Any:
        counts: dict[str, int] = {}
        for name, text in _ORPHANS.items():
            rows = yield sql(text)
            counts[name] = int(rows[0][0])
        return counts

    try:
        return await storage._desk.driver.read(ask)
    finally:
        await storage.close()
