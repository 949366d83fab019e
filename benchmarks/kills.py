"""A worker is killed at random under load, again and again: every request ends, and none later than its deadline.

``python -m benchmarks.kills [--json] [--kills N] [--streams N] [--model FILE | --preset tiny|0.5b|1.3b] [--seed N]``

Each stream asks one question after another, with a deadline; meanwhile the process is killed as the system would kill
it (SIGKILL) or stopped without a word (SIGSTOP, a hang). Counted is how each request ended, and by how much the
latest was late.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.models import model_file
from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.core.errors import KithError
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelService, ModelSettings, ServingSettings
from kith.runtime.supervisor import Child, Supervisor
from kith.runtime.telemetry import configure_logs

DEADLINE = 20.0
"""Seconds that each request is given."""


@dataclass
class Outcome:
    """How requests ended, and the seconds by which the worst overran its `deadline` (0 when none did)."""

    deadline: float = DEADLINE
    ends: collections.Counter[str] = field(default_factory=collections.Counter)
    late: float = 0.0
    longest: float = 0.0
    kills: int = 0
    seconds: float = 0.0
    again: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.ends.values())


async def attack(
    path: Path, kills: int, streams: int, seed: int, tokens: int = 24, deadline: float = DEADLINE
) -> Outcome:
    """Run the load until so many kills have been made and everybody has been answered."""
    clock, outcome = SystemClock(), Outcome(deadline)
    supervisor = Supervisor(clock, random.Random(seed))
    settings = ModelSettings(name="bench", path=str(path), context=1024, parallel=4, threads=1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        service = ModelService([settings], clock, supervisor, Path(folder), serving=ServingSettings(trips=1000))
        await service.start()
        try:
            stop = asyncio.Event()
            load = [asyncio.create_task(_ask(service, number, tokens, outcome, stop)) for number in range(streams)]
            await _kill(supervisor, kills, random.Random(seed), outcome)
            stop.set()
            await asyncio.gather(*load)
        finally:
            await service.stop()
            await supervisor.close()
    outcome.seconds = time.monotonic() - began
    return outcome


async def _ask(service: ModelService, number: int, tokens: int, outcome: Outcome, stop: asyncio.Event) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        began = time.monotonic()
        request = ChatRequest(
            (Message("m", "user", (Text(f"question {count} of {number}"),), 0.0),),
            sampling=Sampling(max_tokens=tokens),
            person=f"person {number}",
            deadline=began + outcome.deadline,
        )
        try:
            last = [delta async for delta in service.chat(request)][-1]
            outcome.ends[f"answered, {last.finish}" if last.finish else "broken off without a word"] += 1
        except KithError as error:
            outcome.ends[f"error {error.code}"] += 1
            await asyncio.sleep(0.01)
        took = time.monotonic() - began
        outcome.longest = max(outcome.longest, took)
        outcome.late = max(outcome.late, took - outcome.deadline)


async def _kill(supervisor: Supervisor, kills: int, source: random.Random, outcome: Outcome) -> None:
    while outcome.kills < kills:
        child = next(iter(supervisor.children()), None)
        if child is None or child.state != "ready":
            await asyncio.sleep(0.01)
            continue
        await asyncio.sleep(source.uniform(0.0, 0.15))
        if child.state != "ready":
            continue
        how = signal.SIGSTOP if source.random() < 0.1 else signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, how)
        outcome.kills += 1
        down = time.monotonic()
        await _settled(child, ready=False)
        child._failures = 0  # noqa: SLF001  # a hundred kills in a row would otherwise wait for growing pauses
        await _settled(child, ready=True)
        outcome.again.append(time.monotonic() - down)


async def _settled(child: Child, *, ready: bool) -> None:
    while (child.state == "ready") != ready:  # noqa: ASYNC110 - a child tells its changes to its backend alone
        await asyncio.sleep(0.005)


def rows(outcome: Outcome) -> list[Row]:
    answered = sum(count for end, count in outcome.ends.items() if end.startswith("answered"))
    again = sorted(outcome.again)
    found = [
        Row("kills", outcome.kills, "kills"),
        Row("requests", outcome.requests, "requests"),
        Row("answered", answered, "requests", outcome.requests, "all"),
        Row("ended without a word", outcome.ends["broken off without a word"], "requests"),
        Row("longest request", outcome.longest, "s", outcome.deadline, "its deadline"),
        Row("serving again, median", again[len(again) // 2], "s"),
        Row("serving again, worst", again[-1], "s"),
        Row("whole run", outcome.seconds, "s"),
    ]
    return found + [Row(end, count, "requests") for end, count in sorted(outcome.ends.items()) if "error" in end]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preset", default="tiny")
    given = parser.parse_args()
    configure_logs("error")
    path = given.model or model_file(given.preset)
    outcome = asyncio.run(attack(path, given.kills, given.streams, given.seed))
    report("kills", rows(outcome), given.json)
    sys.exit(outcome.late > 1.0 or bool(outcome.ends["broken off without a word"]))


if __name__ == "__main__":
    main()
