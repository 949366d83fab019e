"""Token buckets: how often somebody may do something, in the long run and at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from kith.core.clock import Clock
from kith.core.errors import Refused

_KEPT = 10_000


class Buckets:
    """One bucket a key, refilling evenly with `per_minute` tokens up to `burst`.

    At most 10,000 keys are remembered; the one longest unused is forgotten first, and forgetting fills its bucket.
    """

    def __init__(self, per_minute: float, burst: float, clock: Clock) -> None:
        self._rate, self._burst, self._clock = per_minute / 60, max(1.0, float(burst)), clock
        self._known: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, code: str = "rate_limited") -> None:
        """Spend one token. Raises `Refused` (429) that says when the next one is there."""
        tokens, now = self._level(key)
        if tokens < 1:
            raise Refused("too many requests", code=code, retry_after=(1 - tokens) / self._rate)
        self._known[key] = tokens - 1, now
        self._known.move_to_end(key)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _level(self, key: Hashable) -> tuple[float, float]:
        now = self._clock.monotonic()
        tokens, at = self._known.get(key, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._rate), now
