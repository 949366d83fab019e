"""The process of one model, as its backend sees it: requests go in, frames come back, slots are waited for."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from kith.core.errors import Broken, Invalid, KithError, Unavailable
from kith.core.model import ModelCard
from kith.models.means import Means
from kith.runtime.supervisor import Child, ChildSpec, Frame, State

_NAMES = {"waiting": "failed", "failed": "failed", "stopped": "stopped", "ready": "ready"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests at once, requests that may wait, and the seconds without a frame after which a request is a hang.

    `ready` is how many seconds loading may take; `memory` the resident bytes above which the process is restarted.
    """

    parallel: int = 1
    queue: int = 1000
    stall: float = 300.0
    ready: float = 180.0
    memory: int = 0


class ModelProcess:
    """One supervised process that answers requests by number.

    `module` is its program, which speaks as `kith.runtime.work` does, `opening` makes its first frame, and `error`
    makes an error of what a frame says.
    """

    def __init__(
        self,
        card: ModelCard,
        means: Means,
        module: str,
        opening: Callable[[], Mapping[str, Any]],
        limits: Limits,
        *,
        error: Callable[[Mapping[str, Any], ModelCard], KithError] | None = None,
    ) -> None:
        self._card, self._means, self._limits = card, means, limits
        self._module, self._opening = module, opening
        self._error = error or failure
        self._slots = asyncio.Semaphore(limits.parallel)
        self._waiting = 0
        self._last = 0
        self._calls: dict[int, asyncio.Queue[Frame]] = {}
        self.child: Child | None = None

    @property
    def load(self) -> tuple[int, int]:
        """(requests that run, requests that wait)."""
        return len(self._calls), self._waiting

    @property
    def pid(self) -> int:
        """0 when it is not loaded."""
        return self.child.pid if self.child is not None and self.child.state == "ready" else 0

    @property
    def slots(self) -> int:
        """Requests at once."""
        return self._limits.parallel

    @property
    def ready(self) -> bool:
        return self.child is not None and self.child.state == "ready"

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        if self.child is None:
            self.child = self._means.supervisor.child(self._spec(), self._on_frame, self._on_change)
        child = self.child
        if child.state == "failed":
            raise Unavailable(f"{self._card.name} cannot be loaded: {child.reason}", code="worker_failed")
        if child.state == "stopped":
            await child.start()
        elif child.state != "ready":
            await child.ready(patient=True)

    async def stop(self) -> None:
        """Unload; requests that are running end with `Unavailable`."""
        child, self.child = self.child, None
        if child is not None:
            await self._means.supervisor.release(child)

    async def ask(self, frame: Mapping[str, Any], deadline: float = 0.0) -> Frame:
        """One request with one answer: waits for a slot and loads the model first. Raises what the answer says."""
        async with self.turn(deadline):
            await self.start()
            with self.call(frame) as (key, frames):
                found = await self.next(frames, deadline)
                self.done(key)
                return found

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncGenerator[None]:
        """One slot of the model, waited for in order. Raises `Unavailable`."""
        if self._waiting >= self._limits.queue:
            text = f"{self._waiting} requests are already waiting for {self._card.name}"
            raise Unavailable(text, code="queue_full", retry_after=5.0)
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline - self._means.clock.monotonic() if deadline else None):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(f"{self._card.name} did not answer in time", code="deadline") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    @contextmanager
    def call(self, frame: Mapping[str, Any]) -> Generator[tuple[int, asyncio.Queue[Frame]]]:
        """Send one request; when its caller leaves before `done`, the worker is told to stop working on it."""
        child = self.child
        if child is None or child.state != "ready":
            raise Unavailable(f"{self._card.name} is not running", code="worker_lost")
        self._last += 1
        key = self._last
        frames = self._calls[key] = asyncio.Queue[Frame]()
        try:
            child.send({"id": key, **frame})
            yield key, frames
        finally:
            if self._calls.pop(key, None) is not None and child.state == "ready":
                child.send({"id": key, "cancel": True})

    def done(self, key: int) -> None:
        """Say that the request `key` has got everything it asked for."""
        self._calls.pop(key, None)

    async def next(self, frames: asyncio.Queue[Frame], deadline: float) -> Frame:
        """The next frame of a call. Raises what it says, or `Unavailable` when it does not come in time."""
        stall = self._limits.stall
        left = deadline - self._means.clock.monotonic() if deadline else stall
        try:
            async with asyncio.timeout(min(left, stall)):
                frame = await frames.get()
        except TimeoutError:
            if left >= stall and self.child is not None:
                self.child.kill(f"gave no token for {stall:g} s")
            raise Unavailable(f"{self._card.name} did not answer in time", code="deadline") from None
        if "error" in frame:
            raise self._error(frame["error"], self._card)
        return frame

    def _spec(self) -> ChildSpec:
        return ChildSpec(
            name=f"model {self._card.name}",
            command=(sys.executable, "-P", "-m", self._module),
            environment={"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "passive"},
            hello={"open": dict(self._opening())},
            ready=self._limits.ready,
            memory=self._limits.memory,
        )

    def _on_frame(self, frame: Frame) -> None:
        frames = self._calls.get(frame["id"])
        if frames is not None:
            frames.put_nowait(frame)

    def _on_change(self, state: State, reason: str) -> None:
        if state != "ready":
            lost = {"error": {"type": "worker_lost", "message": reason or state}}
            for frames in self._calls.values():
                frames.put_nowait(lost)
        if state in _NAMES:
            self._means.changed(_NAMES[state], reason)


def failure(error: Mapping[str, Any], card: ModelCard) -> KithError:
    """The error of which a worker's frame tells."""
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    if kind == "worker_lost":
        return Unavailable(f"the process of {card.name} was lost: it {message}", code="worker_lost")
    if kind == "deadline":
        return Unavailable(f"{card.name} did not answer in time", code="deadline")
    if kind == "too_long":
        return Invalid(f"the input is too long for {card.name}: {message}", code="context_length_exceeded")
    if kind in {"invalid_request_error", "invalid_prompt"}:
        return Invalid(f"{card.name} cannot read the request: {message}", code="invalid_prompt")
    return Broken(f"{card.name} failed: {message}")


def fit(card: ModelCard, *, oversize: bool = False) -> None:
    """Raise `Unavailable` (code ``too_large``) for a model that needs more memory than this machine has."""
    total = psutil.virtual_memory().total
    if card.memory > total and not oversize:
        text = f"{card.name} needs about {card.memory >> 20} MiB, this machine has {total >> 20}"
        raise Unavailable(text, code="too_large", hint="choose a smaller model, quantisation or context")


def threads() -> int:
    """Cores less one: with all of them, one busy neighbour costs three quarters of the speed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)
