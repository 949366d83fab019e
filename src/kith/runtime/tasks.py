"""Work in the background: bounded, retried, at a set time."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from kith.core.clock import Clock
from kith.core.errors import Broken, KithError, NotFound, Unavailable
from kith.core.ids import Ids
from kith.core.manifest import Task
from kith.runtime.telemetry import counter, get_logger

T = TypeVar("T")
Handler = Callable[[Mapping[str, Any]], Awaitable[None]]

_log = get_logger(__name__)
_finished = counter("kith_tasks_finished_total", "Background tasks that ended.", ("task", "state"))


async def contained(work: Awaitable[T]) -> T:
    """Await `work`, turning what nobody expected (a bug) into `Broken`, so that its caller can settle it."""
    try:
        return await work
    except KithError:
        raise
    except Exception as error:
        _log.exception("unexpected failure", error=type(error).__name__)
        raise Broken(f"a part of Kith failed unexpectedly ({type(error).__name__})") from error


class Tasks:
    """A queue of at most `limit` tasks, run by `workers` at their due time.

    A task that fails with an error that says `retry`, or with an unexpected one, is tried again after 1, 2, 4 …
    seconds, at most `attempts` times. It lives in memory: what must survive a restart is kept by storage.
    """

    def __init__(self, clock: Clock, ids: Ids, *, limit: int = 1000, workers: int = 4, attempts: int = 5) -> None:
        self._clock, self._ids = clock, ids
        self._limit, self._attempts, self._size = limit, attempts, workers
        self._handlers: dict[str, Handler] = {}
        self._heap: list[tuple[float, str, Task]] = []
        self._wake = asyncio.Condition()
        self._running: list[asyncio.Task[None]] = []
        self._busy = 0

    def handle(self, name: str, handler: Handler) -> None:
        """Say who does the tasks called `name`."""
        self._handlers[name] = handler

    def repeat(self, name: str, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Do `work` now, when started, and again `seconds` after each time; a failure waits for the next time."""

        async def again(_: Mapping[str, Any]) -> None:
            try:
                await work()
            except KithError as error:
                _log.warning("repeated task failed", task=name, code=error.code)
            finally:
                await self._push(Task(self._ids.new("k"), name, {}, self._clock.monotonic() + seconds))

        self.handle(name, again)
        heapq.heappush(self._heap, (0.0, name, Task(self._ids.new("k"), name, {})))

    async def add(self, name: str, payload: Mapping[str, Any], delay: float = 0.0) -> Task:
        """Queue a task. Raises `Unavailable` when the queue is full, `NotFound` for a name nobody handles."""
        if name not in self._handlers:
            raise NotFound(f"nobody handles tasks called {name!r}")
        if len(self._heap) >= self._limit:
            raise Unavailable("too much work is waiting", retry_after=1.0, code="queue_full")
        task = Task(self._ids.new("k"), name, payload, self._clock.monotonic() + delay)
        await self._push(task)
        return task

    def start(self) -> None:
        """Begin working. Needs a running loop."""
        self._running = [asyncio.create_task(self._work()) for _ in range(self._size)]

    async def stop(self) -> None:
        """Stop working at once; what waits is forgotten."""
        for worker in self._running:
            worker.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def settled(self) -> None:
        """Wait until nothing is due or being done; what waits for its time is not waited for."""

        def quiet() -> bool:
            return not self._busy and not (self._heap and self._heap[0][0] <= self._clock.monotonic())

        async with self._wake:
            await self._wake.wait_for(quiet)

    async def _push(self, task: Task) -> None:
        async with self._wake:
            heapq.heappush(self._heap, (task.due, task.id, task))
            self._wake.notify()

    async def _next(self) -> Task:
        async with self._wake:
            while True:
                wait = self._heap[0][0] - self._clock.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()

    async def _work(self) -> None:
        while True:
            task = await self._next()
            self._busy += 1
            try:
                await self._handlers[task.name](task.payload)
            except Exception as error:  # noqa: BLE001  # a task's failure is translated here: retried or given up
                await self._failed(task, error)
            else:
                _finished.add(1, task=task.name, state="done")
            finally:
                self._busy -= 1
                async with self._wake:
                    self._wake.notify_all()

    async def _failed(self, task: Task, error: Exception) -> None:
        attempts = task.attempts + 1
        final = isinstance(error, KithError) and not error.retry
        if final or attempts >= self._attempts:
            _finished.add(1, task=task.name, state="failed")
            _log.error("task failed", task=task.name, attempts=attempts, error=type(error).__name__)
            return
        await self._push(replace(task, attempts=attempts, due=self._clock.monotonic() + 2.0 ** (attempts - 1)))
