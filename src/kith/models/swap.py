"""Another version of a model while people talk with it.

The new version is loaded in a process of its own and has to answer a canary prompt; then traffic moves, what runs on
the old one finishes there, and the old one stays loaded until the new one has proved itself. When one of the first
requests fails through its fault, traffic moves back before that request is tried again. The link ``current`` changes
only after the proof: a machine that dies in between starts with the version that was known to work.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kith.core.clock import Clock
from kith.core.errors import Broken, KithError, NotFound, Refused, Unavailable
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models.backend import Backend, ChatModel, Classifies, Embeds, Ranks
from kith.models.maker import Entry, Maker
from kith.models.pool import Pool, Replica
from kith.models.shelf import bind, stamp, versions_of
from kith.models.versions import Versions
from kith.runtime.telemetry import get_logger, span

CANARY = "Say hello in one short sentence."
_PROBE = 60.0  # seconds that the canary prompt may take
_DRAIN = 300.0  # seconds that requests under way may take to finish when two copies do not fit
PROOFS = 3
"""Requests that a new version answers before the old one is stopped."""
PATIENCE = 10.0
"""Seconds after which it counts as proved if fewer came and none failed."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swapped:
    """A change of version that was made. Seconds: loading and probing beside the old one, and with nobody served."""

    model: str
    version: str
    before: str
    loading: float = 0.0
    probing: float = 0.0
    pause: float = 0.0
    proofs: int = 0


@dataclass(slots=True)
class _Trial:
    """The first requests to a new copy. `back` is called at once when one of them fails through the copy's fault."""

    fresh: Replica
    back: Callable[[], None]
    proofs: int = 0
    error: KithError | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def saw(self, replica: Replica, error: KithError | None) -> None:
        """The outcome of a request to any copy."""
        if replica is not self.fresh or self.decided.is_set():
            return
        if error is None:
            self.proofs += 1
        elif guilty(error):
            self.error = error
            self.back()
        if self.error or self.proofs >= PROOFS:
            self.decided.set()


class Swapper:
    """Changes versions. `later` runs what may take its time, `room` tells how many bytes are missing for so many more.

    `changed` is called with a model's name when its replies may be others than before.
    """

    def __init__(
        self,
        maker: Maker,
        clock: Clock,
        folder: Path,
        room: Callable[[int], Awaitable[int]],
        later: Callable[[Coroutine[Any, Any, None]], None],
        changed: Callable[[str], None],
    ) -> None:
        self._maker, self._clock, self._folder = maker, clock, folder
        self._room, self._later, self._changed = room, later, changed

    async def swap(self, entry: Entry, version: str = "", *, drain: bool = False) -> Swapped:
        """Change `entry` to `version`, by default the newest; with `drain` also when two copies do not fit.

        Raises `NotFound` (code ``no_version``), `Refused` (codes ``no_versions``, ``no_room``), `Unavailable` (codes
        ``swapping``, and ``swap_failed`` with the reason: the old version then goes on).
        """
        name, versions = entry.settings.name, self._versions(entry)
        before = versions.current
        chosen = version or max(versions.all(), key=lambda one: one.added).version
        if chosen == entry.card.version and entry.error is None:
            return Swapped(name, chosen, before)
        if entry.tending:
            raise Unavailable(f"the copies of {name} are being changed", code="swapping", retry_after=5.0)
        entry.tending = True
        try:
            with span("model.swap", model=name):
                return await self._change(entry, versions, chosen, before, drain=drain)
        finally:
            entry.tending = False

    async def _change(self, entry: Entry, versions: Versions, chosen: str, before: str, *, drain: bool) -> Swapped:
        name = entry.settings.name
        settings, about = bind(entry.settings, self._folder, chosen)
        try:
            backend = await asyncio.to_thread(self._maker.backend, settings)
        except KithError as error:
            raise _failed(name, chosen, error) from None
        card = replace(stamp(backend.card, about), reply=settings.max_tokens or 0)
        old = entry.pool.live if entry.pool else []
        pool = entry.pool or Pool(name, backend, self._clock, slots=settings.parallel)
        missing = await self._room(card.memory) if any(replica.loaded for replica in old) else 0
        if missing and not drain:
            raise _no_room(name, card.memory, missing)
        change = _Change(entry, pool, backend, old, self._clock, self._later)
        kept = entry.settings, entry.card, entry.error, entry.pool

        def adopt(*, new: bool) -> None:
            entry.settings, entry.card, entry.error, entry.pool = (settings, card, None, pool) if new else kept
            self._changed(name)

        try:
            swapped = await change.run(Swapped(name, chosen, before), adopt, drain=bool(missing))
        except KithError as error:
            raise _failed(name, chosen, error) from None
        await asyncio.to_thread(versions.use, chosen)
        log.info("model swapped", name=name, version=chosen, before=before, pause=round(swapped.pause, 3))
        return swapped

    def _versions(self, entry: Entry) -> Versions:
        found = versions_of(entry.settings, self._folder)
        if found is None:
            bind(entry.settings, self._folder, "?")
            raise NotFound(f"{entry.settings.name} has no versions", code="no_version")
        return found


@dataclass(slots=True)
class _Change:
    """One change, from the loading of the new copy to the end of its trial."""

    entry: Entry
    pool: Pool
    backend: Backend
    old: list[Replica]
    clock: Clock
    later: Callable[[Coroutine[Any, Any, None]], None]

    async def run(self, about: Swapped, adopt: Callable[..., None], *, drain: bool) -> Swapped:
        """Make it. Raises what is wrong with the new copy, after everything is as it was."""
        fresh = self.pool.live[0] if not self.old else self.pool.hold(self.backend)
        paused, began, moved = 0.0, self.clock.monotonic(), False
        served = any(replica.loaded for replica in self.old)
        if drain:
            await self._empty()
        try:
            emptied = self.clock.monotonic()
            await fresh.start()
            loaded = self.clock.monotonic()
            await probe(self.backend, self.clock)
            probed = self.clock.monotonic()
            self._move(fresh)
            adopt(new=True)
            moved = True
        finally:
            if not moved:
                await fresh.backend.stop()
            if drain and not moved:
                await self._restore()
            if drain:
                self.pool.resume()
                paused = self.clock.monotonic() - began
        proofs = await self._prove(fresh, adopt, drained=drain) if served or drain else 0
        for replica in self.old:
            self.later(_put_away(replica))
        return Swapped(about.model, about.version, about.before, loaded - emptied, probed - loaded, paused, proofs)

    def _move(self, fresh: Replica) -> None:
        if self.old:
            self.pool.admit(fresh)
        for replica in self.old:
            self.pool.retire(replica)

    async def _prove(self, fresh: Replica, adopt: Callable[..., None], *, drained: bool) -> int:
        def back() -> None:
            self.entry.rollbacks += 1
            for replica in self.old:
                self.pool.admit(replica)
            if self.old:
                self.pool.retire(fresh)
            adopt(new=False)
            if drained:
                self.pool.pause()  # until the memory of the new copy is free again

        trial = _Trial(fresh, back)
        unwatch = self.pool.watch(trial.saw)
        timer = asyncio.ensure_future(self.clock.sleep(PATIENCE))
        decision = asyncio.ensure_future(trial.decided.wait())
        try:
            await asyncio.wait((timer, decision), return_when=asyncio.FIRST_COMPLETED)
        finally:
            unwatch()
            timer.cancel()
            decision.cancel()
        if trial.error is None:
            return trial.proofs
        if drained:
            await _put_away(fresh)
            self.pool.resume()
        else:
            self.later(_put_away(fresh))
        raise trial.error

    async def _empty(self) -> None:
        """Let nobody in, wait until nobody is left, and free the memory. Raises `Unavailable` when that takes long."""
        self.pool.pause()
        empty = False
        try:
            async with asyncio.timeout(_DRAIN):
                await self.pool.quiet()
            for replica in self.old:
                await replica.unload()
            empty = True
        except TimeoutError:
            text = f"requests to {self.pool.name} did not finish within {_DRAIN:g} s"
            raise Unavailable(text, code="swapping", retry_after=30.0) from None
        finally:
            if not empty:
                self.pool.resume()

    async def _restore(self) -> None:
        for replica in self.old:
            try:
                await replica.start()
            except KithError as error:  # it is tried again by the next request
                log.warning("model", name=self.pool.name, error=error.message)


async def probe(backend: Backend, clock: Clock) -> None:
    """Ask a loaded backend something that every model of its kind can answer. Raises `Broken` or what it raises."""
    try:
        async with asyncio.timeout(_PROBE):
            match backend.card.kind:
                case "chat" if isinstance(backend, ChatModel):
                    await _talk(backend, clock)
                case "embed" if isinstance(backend, Embeds):
                    rows = await backend.embed([CANARY])
                    _sound(backend, [number for row in rows for number in row])
                case "rerank" if isinstance(backend, Ranks):
                    _sound(backend, await backend.rank("hello", [CANARY]))
                case "classify" if isinstance(backend, Classifies):
                    _sound(backend, [number for row in await backend.classify([CANARY]) for number in row.values()])
                case _:
                    return  # that it could be loaded has to be enough
    except TimeoutError:
        raise Broken(f"it did not answer the canary prompt within {_PROBE:g} s") from None


async def _talk(backend: ChatModel, clock: Clock) -> None:
    message = Message("canary", "user", (Text(CANARY),), clock.now())
    request = ChatRequest((message,), sampling=Sampling(max_tokens=8, temperature=0.0, seed=1), priority="background")
    made, finish = 0, ""
    deltas: Any = backend.stream(request)
    async with aclosing(deltas):
        async for delta in deltas:
            made += bool(delta.text or delta.calls)
            finish = delta.finish or finish
            if delta.usage is not None:
                made = max(made, delta.usage.completion)
    if not made or finish not in {"stop", "length", "tool_calls"}:
        raise Broken(f"it said nothing to the canary prompt (finish: {finish or 'none'})")


def _sound(backend: Backend, numbers: Sequence[float]) -> None:
    if not numbers or not all(map(math.isfinite, numbers)):
        raise Broken(f"{backend.card.name} answers the canary prompt with nothing, or with what is no number")


def guilty(error: KithError) -> bool:
    """Whether a request's failure is the model's own fault, and not the request's or the caller's."""
    return isinstance(error, Broken) or (isinstance(error, Unavailable) and error.code.startswith("worker_"))


async def _put_away(replica: Replica) -> None:
    await replica.drained()
    await replica.backend.stop()
    replica.loaded = False


def _failed(name: str, version: str, error: KithError) -> KithError:
    if error.code in {"swapping", "no_room"}:
        return error
    text = f"the version {version} of {name} does not work, and the old one goes on: {error.message}"
    return Unavailable(text, code="swap_failed", hint=error.hint)


def _no_room(name: str, need: int, missing: int) -> Refused:
    text = f"two copies of {name} do not fit: the new one needs about {need >> 20} MiB, {missing >> 20} too many"
    hint = "with --drain requests wait while the old one is unloaded and the new one loaded"
    return Refused(text, code="no_room", hint=hint)
