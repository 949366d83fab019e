"""One request on its way through a route: a slot, a loaded copy, a retry, the next model; and what it took."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from types import TracebackType
from typing import cast

from kith.core.clock import Clock
from kith.core.errors import Broken, Invalid, KithError, Missing, NotFound, Unavailable
from kith.core.message import Delta, Message, Usage
from kith.core.model import ChatRequest
from kith.models import metrics
from kith.models.backend import Backend, ChatModel
from kith.models.keeper import Keeper
from kith.models.maker import Entry
from kith.models.pool import Replica
from kith.models.router import Step
from kith.runtime.telemetry import span

_AGAIN = frozenset({"worker_lost"})  # failures after which one more try at the same model makes sense
_FAULTS = frozenset({"worker_lost", "worker_failed", "unreachable", "bad_answer", "upstream_failed", "broken"})
_ELSEWHERE = frozenset({"context_length_exceeded", "unsupported", "broken_model", "upstream_refused"})


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, how urgently, until when (monotonic; 0: no limit), and in which conversation."""

    person: str = ""
    priority: str = "text"
    deadline: float = 0.0
    place: str = ""


@dataclass(slots=True)
class _Meter:
    """The times of one request; instants are on the monotonic clock."""

    model: str
    clock: Clock
    began: float
    first: float = 0.0

    def heard(self) -> None:
        self.first = self.clock.monotonic()
        metrics.first.observe(self.first - self.began, model=self.model)

    def ended(self, outcome: str, usage: Usage | None) -> None:
        now = self.clock.monotonic()
        metrics.requests.add(model=self.model, outcome=outcome)
        metrics.duration.observe(now - self.began, model=self.model)
        if usage is None:
            return
        metrics.tokens.add(usage.prompt, model=self.model, gen_ai_token_type="input")  # noqa: S106 - a kind of token
        metrics.tokens.add(usage.completion, model=self.model, gen_ai_token_type="output")  # noqa: S106
        metrics.prefix_tokens.add(usage.prompt, model=self.model)
        metrics.prefix_hits.add(usage.cached, model=self.model)
        if usage.completion > 1 and self.first:
            metrics.each.observe((now - self.first) / (usage.completion - 1), model=self.model)


def opening(request: ChatRequest) -> tuple[Message, ...]:
    """What a conversation begins with before anybody has spoken: the persona and its rules."""
    return tuple(itertools.takewhile(lambda message: message.role == "system", request.messages))


@cache
def _talks(kind: type[Backend]) -> bool:
    """Whether backends of this class talk; looking that up in a protocol takes longer than a short answer."""
    return issubclass(kind, ChatModel)


class Traffic:
    """Takes requests to the models of `entries`."""

    def __init__(self, entries: Mapping[str, Entry], keeper: Keeper, clock: Clock) -> None:
        self._entries, self._keeper, self._clock = entries, keeper, clock

    async def chat(
        self, choose: Callable[[ChatRequest], Sequence[Step]], request: ChatRequest
    ) -> AsyncGenerator[Delta]:
        """Stream the reply of the first model of the route that can give one; `choose` tells it when it is asked for.

        What has begun to speak is not replaced. Raises the first model's error when none can.
        """
        first: KithError | None = None
        for step in choose(request):
            spoke = False
            asked = request if request.model == step.model else replace(request, model=step.model)
            try:
                async with aclosing(self._tries(self._entries[step.model], asked)) as deltas:
                    async for delta in deltas:
                        if step.fallback:
                            if not spoke:
                                metrics.fallbacks.add(model=step.model)
                            delta = replace(delta, fallback=True)
                        spoke = True
                        yield delta
                return
            except KithError as error:
                wrong = self._entries[step.model].error is error  # its settings, not the request, are at fault
                if spoke or not (wrong or self._elsewhere(error, request)):
                    raise
                first = first or error
        assert first is not None
        raise first

    def using(self, entry: Entry, asked: Asked) -> Held:
        """A loaded copy of the model, for one request, to be held with ``async with``. Raises `Unavailable`."""
        return Held(self, entry, asked)

    async def ready(self, entry: Entry, replica: Replica, deadline: float) -> None:
        """Load a copy if it is not loaded. Raises `Unavailable`."""
        if not deadline:
            await self._keeper.ready(entry, replica)
            return
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                await self._keeper.ready(entry, replica)
        except TimeoutError:
            raise Unavailable(f"{entry.settings.name} was not loaded in time", code="deadline") from None

    async def _tries(self, entry: Entry, request: ChatRequest) -> AsyncGenerator[Delta]:
        """One model's reply. A worker that is lost before the first token is tried once more."""
        name = entry.settings.name
        meter = _Meter(name, self._clock, self._clock.monotonic())
        asked = Asked(request.person, request.priority, request.deadline, request.conversation)
        outcome, usage = "cancelled", None
        try:
            for attempt in (1, 2):
                before = entry.rollbacks
                try:
                    async with self.using(entry, asked) as backend:
                        deltas = _begun(entry, backend, request)
                        try:
                            timed = _within(deltas, request.deadline, self._clock, name) if request.deadline else deltas
                            with span("model.chat", model=name):
                                async for delta in timed:
                                    if not meter.first:
                                        meter.heard()
                                    usage = delta.usage or usage
                                    yield delta
                        finally:
                            if isinstance(deltas, AsyncGenerator):
                                await deltas.aclose()
                    outcome = "ok"
                    return
                except (Unavailable, Broken) as error:
                    replaced = entry.rollbacks > before  # it was a new version's fault: the old one is back
                    if meter.first or attempt == 2 or not (replaced or error.code in _AGAIN):
                        raise
                    metrics.retries.add(model=name)
        except KithError as error:
            outcome = error.code
            raise
        finally:
            meter.ended(outcome, usage)

    def enter(self, entry: Entry) -> float:
        """The instant at which a request begins. Raises `Unavailable` (code ``circuit_open``)."""
        if not entry.breaker.enter():
            text = f"{entry.settings.name} failed {entry.breaker.failures} times in a row and is left alone for now"
            raise Unavailable(text, code="circuit_open", retry_after=max(1.0, entry.breaker.left))
        return self._clock.monotonic()

    def failed(self, entry: Entry, began: float) -> None:
        """A request that began at an instant failed by the model's own fault."""
        opened = entry.breaker.opened
        entry.breaker.failed(began)
        if entry.breaker.opened > opened:
            metrics.breaker.add(model=entry.settings.name)

    def _elsewhere(self, error: KithError, request: ChatRequest) -> bool:
        """Whether another model may do better."""
        if request.deadline and self._clock.monotonic() >= request.deadline:
            return False
        return isinstance(error, Unavailable | Missing | NotFound | Broken) or error.code in _ELSEWHERE


class Held:
    """A loaded copy of a model while it is held. A class for the same reason as `kith.models.pool.Seat`."""

    __slots__ = ("_asked", "_began", "_entry", "_seat", "_traffic")

    def __init__(self, traffic: Traffic, entry: Entry, asked: Asked) -> None:
        self._traffic, self._entry, self._asked = traffic, entry, asked
        self._began = 0.0

    async def __aenter__(self) -> Backend:
        entry, asked = self._entry, self._asked
        if entry.error is not None:
            raise entry.error
        assert entry.pool is not None
        self._began = self._traffic.enter(entry)
        self._seat = entry.pool.seat(asked.person, asked.priority, asked.deadline, asked.place)
        try:
            replica, waited = await self._seat.__aenter__()
            metrics.queued.observe(waited, model=entry.settings.name)
            await self._loaded(replica)
        except KithError as error:
            self._note(error)
            raise
        return replica.backend

    async def _loaded(self, replica: Replica) -> None:
        """Load the copy if it is not loaded; the slot is given back when that does not end well."""
        loaded, error = False, None
        try:
            await self._traffic.ready(self._entry, replica, self._asked.deadline)
            loaded = True
        except KithError as caught:
            error = caught
            raise
        finally:
            if not loaded:
                self._seat.leave(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._seat.__aexit__(kind, error, trace)
        if error is None:
            self._entry.breaker.succeeded()
        else:
            self._note(error)

    def _note(self, error: BaseException) -> None:
        if isinstance(error, KithError) and error.code in _FAULTS:
            self._traffic.failed(self._entry, self._began)


def _begun(entry: Entry, backend: Backend, request: ChatRequest) -> AsyncIterator[Delta]:
    """The reply of a loaded copy. Raises `Invalid` (code ``unsupported``) where the model does not talk."""
    if not _talks(type(backend)):
        raise Invalid(f"the model {entry.settings.name!r} does not talk", code="unsupported")
    entry.opening = opening(request)
    return cast("ChatModel", backend).stream(request)


async def _within(deltas: AsyncIterator[Delta], deadline: float, clock: Clock, name: str) -> AsyncGenerator[Delta]:
    """The same, until `deadline` on the monotonic clock. Raises `Unavailable` (code ``deadline``)."""
    while True:
        try:
            async with asyncio.timeout(deadline - clock.monotonic()):
                delta = await anext(deltas, None)
        except TimeoutError:
            raise Unavailable(f"{name} did not answer in time", code="deadline") from None
        if delta is None:
            return
        yield delta
