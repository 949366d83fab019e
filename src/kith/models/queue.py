"""Who is next: voice before text before background work, everybody in turn, nobody for ever."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from itertools import count

from kith.core.clock import Clock
from kith.core.errors import Unavailable

PRIORITIES = ("voice", "text", "background")
_PATIENCE = 8  # grants to higher classes after which a lower class that waits gets one
_SMOOTH = 0.2  # weight of the newest request in the mean duration


@dataclass(slots=True, order=True)
class _Ticket:
    tag: float
    number: int
    person: str = field(compare=False)
    future: asyncio.Future[None] = field(compare=False)


@dataclass(slots=True)
class _Class:
    """The requests of one priority that wait, by start-time fair queueing (Goyal, Vin, Cheng: SFQ, SIGCOMM 1996)."""

    heap: list[_Ticket] = field(default_factory=list[_Ticket])
    finished: dict[str, float] = field(default_factory=dict[str, float])
    virtual: float = 0.0
    passed: int = 0
    running: int = 0

    def tag(self, person: str) -> float:
        """The virtual start of a request of `person`; each of a person's requests starts after the one before."""
        start = max(self.virtual, self.finished.get(person, 0.0))
        self.finished[person] = start + 1.0
        return start

    def head(self) -> _Ticket | None:
        """The next that still waits."""
        while self.heap and self.heap[0].future.done():
            heapq.heappop(self.heap)
        if not self.heap:
            self.finished.clear()
        return self.heap[0] if self.heap else None

    def pop(self) -> _Ticket:
        ticket = heapq.heappop(self.heap)
        self.virtual = max(self.virtual, ticket.tag)
        return ticket


class FairQueue:
    """Slots, and who gets the next one. At most `limit` wait, at most half of them for one person.

    Of two slots or more, background work leaves one free. A caller that gives up leaves its place at once.
    """

    def __init__(self, name: str, clock: Clock, limit: int = 1000) -> None:
        self._name, self._clock, self._limit = name, clock, limit
        self._classes = {name: _Class() for name in PRIORITIES}
        self._capacity = 0
        self._paused = False
        self._numbers = count()
        self._persons: dict[str, int] = {}
        self._mean = 0.0
        self.running = 0
        self.waiting = 0

    @property
    def capacity(self) -> int:
        """Requests that may run at once; growing lets waiting ones in."""
        return self._capacity

    @capacity.setter
    def capacity(self, slots: int) -> None:
        self._capacity = slots
        self._grant()

    def pause(self, *, paused: bool = True) -> None:
        """Let nobody in for now; those who run go on."""
        self._paused = paused
        self._grant()

    async def enter(self, person: str = "", priority: str = "text", deadline: float = 0.0) -> float:
        """Wait for a slot; returns the seconds waited. Whoever entered must `leave`.

        Raises `Unavailable`: ``queue_full`` with an estimate of when to come back, ``deadline``.
        """
        began = self._clock.monotonic()
        if deadline and began >= deadline:
            raise self._late()
        if not self.waiting and self._free(priority):
            self._seat(priority)
            return 0.0
        self._admit(person)
        cls = self._classes[priority]
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(cls.heap, _Ticket(cls.tag(person), next(self._numbers), person, future))
        self.waiting += 1
        self._persons[person] = self._persons.get(person, 0) + 1
        try:
            self._grant()  # a free slot may have been kept from lower classes only
            async with asyncio.timeout(deadline - began if deadline else None):
                await future
        except TimeoutError:
            self._undo(future, priority)
            raise self._late() from None
        except asyncio.CancelledError:
            self._undo(future, priority)
            raise
        finally:
            self._gone(person)
        return self._clock.monotonic() - began

    def leave(self, priority: str = "text", seconds: float = 0.0) -> None:
        """Give the slot back. `seconds` of service improve the estimate of waiting times."""
        self.running -= 1
        self._classes[priority].running -= 1
        if seconds:
            self._mean = seconds if not self._mean else self._mean + _SMOOTH * (seconds - self._mean)
        self._grant()

    def estimate(self) -> float:
        """Seconds until a request that comes now would be served, 1 to 60."""
        rounds = (self.waiting + 1) / max(1, self._capacity)
        return min(60.0, max(1.0, rounds * self._mean))

    def _admit(self, person: str) -> None:
        mine = self._persons.get(person, 0)
        if self.waiting >= self._limit or (person and mine >= max(1, self._limit // 2)):
            text = f"{self.waiting} requests are already waiting for {self._name}"
            raise Unavailable(text, code="queue_full", retry_after=self.estimate())

    def _undo(self, future: asyncio.Future[None], priority: str) -> None:
        """Its caller gave up: a slot that was granted at this very moment goes to the next."""
        if future.done() and not future.cancelled():
            self.leave(priority)
        else:
            future.cancel()
            self.waiting -= 1

    def _gone(self, person: str) -> None:
        left = self._persons[person] - 1
        if left:
            self._persons[person] = left
        else:
            del self._persons[person]

    def _late(self) -> Unavailable:
        return Unavailable(f"{self._name} did not answer in time", code="deadline", retry_after=self.estimate())

    def _free(self, priority: str) -> bool:
        if self._paused or self.running >= self._capacity:
            return False
        kept = priority == "background" and self._capacity > 1
        return not kept or self._classes[priority].running < self._capacity - 1

    def _seat(self, priority: str) -> None:
        self.running += 1
        self._classes[priority].running += 1

    def _grant(self) -> None:
        while self.waiting and (chosen := self._next()):
            ticket = self._classes[chosen].pop()
            self.waiting -= 1
            self._seat(chosen)
            ticket.future.set_result(None)

    def _next(self) -> str:
        """The class whose turn it is, empty when nobody may enter."""
        able = [name for name in PRIORITIES if self._free(name) and self._classes[name].head() is not None]
        if not able:
            return ""
        starved = [name for name in able[1:] if self._classes[name].passed >= _PATIENCE]
        chosen = starved[-1] if starved else able[0]
        for name in able:
            cls = self._classes[name]
            cls.passed = 0 if name == chosen else cls.passed + 1
        return chosen
