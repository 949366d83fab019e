"""Remembered replies: how often they help, what they save, and whether one is ever given where it must not be.

``python -m benchmarks.cache [--json] [--requests N] [--model FILE | --preset tiny|0.5b|1.3b]``

A synthetic household asks questions in Zipf's proportions through the real runtime. A tenth of them depend on the
moment or on what was said before; half-way the knowledge changes, after which no older reply may appear. The semantic
cache is measured on pairs that mean the same and pairs that differ in one word, with the shipped echo's vectors (of
hashed words): they show what the guards keep apart, not how good an embedding model is.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.models import model_file
from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling, Scope
from kith.models import ModelService, ModelSettings, ServingSettings
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs

TOKENS = 200
STOP = ("q",)  # a reply that was cut off is not remembered, and a model of random weights never ends by itself
SAME = [
    ("How much does the blue plan cost?", "How much does the blue plan cost"),
    ("What does the blue plan cost each month?", "What does the blue plan cost every month?"),
    ("Who can see the documents of a customer?", "Who can see the documents of one customer?"),
    ("怎样备份数据？", "怎样备份数据"),
    ("怎样删除一个插件？", "怎样删除某个插件？"),
]
DIFFERENT = [
    ("How much does the blue plan cost in 2024?", "How much does the blue plan cost in 2025?"),
    ("Can the blue plan be cancelled?", "Can the blue plan not be cancelled?"),
    ("Where does Anna store the documents?", "Where does Peter store the documents?"),
    ("Send 3 copies of the contract to the office", "Send 30 copies of the contract to the office"),
    ("怎样打开通知？", "怎样不打开通知？"),
    ("三个人的套餐多少钱？", "五个人的套餐多少钱？"),
    ("How does the old plan work?", "How does my old plan work?"),
]


def ask(text: str, knowledge: str = "1", *history: str) -> ChatRequest:
    said = [Message(f"h{n}", "user" if n % 2 == 0 else "assistant", (Text(t),), 0.0) for n, t in enumerate(history)]
    last = Message("m", "user", (Text(text),), 0.0)
    return ChatRequest(
        (*said, last),
        "bench",
        Sampling(max_tokens=TOKENS, seed=1, stop=STOP),
        scope=Scope("kith", "1", knowledge, "ann"),
    )


async def measure(path: Path, requests: int) -> list[Row]:
    """Every row of the report: the household by exact questions alone, the pairs by likeness."""
    return [
        *await _with(path, 0.0, lambda service: household_rows(service, requests)),
        *await _with(path, 0.8, likeness_rows),
    ]


async def _with(path: Path, semantic: float, work: Callable[[ModelService], Awaitable[list[Row]]]) -> list[Row]:
    clock = SystemClock()
    supervisor = Supervisor(clock)
    models = [
        ModelSettings(name="bench", path=str(path), context=1024, parallel=1, threads=1),
        ModelSettings(name="vectors", backend="echo", type="embedding", options={"dimensions": 256}),
    ]
    serving = ServingSettings.model_validate({"cache": {"semantic": semantic}})
    with tempfile.TemporaryDirectory() as folder:
        service = ModelService(models, clock, supervisor, Path(folder), serving=serving)
        await service.start()
        try:
            await _took(service, ask("hello", "warm"))
            return await work(service)
        finally:
            await service.stop()
            await supervisor.close()


async def household_rows(service: ModelService, requests: int) -> list[Row]:
    source, hits, misses, stale = random.Random(1), list[float](), list[float](), 0
    kinds = [f"question {word} about the {thing}?" for word in _WORDS for thing in _WORDS]
    weights = [1 / rank for rank in range(1, len(kinds) + 1)]
    wrong, seen = 0, dict[str, str]()
    for number in range(requests):
        knowledge = "1" if number < requests // 2 else "2"
        text = source.choices(kinds, weights)[0]
        if number % 10 == 0:  # depends on the moment, or on what was said
            asked = (
                ask(f"{text} And now?", knowledge) if number % 20 else ask(text, knowledge, f"round {number}", "yes")
            )
        else:
            asked = ask(text, knowledge)
        before = service.cache.figures.exact + service.cache.figures.semantic
        took = await _took(service, asked)
        hit = service.cache.figures.exact + service.cache.figures.semantic > before
        (hits if hit else misses).append(took)
        wrong += hit and number % 10 == 0
        stale += hit and seen.get(text) != knowledge
        seen[text] = knowledge
    return [
        Row("requests answered from memory", len(hits), "requests", requests, "all"),
        Row("a remembered reply, median", statistics.median(hits) * 1e3, "ms", statistics.median(misses) * 1e3, "made"),
        Row("older than the knowledge", stale, "replies"),
        Row("given to what depends on context", wrong, "replies"),
        Row("median age of a remembered reply", statistics.median(service.cache.figures.ages), "s"),
    ]


async def likeness_rows(service: ModelService) -> list[Row]:
    same = [await _alike(service, number, *pair) for number, pair in enumerate(SAME)]
    different = [await _alike(service, 100 + number, *pair) for number, pair in enumerate(DIFFERENT)]
    return [
        Row("said differently, recognised", sum(same), "pairs", len(same), "all"),
        Row("one word decides, confused", sum(different), "pairs", len(different), "all"),
    ]


async def _alike(service: ModelService, number: int, one: str, two: str) -> bool:
    before = service.cache.figures.semantic
    for text in (one, two):
        await _took(service, ask(text, f"pair {number}"))
    return service.cache.figures.semantic > before


async def _took(service: ModelService, asked: ChatRequest) -> float:
    began = time.perf_counter()
    async for _ in service.chat(replace(asked, deadline=time.monotonic() + 60)):
        pass
    return time.perf_counter() - began


_WORDS = ("blue", "green", "plan", "price", "office", "contract", "invoice", "backup", "door", "garden")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preset", default="tiny")
    given = parser.parse_args()
    configure_logs("error")
    path = given.model or model_file(given.preset)
    report("cache", asyncio.run(measure(path, given.requests)), given.json)


if __name__ == "__main__":
    main()
