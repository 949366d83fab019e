"""Measuring one model on this machine: how fast it reads and writes with given threads and options."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from kith.core.clock import Clock
from kith.core.errors import Invalid
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models.backend import ChatModel
from kith.models.maker import Maker
from kith.models.settings import ModelSettings, ServingSettings
from kith.models.tune import Trial, Tuned, Tuner, Tuning, counts, machine, size
from kith.runtime.http import http_client
from kith.runtime.supervisor import Supervisor

_ROUNDS = 2  # of which the better counts: noise only ever slows down
_READ, _WRITTEN = 300, 64  # words of the prompt, tokens of the reply


async def tune(
    settings: ModelSettings, clock: Clock, folder: Path, *, told: Callable[[Trial], None] = lambda _: None
) -> Tuning:
    """Find the best threads and options of a model that talks, and keep them in ``tuned.json`` of `folder`.

    What the settings themselves say is not touched. Raises `Invalid` (code ``unsupported``) if it cannot be measured.
    """
    supervisor = Supervisor(clock)
    async with http_client() as client:
        maker = Maker(clock, supervisor, client, folder, ServingSettings(), _unheard)
        if settings.url:
            raise Invalid(f"{settings.name} runs elsewhere: there is nothing to tune here", code="unsupported")
        knobs = {name: values for name, values in maker.knobs(settings).items() if name not in settings.options}

        async def measure(threads: int, options: Mapping[str, Any]) -> tuple[float, float]:
            update = {"threads": settings.threads or threads, "options": {**settings.options, **options}}
            return await _speeds(maker, settings.model_copy(update=update), clock)

        try:
            tuner = Tuner(measure, knobs, [] if settings.threads else counts(), told)
            first, best = await tuner.run()
        finally:
            await supervisor.close()
    found = Tuning(
        threads=best.threads,
        options=dict(best.options),
        machine=machine(),
        size=size(settings, folder),
        before=round(first.score, 2),
        after=round(best.score, 2),
    )
    Tuned(folder).put(settings.name, found)
    return found


def _unheard(model: str, state: str, reason: str) -> None:
    """Nobody is told of models that are only measured."""
    del model, state, reason


async def _speeds(maker: Maker, settings: ModelSettings, clock: Clock) -> tuple[float, float]:
    """(tokens read a second, tokens written a second) of a freshly loaded model; the best of the rounds."""
    backend = maker.backend(settings, silent=True, plain=True)
    if not isinstance(backend, ChatModel):
        raise Invalid(f"{settings.name} does not talk: only models that do can be tuned", code="unsupported")
    try:
        await backend.start()
        rows = [await _round(backend, number, clock) for number in range(_ROUNDS)]
    finally:
        await backend.stop()
    return max(read for read, _ in rows), max(write for _, write in rows)


async def _round(backend: ChatModel, number: int, clock: Clock) -> tuple[float, float]:
    source = random.Random(number)  # noqa: S311 - a prompt that no cache knows
    words = " ".join(str(source.randrange(10, 99)) for _ in range(_READ // 2))
    request = ChatRequest(
        (Message("m", "user", (Text(words),), 0.0),),
        sampling=Sampling(max_tokens=_WRITTEN, temperature=1.0, seed=number),
    )
    began, first, usage = clock.monotonic(), 0.0, None
    deltas: Any = backend.stream(request)
    async with aclosing(deltas):
        async for delta in deltas:
            first = first or clock.monotonic()
            usage = delta.usage or usage
    ended = clock.monotonic()
    if usage is None or usage.completion < 2 or ended <= first:
        raise Invalid("it gives too short a reply to be measured", code="unsupported")
    return (usage.prompt - usage.cached) / (first - began), (usage.completion - 1) / (ended - first)
