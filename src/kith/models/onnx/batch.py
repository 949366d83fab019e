"""Small batches: texts of several requests are computed together, and none waits longer than it may."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Lot(Generic[T, R]):
    """The items of one request. `due` is an instant of the batcher's clock; `done` is set when all have a result."""

    items: Sequence[T]
    due: float
    dropped: threading.Event
    results: list[R | None] = field(default_factory=list[R | None])
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)
    left: int = 0


class Expired(Exception):
    """The request's time was over before its turn came."""


class Batcher(Generic[T, R]):
    """Gathers items for at most `wait` seconds or until there are `size`, and lets `run` compute them in one thread.

    Items of similar `weight` are computed together, so that little is spent on padding.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Sequence[R]],
        size: int,
        wait: float,
        weight: Callable[[T], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._size, self._wait, self._weight, self.now = run, size, wait, weight, now
        self._lane = ThreadPoolExecutor(1, "batch")
        self._waiting: queue.SimpleQueue[Lot[T, R]] = queue.SimpleQueue()
        threading.Thread(target=self._loop, daemon=True, name="batches").start()

    def compute(self, items: Sequence[T], due: float, dropped: threading.Event) -> list[R]:
        """The results of all items, in order. Raises `Expired`, or what `run` raised."""
        if not items:
            return []
        lot = Lot[T, R](items, due, dropped, [None] * len(items), left=len(items))
        self._waiting.put(lot)
        lot.done.wait()
        if lot.error is not None:
            raise lot.error
        return [result for result in lot.results if result is not None]

    def _loop(self) -> None:
        while True:
            self.round(self._gather(self._waiting.get()))

    def _gather(self, first: Lot[T, R]) -> list[Lot[T, R]]:
        lots, count, end = [first], len(first.items), self.now() + self._wait
        while count < self._size:
            try:
                lot = self._waiting.get(timeout=max(0.0, end - self.now()))
            except queue.Empty:
                break
            lots.append(lot)
            count += len(lot.items)
        return lots

    def round(self, lots: Sequence[Lot[T, R]]) -> None:
        """Compute what was gathered; a request that nobody waits for any more costs nothing."""
        pairs = [(lot, index) for lot in lots for index in range(len(lot.items))]
        pairs.sort(key=lambda pair: self._weight(pair[0].items[pair[1]]))
        for begin in range(0, len(pairs), self._size):
            part = [pair for pair in pairs[begin : begin + self._size] if self._alive(pair[0])]
            if part:
                self._compute(part)

    def _alive(self, lot: Lot[T, R]) -> bool:
        if lot.error is None and (lot.dropped.is_set() or self.now() > lot.due):
            self._settle(lot, Expired("its time was over"))
        return lot.error is None

    def _compute(self, part: list[tuple[Lot[T, R], int]]) -> None:
        computing = self._lane.submit(self._run, [lot.items[index] for lot, index in part])
        error = computing.exception()  # of any kind: natives have their own
        if error is not None:
            for lot, _ in part:
                self._settle(lot, error)
            return
        for (lot, index), result in zip(part, computing.result(), strict=True):
            lot.results[index] = result
            lot.left -= 1
            if not lot.left:
                lot.done.set()

    def _settle(self, lot: Lot[T, R], error: BaseException) -> None:
        lot.error = error
        lot.done.set()
