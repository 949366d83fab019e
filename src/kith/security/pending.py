"""Things that were begun and wait for their second half for a few minutes: challenges, and journeys to a provider."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from kith.core.clock import Clock

T = TypeVar("T")


class Pending(Generic[T]):
    """A bounded memory of `most` beginnings, each good once and for `seconds`; a flood pushes out the oldest."""

    def __init__(self, clock: Clock, seconds: float, most: int = 1000) -> None:
        self._clock, self._seconds, self._most = clock, seconds, most
        self._kept: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def put(self, key: str, value: T) -> None:
        """Remember."""
        self._kept[key] = self._clock.monotonic() + self._seconds, value
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def take(self, key: str) -> T | None:
        """What was begun under this key, once; None if nothing, or too long ago."""
        until, value = self._kept.pop(key, (0.0, None))
        return value if until >= self._clock.monotonic() else None
