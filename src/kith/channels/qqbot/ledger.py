"""Which message each reply answers, and as its how-manieth answer: QQ takes nothing else.

A message may be answered five times, in a group for five minutes and in private for an hour ("发送消息"), and each
answer has a number (``msg_seq``). The same number for the same message is refused, so that an answer in doubt can be
sent again: number and message are therefore kept before it is sent, and stay its own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, cast

from kith.channels.kit import Kit, load_cursor, save_cursor

ANSWERS = 5
WINDOWS = {"g": 300.0, "u": 3600.0}
_EARLY = 5.0
_KEPT = 30
_PLACES = 1000


@dataclass(slots=True)
class Heard:
    """A message that may be answered: when it came, and which answers have which number. `closed` when QQ says so."""

    name: str
    at: float
    given: dict[str, int] = field(default_factory=dict[str, int])
    next: int = 1
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """An answer's place. `again` when it was given to the same answer before: it may have been sent already."""

    name: str
    number: int
    again: bool


class Ledger:
    """Of one account. Kept in the records of kind ``cursor``, one for each conversation."""

    def __init__(self, kit: Kit, channel: str, account: str) -> None:
        self._kit, self._channel, self._account = kit, channel, account
        self._places: OrderedDict[str, list[Heard]] = OrderedDict()

    async def hear(self, place: str, name: str, at: float) -> None:
        """A message came, which may be answered from `at` on."""
        found = await self._load(place)
        if all(one.name != name for one in found):
            found.append(Heard(name, at))
            await self._save(place, found)

    async def slot(self, place: str, wanted: str, key: str) -> Slot | None:
        """The place of the answer `key`: after the message `wanted`, else after the latest that may still be
        answered. None when there is none."""
        found = await self._load(place)
        for one in found:
            if key in one.given and self._open(place, one):
                return Slot(one.name, one.given[key], True)
        if wanted and all(one.name != wanted for one in found):
            found.append(Heard(wanted, self._kit.clock.now()))  # it was heard before a restart: QQ knows how long ago
        free = [one for one in found if self._open(place, one) and len(one.given) < ANSWERS]
        free.sort(key=lambda one: (one.name == wanted, one.at))
        if not free:
            return None
        chosen = free[-1]
        chosen.given[key] = number = chosen.next
        chosen.next += 1
        await self._save(place, found)
        return Slot(chosen.name, number, False)

    async def drop(self, place: str, slot: Slot, key: str, *, close: bool) -> None:
        """QQ does not take this answer there; with `close`, none at all."""
        found = await self._load(place)
        for one in found:
            if one.name == slot.name:
                one.given.pop(key, None)
                one.closed = one.closed or close
        await self._save(place, found)

    def _open(self, place: str, one: Heard) -> bool:
        return not one.closed and self._kit.clock.now() < one.at + WINDOWS.get(place[:1], 0.0) - _EARLY

    async def _load(self, place: str) -> list[Heard]:
        if place not in self._places:
            kept = await load_cursor(self._kit, self._channel, f"{self._account}/{place}")
            rows = cast("list[dict[str, Any]]", kept.get("heard", []))
            self._places[place] = [
                Heard(str(row["name"]), float(row["at"]), dict(row["given"]), int(row["next"]), bool(row["closed"]))
                for row in rows
            ]
            while len(self._places) > _PLACES:
                self._places.popitem(last=False)
        self._places.move_to_end(place)
        return self._places[place]

    async def _save(self, place: str, found: list[Heard]) -> None:
        """The last few: older ones are over, or will not be answered any more."""
        del found[:-_KEPT]
        rows = [
            {"name": one.name, "at": one.at, "given": one.given, "next": one.next, "closed": one.closed}
            for one in found
        ]
        await save_cursor(self._kit, self._channel, f"{self._account}/{place}", {"heard": rows})
