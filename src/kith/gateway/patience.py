"""Waiting no longer than one is willing to, cheaply enough for every piece of a stream."""

from __future__ import annotations

import asyncio
from typing import cast


class Patience:
    """``with patience:`` around what this task waits for: `TimeoutError` when that takes more than `seconds`.

    As `asyncio.timeout`, to be entered again and again with one timer: to set one for each piece of a stream would cost
    more than to send it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._loop = seconds, asyncio.get_running_loop()
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        self._since, self._late = 0.0, False
        self._timer = self._loop.call_later(seconds, self._look)

    def __enter__(self) -> None:
        self._since = self._loop.time()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._since = 0.0
        if self._late and kind is asyncio.CancelledError and not self._task.uncancel():
            raise TimeoutError from error

    def close(self) -> None:
        """Nothing more is waited for."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = (self._since or now) + self._seconds
        if due > now:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._late = self._task.cancel()
