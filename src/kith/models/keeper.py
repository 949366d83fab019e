"""Keeps models in their place: makes room for one, unloads the idle, replaces what grew, adds and drops copies."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from kith.core.clock import Clock
from kith.core.errors import KithError, Unavailable
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import metrics
from kith.models.backend import ChatModel, Keeps
from kith.models.maker import Entry, Maker
from kith.models.memory import LeakWatch, Tenant, evictions, idle, resident
from kith.models.pool import Pool, Replica
from kith.models.power import physical, profile
from kith.models.replicas import Load
from kith.models.settings import ServingSettings
from kith.runtime.machine import memory
from kith.runtime.telemetry import get_logger

PERIOD = 5.0
"""Seconds between two looks."""
_WARM = 60.0  # seconds that reading the beginning of conversations may take

log = get_logger(__name__)


@dataclass(slots=True)
class Senses:
    """How the machine is seen; a test puts something else in its place. CPU use is in 0..1 of one processor each."""

    resident: Callable[[int], int] = resident
    total: Callable[[], int] = memory
    _processes: dict[int, psutil.Process] = field(default_factory=dict[int, psutil.Process])

    def cpu(self, pid: int) -> float:
        """Processors that a process has used since the last look."""
        with contextlib.suppress(psutil.Error):
            process = self._processes.setdefault(pid, psutil.Process(pid))
            return process.cpu_percent() / 100
        self._processes.pop(pid, None)
        return 0.0

    def machine(self) -> float:
        """Use of all processors since the last look, 0..1."""
        return psutil.cpu_percent() / 100


class Keeper:
    """Looks after the entries; `tend` is one look at all of them, `run` looks for ever."""

    def __init__(
        self, entries: Mapping[str, Entry], maker: Maker, clock: Clock, serving: ServingSettings, senses: Senses
    ) -> None:
        self._entries, self._maker, self._clock, self._serving = entries, maker, clock, serving
        self._senses = senses
        self._idle = profile(serving.power).idle if serving.idle is None else serving.idle
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ready(self, entry: Entry, replica: Replica) -> None:
        """Load a copy if it is not loaded, after making room for it. Raises `Unavailable`."""
        if not replica.loaded:
            async with self._loading:
                await self._make_room(entry, entry.card.memory)
                replica.loaded = True  # counted from now on, while it loads
            metrics.loads.add(model=entry.settings.name)
        started = False
        try:
            await replica.start()
            started = True
        finally:
            replica.loaded = started

    async def spare(self, need: int) -> int:
        """Make room for `need` more bytes; returns how many of them are missing, 0 when they fit."""
        async with self._loading:
            names = evictions(need, self._tenants(), self._limit())
            for name in names or ():
                await self._unload(self._entries[name], "memory")
            return 0 if names is not None else max(1, self._sum() + need - self._limit())

    async def run(self) -> None:
        """Look after everything until cancelled."""
        while True:
            await self._clock.sleep(PERIOD)
            await self.tend()

    async def stop(self) -> None:
        """Give up what is being done in the background."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def tend(self) -> None:
        """One look: measure, unload what is idle or too much, begin to replace or scale what needs it."""
        for name in idle(self._tenants(), self._clock.monotonic(), self._idle):
            await self._unload(self._entries[name], "idle")
        async with self._loading:
            with contextlib.suppress(Unavailable):
                await self._make_room(None, 0)
        for entry in tuple(self._entries.values()):
            if entry.pool is not None and not entry.tending:
                self._look(entry, entry.pool)
            if entry.pool is not None and not entry.tending:
                self._keep(entry, entry.pool)

    async def recycle(self, entry: Entry, pool: Pool, old: Replica) -> None:
        """Put a new copy in the place of one, without a request noticing. Raises `Unavailable`: the old one stays."""
        if self._sum() + entry.card.memory <= self._limit():
            fresh = pool.hold(self._maker.backend(entry.settings, silent=True))
            try:
                await fresh.start()
            except KithError:
                await fresh.backend.stop()
                raise
            await self.warm(entry, fresh)
            pool.admit(fresh)
            pool.retire(old)
            await old.drained()
            await old.backend.stop()
            return
        pool.pause()  # two copies do not fit: those who come wait while the process is started anew
        try:
            await pool.quiet()
            await old.unload()
            await old.start()
        finally:
            pool.resume()

    async def warm(self, entry: Entry, replica: Replica) -> None:
        """Let a copy that has no requests yet read how conversations begin, so that its first one need not wait."""
        backend = replica.backend
        if not entry.opening or not isinstance(backend, ChatModel):
            return
        message = Message("warm", "user", (Text("."),), self._clock.now())
        deadline = self._clock.monotonic() + _WARM
        request = ChatRequest((*entry.opening, message), sampling=Sampling(max_tokens=1), deadline=deadline)
        try:
            async for _ in backend.stream(request):
                pass
        except KithError as error:
            log.debug("warm", model=entry.settings.name, error=error.message)

    def _look(self, entry: Entry, pool: Pool) -> None:
        name, live = entry.settings.name, [replica for replica in pool.live if replica.loaded]
        metrics.waiting.set(pool.queue.waiting, model=name)
        metrics.running.set(pool.queue.running, model=name)
        metrics.replicas.set(len(live), model=name)
        metrics.memory.set(sum(self._senses.resident(replica.pid) for replica in live), model=name)
        for replica in live:
            watch = entry.watches.setdefault(replica, LeakWatch(self._serving.growth))
            if replica.pid and watch.look(self._senses.resident(replica.pid), replica.served):
                entry.watches.pop(replica)
                log.warning("model grew", name=name, bytes=self._senses.resident(replica.pid))
                metrics.recycled.add(model=name)
                self._begin(entry, self.recycle(entry, pool, replica))
                return
        if live and entry.scaler.most > 1:
            self._scale(entry, pool, live)

    def _keep(self, entry: Entry, pool: Pool) -> None:
        """Let a copy that rests keep what it has read, now and then."""
        now, every = self._clock.monotonic(), self._serving.prefixes.every
        for replica in pool.live:
            backend, fresh = replica.backend, replica.served > replica.kept
            if fresh and replica.loaded and isinstance(backend, Keeps) and not replica.running:
                replica.kept_at = replica.kept_at or now
                if now - replica.kept_at >= every:
                    replica.kept, replica.kept_at = replica.served, now
                    self._begin(entry, _kept(backend))
                    return

    def _scale(self, entry: Entry, pool: Pool, live: list[Replica]) -> None:
        threads = entry.settings.threads or max(1, physical() - 1)
        cpu = sum(self._senses.cpu(replica.pid) for replica in live) / (threads * len(live))
        slots = sum(replica.slots for replica in live)
        load = Load(len(live), cpu, self._senses.machine(), pool.queue.running, slots, pool.queue.waiting)
        wanted = entry.scaler.decide(load, self._clock.monotonic())
        if wanted > len(live):
            self._begin(entry, self._grow(entry, pool))
        elif wanted < len(live):
            self._begin(entry, self._shrink(pool, live[-1]))

    async def _grow(self, entry: Entry, pool: Pool) -> None:
        if self._sum() + entry.card.memory > self._limit():
            return
        fresh = pool.hold(self._maker.backend(entry.settings, silent=True))
        try:
            await fresh.start()
        except KithError:
            await fresh.backend.stop()
            raise
        await self.warm(entry, fresh)
        pool.admit(fresh)

    async def _shrink(self, pool: Pool, replica: Replica) -> None:
        pool.retire(replica)
        await replica.drained()
        await replica.backend.stop()

    def _begin(self, entry: Entry, work: Coroutine[Any, Any, None]) -> None:
        entry.tending = True

        async def whole() -> None:
            try:
                await work
            except KithError as error:
                log.warning("model", name=entry.settings.name, error=error.message)
            finally:
                entry.tending = False

        task = asyncio.create_task(whole())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unload(self, entry: Entry, reason: str) -> None:
        for replica in entry.pool.live if entry.pool else ():
            if replica.loaded and await replica.unload():
                entry.watches.pop(replica, None)
                metrics.unloads.add(model=entry.settings.name, reason=reason)

    async def _make_room(self, entry: Entry | None, need: int) -> None:
        """Unload what is idle until `need` more bytes fit under the ceiling. Raises `Unavailable` if they cannot."""
        others = [one for one in self._tenants() if entry is None or one.name != entry.settings.name]
        names = evictions(need, others, self._limit())
        if names is None:
            busy = ", ".join(one.name for one in others if one.busy)
            if entry is None or not busy:
                return  # it is alone: whether it fits is for its backend to say
            text = f"{entry.settings.name} does not fit into the memory while {busy} is at work"
            raise Unavailable(text, code="no_memory", retry_after=5.0)
        for name in names:
            await self._unload(self._entries[name], "memory")

    def _tenants(self) -> list[Tenant]:
        found: list[Tenant] = []
        for name, entry in self._entries.items():
            pool = entry.pool
            loaded = [replica for replica in pool.replicas if replica.loaded] if pool else []
            if pool is not None and loaded:
                size = sum(self._senses.resident(replica.pid) or entry.card.memory for replica in loaded)
                found.append(Tenant(name, size, pool.used, pool.busy or entry.tending))
        return found

    def _sum(self) -> int:
        return sum(tenant.bytes for tenant in self._tenants())

    def _limit(self) -> int:
        return int(self._senses.total() * self._serving.ceiling) - self._senses.resident(os.getpid())


async def _kept(backend: Keeps) -> None:
    await backend.keep()
