"""The replicas of one model behind one queue."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from kith.core.clock import Clock
from kith.core.errors import KithError
from kith.models.backend import Backend
from kith.models.queue import FairQueue

_SLOTS = 64  # requests at once where a backend does not say
_PLACES = 4096  # conversations whose replica is remembered

Watcher = Callable[["Replica", KithError | None], None]


@dataclass(slots=True, eq=False)
class Replica:
    """One loaded copy. A `retiring` one gets no new requests; what it had read was kept after `kept` requests."""

    backend: Backend
    slots: int
    running: int = 0
    served: int = 0
    kept: int = 0
    kept_at: float = 0.0
    retiring: bool = False
    loaded: bool = False
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """Its process, 0 if it has none or is not loaded."""
        return int(getattr(self.backend, "pid", 0))

    async def start(self) -> None:
        """Load it if it is not loaded. Raises `Unavailable`."""
        async with self.starting:
            await self.backend.start()
            self.loaded = True

    async def unload(self) -> bool:
        """Free its memory until the next request, unless one runs; returns whether it did."""
        async with self.starting:
            if self.running:
                return False
            self.loaded = False
            await self.backend.stop()
            return True

    async def drained(self) -> None:
        """Return when no request runs here."""
        while self.running:
            self._empty.clear()
            await self._empty.wait()

    def leave(self) -> None:
        """A request has ended."""
        self.running -= 1
        self.served += 1
        if not self.running:
            self._empty.set()


class Pool:
    """One model's replicas, and the queue before them.

    `slots` is what a backend is given that does not say how much it can do at once; `limit` bounds the queue.
    """

    def __init__(self, name: str, backend: Backend, clock: Clock, *, slots: int = 0, limit: int = 1000) -> None:
        self.name = name
        self.queue = FairQueue(name, clock, limit)
        self.used = clock.monotonic()
        self._clock = clock
        self._slots = slots or _SLOTS
        self._replicas: list[Replica] = []
        self._places: OrderedDict[str, Replica] = OrderedDict()
        self._watchers: list[Watcher] = []
        self.add(backend)

    @property
    def backend(self) -> Backend:
        """The first copy that takes requests."""
        return self.live[0].backend

    @property
    def live(self) -> list[Replica]:
        """The replicas that take requests."""
        return [replica for replica in self._replicas if not replica.retiring]

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All of them, also those that finish their last requests."""
        return tuple(self._replicas)

    @property
    def busy(self) -> bool:
        """Whether anybody runs or waits."""
        return bool(self.queue.running or self.queue.waiting)

    def add(self, backend: Backend) -> Replica:
        """Let requests go to one more copy, which is loaded by the first of them."""
        return self.admit(self.hold(backend))

    def hold(self, backend: Backend) -> Replica:
        """A copy that gets no requests yet, so that it can be loaded and tried first."""
        return Replica(backend, max(1, int(getattr(backend, "slots", 0)) or self._slots))

    def admit(self, replica: Replica) -> Replica:
        """Let requests go to a copy that was held back, or that was retired and is wanted again."""
        replica.retiring = False
        if replica not in self._replicas:
            self._replicas.append(replica)
        self._resize()
        return replica

    async def exchange(self, backend: Backend) -> list[Replica]:
        """From now on requests go to `backend` alone; returns the old copies, which finish what they have begun.

        The caller awaits `drained` of each, and stops it.
        """
        old = self.live
        self.add(backend)
        for replica in old:
            self.retire(replica)
        return old

    def retire(self, replica: Replica) -> None:
        """Give no more requests to this copy."""
        replica.retiring = True
        for key in [key for key, place in self._places.items() if place is replica]:
            del self._places[key]
        if not replica.running:
            self._replicas.remove(replica)
        self._resize()

    def pause(self) -> None:
        """Keep new requests in the queue."""
        self.queue.pause()

    def resume(self) -> None:
        """Let them in again."""
        self.queue.pause(paused=False)

    async def quiet(self) -> None:
        """Return when nothing runs."""
        for replica in self.replicas:
            await replica.drained()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Tell `watcher` the outcome of each request, None when it went well; the result ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def seat(self, person: str = "", priority: str = "text", deadline: float = 0.0, place: str = "") -> Seat:
        """A slot of a copy, in fair order, and the seconds waited for it, to be held with ``async with``.

        Requests of one `place` (a conversation) go to the copy that knows it while that has room. Raises `Unavailable`.
        """
        return Seat(self, person, priority, deadline, place)

    async def enter(self, person: str, priority: str, deadline: float, place: str) -> tuple[Replica, float]:
        """As `seat`; whoever entered must `leave`."""
        waited = await self.queue.enter(person, priority, deadline)
        replica = self._choose(place)
        replica.running += 1
        return replica, waited

    def leave(self, replica: Replica, priority: str, began: float, error: KithError | None) -> None:
        """Give a slot back, held since the instant `began`."""
        self.used = self._clock.monotonic()
        self._leave(replica)
        self.queue.leave(priority, self.used - began)
        for watcher in tuple(self._watchers):
            watcher(replica, error)

    def now(self) -> float:
        """The instant, on the clock of this pool."""
        return self._clock.monotonic()

    def _leave(self, replica: Replica) -> None:
        replica.leave()
        if replica.retiring:
            if not replica.running and replica in self._replicas:
                self._replicas.remove(replica)
            self._resize()

    def _choose(self, place: str) -> Replica:
        known = self._places.get(place) if place else None
        if known is None or known.running >= known.slots:
            known = min(self.live, key=lambda replica: replica.running / replica.slots)
        if place:
            self._places[place] = known
            self._places.move_to_end(place)
            if len(self._places) > _PLACES:
                self._places.popitem(last=False)
        return known

    def _resize(self) -> None:
        """Requests that finish on retiring copies take no room from the others."""
        self.queue.capacity = sum(replica.running if replica.retiring else replica.slots for replica in self._replicas)


class Seat:
    """A slot while it is held. A class, since a generator for each request would cost as much as a short answer."""

    __slots__ = ("_asked", "_began", "_place", "_pool", "_replica")

    def __init__(self, pool: Pool, person: str, priority: str, deadline: float, place: str) -> None:
        self._pool, self._asked, self._place = pool, (person, priority, deadline), place
        self._replica: Replica | None = None
        self._began = 0.0

    async def __aenter__(self) -> tuple[Replica, float]:
        self._replica, waited = await self._pool.enter(*self._asked, self._place)
        self._began = self._pool.now()
        return self._replica, waited

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(error)

    def leave(self, error: BaseException | None) -> None:
        """Give the slot back; `error` is what the request ended with."""
        assert self._replica is not None
        known = error if isinstance(error, KithError) else None
        self._pool.leave(self._replica, self._asked[1], self._began, known)
