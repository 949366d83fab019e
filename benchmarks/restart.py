"""Restart with many messages waiting: ``python -m benchmarks.restart [--waiting 10000] [--json]``.

They are committed by a process that ends before it answers one; the time is measured from the start of the next
household to its first and its last reply, beside the raw engine doing the same writes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.house import household, run
from benchmarks.report import Row, report
from benchmarks.storage import raw
from kith.channels.loopback.channel import LoopbackChannel
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Sent
from kith.security import KeyRing
from kith.settings import load_settings
from kith.storage import open_storage

_ROOMS = 500


async def fill(folder: Path, count: int) -> None:
    """Commit `count` messages to the inbox, and stop as a killed process would."""
    os.environ["KITH_HOME"] = str(folder)
    clock = SystemClock()
    storage = await open_storage(load_settings().storage, clock, Ids(clock), KeyRing(folder / "keys"))
    for start in range(0, count, 1000):
        letters = (_letter(number, clock.now()) for number in range(start, min(count, start + 1000)))
        await asyncio.gather(*(storage.inbox.accept(letter) for letter in letters))
    os._exit(0)


def _letter(number: int, now: float) -> Envelope:
    room = f"room{number % _ROOMS}"
    message = Message(f"m{number}", "user", (Text("hello"),), now)
    return Envelope("loopback", "local", f"{number}", room, room, message)


async def drain(folder: Path, count: int) -> tuple[float, float, float]:
    """Seconds from here until the household is open, the first reply is out, and the last."""
    times: list[float] = []
    done = asyncio.Event()
    send = LoopbackChannel.send

    async def timed(channel: LoopbackChannel, parcel: Parcel) -> Sent:
        sent = await send(channel, parcel)
        times.append(time.perf_counter())
        if len(times) >= count:
            done.set()
        return sent

    LoopbackChannel.send = timed  # some leave before the household is handed over
    begun = time.perf_counter()
    async with household(folder):
        opened = time.perf_counter()
        await done.wait()
    return opened - begun, times[0] - begun, times[-1] - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        asyncio.run(fill(given.fill, given.waiting))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.restart", "--fill", name, "--waiting", str(given.waiting)]
        subprocess.run(command, check=True)
        opened, first, last = run(drain(folder, given.waiting))
        engine = given.waiting / raw(folder / "raw.db", given.waiting, 64, encrypted=True)
    rows = [
        Row("open", opened * 1e3, "ms"),
        Row("first answer", first * 1e3, "ms"),
        Row("last answer", last, "s", engine, "the raw engine's time for all their writes"),
        Row("messages that waited", given.waiting, ""),
        Row("answers a second", given.waiting / last, "1/s"),
    ]
    report("restart", rows, given.json)


if __name__ == "__main__":
    main()
