"""What was said before, found by its words, however long ago: an index of each conversation, made when it is needed.

It lives in memory only, grows with what is said, and holds so many turns in all; of a conversation longer than that the
oldest turns stay in the database unsearched. Whoever forgets something has the index forget with it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from array import array
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kith.core.errors import NotFound
from kith.core.ports import Store
from kith.core.turn import Turn
from kith.dialogue.memory.patterns import speech
from kith.dialogue.memory.ranks import Index, words

_DEEP, _PAGE = 20_000, 500  # turns that are read at first, and then at a time
_MOST = 60_000  # turns in all indexes together
FOUND = 8  # turns that one message brings up at most; how many are shown is a matter of tokens
_FLOOR, _EXCERPT = 0.2, 160
_ANSWER = 200  # characters of a reply that are searched: it is mostly about what it replies to
_KEPT = 1000  # characters of a turn that an excerpt is taken from
_BEST = 200  # turns that are looked at closely
_AFTER, _REPLY, _SOON = 0.1, 0.8, 1800.0  # what a turn has of the one before it, and of a question, so many seconds ago
_DATED = 1.3  # who asks when is answered by what names a time
_ASKED = 4.0  # the weight of the words that were asked for, beside others, in the choice of an excerpt

_WHEN, _TIME = speech("when"), speech("dated")
_CLAUSE = re.compile(r"[^.!?,;。！？，；\n]+[.!?,;。！？，；\n]*\s*|[.!?,;。！？，；\n]+\s*")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One turn that fits: what was said and answered in it, when, and how well it fits (0..1)."""

    turn: str
    text: str
    at: float
    score: float


@dataclass(frozen=True, slots=True)
class Uttered:
    """What somebody said in one turn, in their own words, and when."""

    turn: str
    text: str
    at: float


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

    async def uttered(
        self, rooms: Sequence[str], persons: Collection[str], terms: Collection[str]
    ) -> Sequence[Uttered]:
        """What these persons said there with any of these terms (in the form of `words`), the latest first.

        Of a conversation those two hundred turns at most that have the most of the terms.
        """
        found: dict[str, Uttered] = {}
        for name in rooms:
            room = await self._fresh(name)
            found |= {one.turn: one for one in await asyncio.to_thread(room.uttered, frozenset(persons), terms)}
        return sorted(found.values(), key=lambda one: -one.at)

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
        self._at, self._asks = array("d"), bytearray()
        self._heard, self._persons = array("H"), list[str]()  # how much of a text the person said, and who it was
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, turns: Sequence[Turn]) -> None:
        """More turns, in their order. Of those that failed or were stopped nothing is kept."""
        with self._lock:
            known = set(self._names[-len(turns) :])
            for turn in turns:
                if turn.outcome == "answered" and turn.id not in known:
                    answer = " ".join(said.text for said in turn.spoke)
                    text = " / ".join(filter(None, (turn.heard.text, answer[:_ANSWER])))
                    self._index.add(f"{text} {_dated(turn.at)}")
                    self._texts.append(text[:_KEPT])
                    self._names.append(turn.id)
                    self._at.append(turn.at)
                    self._heard.append(min(_KEPT, len(turn.heard.text)))
                    self._persons.append(turn.person)
                    self._asks.append((answer or turn.heard.text).rstrip().endswith(("?", "？")))
            self.last = turns[-1].id

    def search(self, query: str, until: float, now: float, limit: int) -> list[Said]:
        """The turns from before `until` that fit a query, best first."""
        with self._lock:
            rated = self._index.rate(query, [now - at for at in self._at], lenient=True)[:_BEST]
            scores = {one.index: one.score for one in rated}
            for one in rated:
                after = one.index + 1
                if after < len(self._at) and self._at[after] - self._at[one.index] <= _SOON:
                    share = _REPLY if self._asks[one.index] else _AFTER
                    scores[after] = scores.get(after, 0.0) + share * one.score
            if _WHEN.search(query):
                scores = {n: score * (_DATED if _TIME.search(self._texts[n]) else 1.0) for n, score in scores.items()}
            best = sorted((n for n in scores if self._at[n] < until), key=lambda n: (-scores[n], n))[:limit]
            asked = set(words(query))
            return [
                Said(self._names[n], self._excerpt(self._texts[n], asked), self._at[n], min(1.0, scores[n]))
                for n in best
                if scores[n] >= _FLOOR
            ]

    def uttered(self, persons: Collection[str], terms: Collection[str]) -> list[Uttered]:
        """What these persons said with the most of these terms."""
        with self._lock:
            having = Counter(number for term in terms for number in self._index.having(term))
            own = [number for number in having if self._persons[number] in persons and self._heard[number]]
            best = sorted(own, key=lambda number: (-having[number], -number))[:_BEST]
            return [Uttered(self._names[n], self._texts[n][: self._heard[n]], self._at[n]) for n in best]

    def _excerpt(self, text: str, asked: set[str]) -> str:
        """Of a long text the clauses in a row that tell most, above all of what was asked for."""
        if len(text) <= _EXCERPT:
            return text
        pieces = _CLAUSE.findall(text)
        clauses = [piece[at : at + _EXCERPT] for piece in pieces for at in range(0, len(piece), _EXCERPT)]
        weights = [
            sum(self._index.weight(word) * (_ASKED if word in asked else 1.0) for word in set(words(clause)))
            for clause in clauses
        ]
        best, chosen = -1.0, ""
        for first in range(len(clauses)):
            shown, weight = "", 0.0
            for clause, more in zip(clauses[first:], weights[first:], strict=True):
                if len(shown) + len(clause) > _EXCERPT:
                    break
                shown, weight = shown + clause, weight + more
            if weight > best:
                best, chosen = weight, shown
        return chosen.strip()


def _dated(at: float) -> str:
    """The words for the day on which something was said: people ask for what was in May."""
    try:
        day = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return f"{_MONTHS[day.month - 1]} {day.year} {day.month}月"
