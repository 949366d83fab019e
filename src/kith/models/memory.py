"""Room for models: what has to go before another may come, and which process has grown too much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil

_SAMPLES = 3  # looks in a row at which a process has to be too large
_SETTLED = 8  # requests after which a process has its size
_FLOOR = 256 << 20  # bytes of growth that are nobody's fault: caches that fill


@dataclass(frozen=True, slots=True)
class Tenant:
    """A model in memory: bytes, when it was last used on the monotonic clock, and whether requests run."""

    name: str
    bytes: int
    used: float
    busy: bool = False


def evictions(need: int, tenants: Iterable[Tenant], limit: int) -> list[str] | None:
    """The idle models to unload, least recently used first, so that `need` more bytes stay below `limit`.

    None when that cannot be reached by unloading what is idle.
    """
    rows = list(tenants)
    total = need + sum(tenant.bytes for tenant in rows)
    chosen: list[str] = []
    for tenant in sorted((one for one in rows if not one.busy), key=lambda one: one.used):
        if total <= limit:
            break
        chosen.append(tenant.name)
        total -= tenant.bytes
    return chosen if total <= limit else None


def idle(tenants: Iterable[Tenant], now: float, delay: float) -> list[str]:
    """The models that nobody has used for `delay` seconds; 0: none."""
    return [one.name for one in tenants if delay and not one.busy and now - one.used >= delay]


@dataclass(slots=True)
class LeakWatch:
    """Tells when a process has grown by more than `growth` of its settled size, and by 256 MiB, three looks in a row.

    The settled size is measured once eight requests were served: until then caches and buffers are filled.
    """

    growth: float = 0.5
    _settled: int = 0
    _over: int = field(default=0)

    def look(self, resident: int, served: int) -> bool:
        """Whether the process should be replaced now."""
        if not self._settled:
            if served >= _SETTLED:
                self._settled = resident
            return False
        allowed = self._settled + max(_FLOOR, int(self._settled * self.growth))
        self._over = self._over + 1 if resident > allowed else 0
        return self._over >= _SAMPLES


def resident(pid: int) -> int:
    """Resident bytes of a process, 0 when there is none."""
    if pid:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(pid).memory_info().rss
    return 0
