"""What Kith costs between a request and its model: the router, the queue and the way through the service.

``python -m benchmarks.routing [--json] [--requests N] [--people N]``

No runtime is involved: the model is the shipped echo, so that nearly nothing but Kith is left. The echo alone is the
peer. Fairness is measured as well: one person asks a hundred times as much as the others, who should not notice.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.core.message import Delta, Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelService, ModelSettings, ServingSettings
from kith.models.queue import FairQueue
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs

WORDS = 200
RULES = [
    {"name": "zh", "language": ["zh"], "use": ["second", "first"]},
    {"name": "long", "longer": 3000, "use": ["third"]},
    {"name": "see", "needs": ["vision"], "use": ["third", "second"]},
    {"name": "voice", "priority": "voice", "use": ["first"]},
    {"name": "night", "priority": "background", "use": ["second"], "prefer": "cost"},
]


def question(number: int, words: int = WORDS) -> ChatRequest:
    text = " ".join(f"word{number}" for _ in range(words))
    return ChatRequest((Message("m", "user", (Text(text),), 0.0),), sampling=Sampling(max_tokens=words))


async def measure(requests: int, people: int) -> list[Row]:
    """Every row of the report."""
    clock = SystemClock()
    supervisor = Supervisor(clock)
    models = [ModelSettings(name=name, backend="echo", parallel=4) for name in ("first", "second", "third")]
    serving = ServingSettings.model_validate({"routes": RULES, "fallback": ["third"]})
    with tempfile.TemporaryDirectory() as folder:
        service = ModelService(models, clock, supervisor, Path(folder), serving=serving)
        await service.start()
        try:
            return [
                await decision_row(service, 20, "a short question"),
                await decision_row(service, 3000, "a prompt of 3,000 words"),
                await queue_row(requests),
                *await way_rows(service, requests // 10),
                *await fair_rows(service, people),
            ]
        finally:
            await service.stop()
            await supervisor.close()


async def decision_row(service: ModelService, words: int, name: str) -> Row:
    asked = question(1, words)
    took = statistics.median(_timed(lambda: service.route(asked)) for _ in range(200))
    return Row(f"choosing among 3 models by 5 rules, {name}", took * 1e6, "us")


async def queue_row(requests: int) -> Row:
    queue = FairQueue("bench", SystemClock(), requests)
    queue.capacity = 4

    async def one(number: int) -> None:
        await queue.enter(f"p{number % 50}", ("voice", "text", "background")[number % 3])
        queue.leave(("voice", "text", "background")[number % 3])

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(requests)))
    return Row("a turn in the queue, all come at once", (time.perf_counter() - began) / requests * 1e6, "us")


async def way_rows(service: ModelService, requests: int) -> list[Row]:
    """The echo through the service beside the echo alone: for a request of one word, and for each further token."""
    async with service.using("chat", "first") as echo:

        async def alone(words: int) -> float:
            return await _median(lambda asked: echo.stream(asked), words, requests)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]  # an echo talks

        bare = await alone(1), await alone(WORDS)
    whole = [await _median(service.chat, words, requests) for words in (1, WORDS)]
    each = [(long - short) / (WORDS - 1) for short, long in (bare, whole)]
    return [
        Row("a request of one word", whole[0] * 1e6, "us", bare[0] * 1e6, "the echo alone"),
        Row("each further token", each[1] * 1e6, "us", each[0] * 1e6, "the echo alone"),
    ]


async def fair_rows(service: ModelService, people: int) -> list[Row]:
    """Waiting times while one person asks as much as a hundred others."""
    waits: dict[str, list[float]] = {"greedy": [], "others": []}

    async def one(person: str) -> None:
        began = time.perf_counter()
        asked = replace(question(1, 20), person=person, model="first")
        async for _ in service.chat(asked):
            break
        waits["greedy" if person == "greedy" else "others"].append(time.perf_counter() - began)

    crowd = [one("greedy") for _ in range(min(400, people * 20))] + [one(f"p{number}") for number in range(people)]
    await asyncio.gather(*crowd)
    middle = {who: statistics.median(times) * 1e3 for who, times in waits.items()}
    worst = max(waits["others"]) * 1e3
    return [
        Row("first word, the others, median", middle["others"], "ms", middle["greedy"], "one who asks 20 x as much"),
        Row("first word, the others, worst", worst, "ms", max(waits["greedy"]) * 1e3, "one who asks 20 x as much"),
    ]


async def _median(stream: Callable[[ChatRequest], AsyncIterator[Delta]], words: int, requests: int) -> float:
    found: list[float] = []
    for number in range(requests):
        asked = replace(question(number, words), model="first")
        began = time.perf_counter()
        async for _ in stream(asked):
            pass
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--people", type=int, default=20)
    given = parser.parse_args()
    configure_logs("error")
    report("routing", asyncio.run(measure(given.requests, given.people)), given.json)


if __name__ == "__main__":
    main()
