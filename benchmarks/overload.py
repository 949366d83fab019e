"""Five times more messages than can be answered: ``python -m benchmarks.overload [--seconds 10] [--json]``.

A real ``kith serve`` behind its loopback socket. Capacity is measured with a steady backlog; then messages come at five
times that rate from clients that do not wait for anything. What is answered meanwhile is the goodput.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.house import run
from benchmarks.report import Row, report
from benchmarks.soak import start

_LINES = 200  # connections; each is a conversation
_BACKLOG = 400  # unanswered messages while capacity is measured
_LIMIT = 2000  # unanswered messages above which the server refuses
_GOAL = 0.9
_LINE = b'{"id":"%d-%d","text":"hello","conversation":"room%d","sender":"room%d"}\n'


@dataclass(slots=True)
class Wire:
    """One client: what it says goes out at once, what it hears is counted."""

    number: int
    tally: Counter[str]
    turn: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)
    writer: asyncio.StreamWriter | None = None

    async def listen(self, path: Path) -> None:
        while self.writer is None:
            try:
                reader, self.writer = await asyncio.open_unix_connection(str(path))
            except BlockingIOError:  # too many wait to be let in
                await asyncio.sleep(0.05)
        self.free.set()
        while line := await reader.readline():
            answer = json.loads(line)
            self.tally["accepted" if answer["accepted"] else answer["error"]["code"]] += 1
            if not answer["accepted"]:
                self.tally["told when to come back"] += "retry_after" in answer["error"]
            self.free.set()

    def say(self) -> None:
        assert self.writer is not None
        self.tally["offered"] += 1
        if self.writer.transport.get_write_buffer_size():
            return  # what was said before has not been taken yet: this waits with the sender
        self.free.clear()
        self.turn += 1
        self.writer.write(_LINE % (self.number, self.turn, self.number, self.number))


class Journal:
    """Counts the lines of the journal, which are the answers that people saw."""

    def __init__(self, path: Path) -> None:
        self._path, self._place, self.count = path, 0, 0

    def look(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as stream:
                stream.seek(self._place)
                fresh = stream.read()
            self._place += len(fresh)
            self.count += fresh.count(b"\n")
        return self.count


async def capacity(wires: list[Wire], journal: Journal, seconds: float) -> float:
    """Answers a second with always some messages waiting, but never too many."""
    begun, first = time.perf_counter(), journal.look()
    while time.perf_counter() < begun + seconds:
        accepted = wires[0].tally["accepted"]
        room = _BACKLOG - (accepted - journal.look())
        for wire in [wire for wire in wires if wire.free.is_set()][: max(room, 0)]:
            wire.say()
        await asyncio.sleep(0.005)
    return (journal.look() - first) / (time.perf_counter() - begun)


async def flood(wires: list[Wire], journal: Journal, rate: float, seconds: float) -> float:
    """Answers a second while `rate` messages a second are offered."""
    begun, first, said = time.perf_counter(), journal.look(), 0
    while (now := time.perf_counter() - begun) < seconds:
        while said < now * rate:
            wires[said % len(wires)].say()
            said += 1
        await asyncio.sleep(0.005)
    return (journal.look() - first) / (time.perf_counter() - begun)


async def measure(folder: Path, pid: int, seconds: float) -> list[Row]:
    """All rows."""
    while not (folder / "inject").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    tally: Counter[str] = Counter()
    wires = [Wire(number, tally) for number in range(_LINES)]
    tasks: list[asyncio.Task[None]] = []
    for wire in wires:  # one after the other: a socket lets only so many wait to be let in
        tasks.append(asyncio.create_task(wire.listen(folder / "inject")))
        await wire.free.wait()
    journal, process = Journal(folder / "journal"), psutil.Process(pid)
    await capacity(wires, journal, 2.0)
    most = await capacity(wires, journal, seconds)
    before = process.memory_full_info().pss / 1e6
    await flood(wires, journal, most * 5, 3.0)  # until the inbox is full
    tally.clear()
    good = await flood(wires, journal, most * 5, seconds)
    after = process.memory_full_info().pss / 1e6
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for wire in wires:
        if wire.writer is not None:
            wire.writer.transport.abort()
    refused = tally["inbox_full"] + tally["busy"]
    return [
        Row("capacity", most, "1/s"),
        Row("offered", tally["offered"] / seconds, "1/s", most, "the capacity"),
        Row("goodput", good, "1/s", most, f"the capacity (goal {_GOAL})"),
        Row("accepted", tally["accepted"], ""),
        Row("refused", refused, "", tally["told when to come back"] or 0.0, "those told when to come back"),
        Row("held back", tally["offered"] - tally["accepted"] - refused, ""),
        Row("memory before", before, "MB"),
        Row("memory after", after, "MB"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = start(folder, journal=folder / "journal", waiting_limit=_LIMIT)
        try:
            rows = run(measure(folder, server.pid, given.seconds))
        finally:
            server.terminate()
            server.wait(30)
    report("overload", rows, given.json)


if __name__ == "__main__":
    main()
