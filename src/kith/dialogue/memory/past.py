"""What was said before, found by its words, however long ago: an index of each conversation, made when it is needed.

It lives in memory only, grows with what is said, and holds so many turns in all; of a conversation longer than that the
oldest turns stay in the database unsearched. Whoever forgets something has the index forget with it.
"""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from kith.core.errors import NotFound
from kith.core.ports import Store
from kith.core.turn import Turn
from kith.dialogue.memory.ranks import Index

_DEEP, _PAGE = 20_000, 500  # turns that are read at first, and then at a time
_MOST = 60_000  # turns in all indexes together
FOUND = 3  # turns that one message brings up
_FLOOR, _EXCERPT = 0.2, 220
_ANSWER = 200  # characters of a reply that are searched: it is mostly about what it replies to


@dataclass(frozen=True, slots=True)
class Said:
    """One turn that fits: what was said and answered in it, when, and how well it fits (0..1)."""

    turn: str
    text: str
    at: float
    score: float


class Past:
    """The indexes of the conversations that were asked for last."""

    def __init__(self, store: Store, most: int = _MOST) -> None:
        self._store, self._most = store, most
        self._rooms: OrderedDict[str, _Room] = OrderedDict()

    async def search(
        self, rooms: Sequence[str], query: str, until: float, now: float, limit: int = FOUND
    ) -> Sequence[Said]:
        """The turns of these conversations from before `until` that fit a query best."""
        found: dict[str, Said] = {}  # by turn: a place that goes on with another conversation has the turns of both
        for name in rooms:
            room = await self._fresh(name)
            found |= {one.turn: one for one in await asyncio.to_thread(room.search, query, until, now, limit)}
        return sorted(found.values(), key=lambda one: (-one.score, -one.at))[:limit]

    def drop(self) -> None:
        """Forget everything; what may still be known is read anew when it is needed."""
        self._rooms.clear()

    async def _fresh(self, name: str) -> _Room:
        room = self._rooms.setdefault(name, _Room())
        self._rooms.move_to_end(name)
        while True:
            last = room.last
            try:
                turns = await self._store.turns(name, _PAGE if last else _DEEP, last)
            except NotFound:  # its last turn is not there any more, so others may be gone as well
                room = self._rooms[name] = _Room()
                continue
            if room.last == last and turns:
                await asyncio.to_thread(room.add, turns)
            if len(turns) < _PAGE:
                break
        while len(self._rooms) > 1 and sum(map(len, self._rooms.values())) > self._most:
            self._rooms.popitem(last=False)
        return room


class _Room:
    """One conversation. `last` is the latest turn that was read."""

    def __init__(self) -> None:
        self.last = ""
        self._index, self._texts, self._names = Index(), list[str](), list[str]()
        self._at = array("d")
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, turns: Sequence[Turn]) -> None:
        """More turns, in their order. Of those that failed or were stopped nothing is kept."""
        with self._lock:
            known = set(self._names[-len(turns) :])
            for turn in turns:
                if turn.outcome == "answered" and turn.id not in known:
                    answer = " ".join(said.text for said in turn.spoke)[:_ANSWER]
                    text = " / ".join(filter(None, (turn.heard.text, answer)))
                    self._index.add(text)
                    self._texts.append(text[:_EXCERPT])
                    self._names.append(turn.id)
                    self._at.append(turn.at)
            self.last = turns[-1].id

    def search(self, query: str, until: float, now: float, limit: int) -> list[Said]:
        """The turns from before `until` that fit a query, best first."""
        with self._lock:
            found: list[Said] = []
            for one in self._index.rate(query, [now - at for at in self._at], lenient=True):
                if one.score < _FLOOR or len(found) >= limit:
                    break
                if self._at[one.index] < until:
                    found.append(Said(self._names[one.index], self._texts[one.index], self._at[one.index], one.score))
            return found
