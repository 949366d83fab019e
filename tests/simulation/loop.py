"""An event loop in which no time passes: when everybody waits, its clock jumps to the next timer.

One thread, no input or output; what is handed to a thread runs at once. A callback belongs to the process in whose
context it was made: those of a killed process never run again, those of a stopped one wait until it goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable
from typing import Any


class Process:
    """What the loop knows of a simulated process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped = False
        self.held: list[asyncio.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(CURRENT.set, self)

    def kill(self) -> None:
        """As SIGKILL does: nothing of it runs again, not even what would clean up."""
        self.dead = True
        self.held.clear()


CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Stuck(AssertionError):
    """Everybody waits for something that will never come."""


def _run(handle: Any, base: Callable[[Any], None]) -> None:
    process = handle._context.get(CURRENT)
    if process is None or not (process.dead or process.stopped):
        base(handle)
    elif process.stopped and not process.dead:
        process.held.append(handle)


class _Handle(asyncio.Handle):
    def _run(self) -> None:
        _run(self, super()._run.__func__)


class _Timer(asyncio.TimerHandle):
    def _run(self) -> None:
        _run(self, super()._run.__func__)


class _Selector:
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("everybody waits for something that will never come")
        self._loop.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Run with `run_until_complete`, then `bury`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Selector(self)
        self._clock_resolution = 1e-6
        self._made: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as a thread would hand it over
            future.set_exception(error)
        return future

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = super().create_task(coro, **options)
        self._made.append(task)
        if len(self._made) > 4096:
            self._made = [task for task in self._made if not task.done()]
        return task

    def resume(self, process: Process) -> None:
        """Let a stopped process go on where it was."""
        process.stopped = False
        self._ready.extend(process.held)
        process.held.clear()

    def bury(self) -> None:
        """End what was abandoned without a word, and close."""
        for task in self._made:
            if not task.done():
                task._log_destroy_pending = False
                try:
                    task.get_coro().close()
                except RuntimeError:  # its clean-up wanted to wait, as a killed process never does
                    continue
        self._made.clear()
        self._ready.clear()
        self._scheduled.clear()
        self.close()

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
