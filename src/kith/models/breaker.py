"""A circuit breaker: a model that keeps failing is left alone for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kith.core.clock import Clock

_LONGEST = 300.0  # seconds


@dataclass(slots=True)
class Breaker:
    """Opens after `limit` failures in a row, for `pause` seconds, doubled each time the trial after it fails too.

    Requests that were under way when a failure was counted fail for the same reason: they are not counted again.
    """

    clock: Clock
    limit: int = 5
    pause: float = 10.0
    failures: int = 0
    opened: int = 0
    _until: float = 0.0
    _last: float = field(default=-1.0)
    _trial: float = field(default=-1.0)

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """``half_open`` lets one request through to see."""
        if self.failures < self.limit:
            return "closed"
        return "open" if self.clock.monotonic() < self._until else "half_open"

    @property
    def left(self) -> float:
        """Seconds until it may be tried again."""
        return max(0.0, self._until - self.clock.monotonic())

    def enter(self) -> bool:
        """Whether a request may be made now. In the half-open state only one a `pause` may."""
        state = self.state
        if state == "half_open":
            now = self.clock.monotonic()
            if self._trial >= self._until and now - self._trial < self.pause:
                return False
            self._trial = now
        return state != "open"

    def succeeded(self) -> None:
        """A request was answered: all is forgiven."""
        self.failures = self.opened = 0

    def failed(self, began: float) -> None:
        """A request that began at the monotonic instant `began` failed for the model's own fault."""
        now = self.clock.monotonic()
        if began <= self._last:
            return
        self._last = now
        self.failures += 1
        if self.failures >= self.limit:
            self._until = now + min(_LONGEST, self.pause * 2.0 ** min(self.opened, 16))
            self.opened += 1
