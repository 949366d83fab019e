"""What may go wrong, how often, by seed; and the storage in which it goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from kith.core.errors import Unavailable
from kith.storage.memory.database import Memory


@dataclass(slots=True)
class Weather:
    """Probabilities of what may go wrong, and delays in seconds. `calm` ends it all."""

    disk_before: float = 0.0
    disk_after: float = 0.0
    disk_delay: float = 0.0
    net_loss: float = 0.0
    net_fail: float = 0.0
    net_after: float = 0.0
    net_twice: float = 0.0
    net_delay: float = 0.0
    model_fail: float = 0.0
    model_cut: float = 0.0
    model_hang: float = 0.0
    model_bug: float = 0.0
    kill: float = 0.0
    stop: float = 0.0
    jump: float = 0.0
    outage: float = 0.0

    @classmethod
    def drawn(cls, rng: random.Random) -> Weather:
        """Each kind of fault is absent in half of the runs, so that every combination is met."""

        def some(most: float) -> float:
            return rng.choice((0.0, rng.uniform(0, most)))

        return cls(
            *(some(0.15), some(0.15), some(0.5)),
            *(some(0.2), some(0.2), some(0.2), some(0.2), some(8.0)),
            *(some(0.3), some(0.3), some(0.02), some(0.1)),
            *(some(0.2), some(0.1), some(0.1), some(0.05)),
        )

    def calm(self) -> None:
        """Nothing goes wrong any more; a little delay remains."""
        for name in self.__slots__:
            setattr(self, name, 0.0)


class Disk:
    """The shared database: it outlives every process. While `out` is true, nothing can be written."""

    def __init__(self, rng: random.Random, weather: Weather, note: Callable[..., None]) -> None:
        self.connection = apsw.Connection(":memory:")
        self.rng, self.weather, self.note = rng, weather, note
        self.out = False

    def close(self) -> None:
        self.connection.close()


class Faulty(Memory):
    """One process's way to the disk: slow, failing before a commit, or after one that nobody then hears of."""

    def __init__(self, boot: str, disk: Disk, alive: Callable[[str], bool]) -> None:
        super().__init__(boot, disk.connection)
        self._disk, self._alive = disk, alive

    async def write(self, make: Callable[[], Any]) -> Any:
        name = getattr(getattr(make, "func", make), "__name__", "?")
        disk = self._disk
        await self._wait()
        if disk.out or disk.rng.random() < disk.weather.disk_before:
            disk.note("disk", name, "before")
            raise Unavailable("the disk reports an error", code="disk_error")
        result = await super().write(make)
        await self._wait()
        if disk.rng.random() < disk.weather.disk_after:
            disk.note("disk", name, "after")
            raise Unavailable("the disk reports an error", code="disk_error")
        return result

    async def read(self, make: Callable[[], Any]) -> Any:
        await self._wait()
        if self._disk.rng.random() < self._disk.weather.disk_before / 4:
            raise Unavailable("the disk reports an error", code="disk_error")
        return await super().read(make)

    async def gone(self, boots: Sequence[str]) -> Sequence[str]:
        return tuple(boot for boot in boots if not self._alive(boot))

    async def _wait(self) -> None:
        await asyncio.sleep(self._disk.rng.random() * self._disk.weather.disk_delay)
