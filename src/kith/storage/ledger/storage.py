"""The ports over one database, with what a household needs around them: counts, upkeep, closing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from kith.core.clock import Clock
from kith.core.ids import Ids
from kith.storage.ledger import schema
from kith.storage.ledger.audit import Chained
from kith.storage.ledger.codec import Codec, Seal
from kith.storage.ledger.crowd import Crowd
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.dossier import Filed
from kith.storage.ledger.facts import Remembered
from kith.storage.ledger.history import Walked
from kith.storage.ledger.inbox import Ledgered
from kith.storage.ledger.outbox import Posted
from kith.storage.ledger.people import Kept
from kith.storage.ledger.records import Carded
from kith.storage.ledger.steps import Driver, Op, each, sql
from kith.storage.ledger.stretch import heal
from kith.storage.settings import StorageSettings

_BATCH = 500
_MARGIN = 3600.0  # seconds by which the ages of two processes on one database may differ


class Engine(Driver, Protocol):
    """A driver that an opened backend hands to the ledger, with `seal` for content and the lock of this start."""

    boot: str
    seal: Seal

    async def gone(self, boots: Sequence[str]) -> Sequence[str]:
        """Those of `boots` whose process is certainly dead."""
        ...

    async def scrub(self) -> None:
        """Make sure that what was deleted or overwritten cannot be read from the files any more, as far as possible."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """What is in the database now. `held` counts leases; `dead` and `stale` wait for a person's word."""

    waiting: int
    unsent: int
    held: int
    dead_messages: int
    dead_replies: int
    stale_replies: int


class Storage:
    """An open database. Opening frees at once what a former, dead process of this household held."""

    def __init__(self, desk: Desk, engine: Engine, spare_used: bool = False) -> None:
        self._desk = desk
        self._engine = engine
        self.spare_used = spare_used
        self.inbox = Ledgered(desk)
        self.outbox = Posted(desk)
        self.store = Kept(desk)
        self.history = Walked(desk)
        self.records = Carded(desk)
        self.journal = Chained(desk)
        self.facts = Remembered(desk)
        self.people = Crowd(desk)
        self.dossiers = Filed(desk, self.store.forget, engine.scrub)

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for files beside the database; it stays the same when the database's own is changed."""
        return self._desk.codec.derive(purpose)

    async def scrub(self) -> None:
        """Overwrite what was let go by ordinary work, such as the message in which somebody asked to forget."""
        await self._engine.scrub()

    async def counts(self) -> Counts:
        """A snapshot for health pages and metrics."""
        return await self._desk.driver.read(_counts)

    async def upkeep(self) -> int:
        """Forget what is older than the settings keep, and free what dead processes held; rows removed.

        Meant to be called about once an hour.
        """
        desk = self._desk
        await free(self._engine)
        await desk.driver.write(partial(_grow, desk.age()))
        cutoff = desk.age() - desk.settings.dedup_days * 86400 - _MARGIN
        removed = 0
        for table, states in (("inbox", (1,)), ("outbox", (1, 4))):
            cursor: int | None = 0
            while cursor is not None:
                cursor, count = await desk.driver.write(partial(_prune, table, states, cursor, cutoff))
                removed += count
        return removed

    async def migrate(self, version: int) -> None:
        """Take the schema back or forward to `version`; afterwards only `close` may be called."""
        while await self._desk.driver.write(partial(schema.step, version)):
            pass

    async def close(self) -> None:
        """Write down what is pending, give leases back, and let the database go."""
        try:
            await self._desk.driver.write(partial(_leave, self._desk))
        finally:
            await self._engine.close()


async def build(engine: Engine, settings: StorageSettings, clock: Clock, ids: Ids, *, spare_used: bool) -> Storage:
    """The ledger over an engine that is connected: migrated, recovered and ready."""
    while await engine.write(schema.step):
        pass
    secret, base = await engine.write(partial(_begin, engine.seal))
    start = clock.monotonic()
    codec = Codec(engine.seal, secret)
    desk = Desk(engine, clock, ids, settings, codec, engine.boot, lambda: base + clock.monotonic() - start)
    await engine.write(partial(heal, desk))
    await free(engine)
    return Storage(desk, engine, spare_used)


async def free(engine: Engine) -> None:
    """Make the leases of dead processes end now."""
    boots = await engine.read(_boots)
    gone = await engine.gone([boot for boot in boots if boot != engine.boot])
    if gone:
        await engine.write(partial(_expire, gone))


def _begin(seal: Seal) -> Op[tuple[bytes, float]]:
    stored = yield from schema.get("secret")
    if stored:
        secret = seal.open(bytes.fromhex(stored))
    else:
        secret = secrets.token_bytes(32)
        yield from schema.put("secret", seal.close(secret).hex())
    return secret, float((yield from schema.get("age")) or 0.0)


def _boots() -> Op[Sequence[str]]:
    rows = yield sql("SELECT DISTINCT boot FROM lanes WHERE boot <> ''")
    return [str(row[0]) for row in rows]


def _expire(boots: Sequence[str]) -> Op[None]:
    yield each("UPDATE lanes SET until = 0, boot = '' WHERE boot = $1", [(boot,) for boot in boots])


def _leave(desk: Desk) -> Op[None]:
    yield from _grow(desk.age())
    yield from _expire([desk.boot])


def _grow(age: float) -> Op[None]:
    """Processes on one database each count their own time, so the larger count is the truer one."""
    if age > float((yield from schema.get("age")) or 0.0):
        yield from schema.put("age", repr(age))


def _prune(table: str, states: tuple[int, ...], cursor: int, cutoff: float) -> Op[tuple[int | None, int]]:
    """One batch from `cursor` on: where to go on (None at the end), rows removed. The newest row always stays."""
    rows = yield sql(f"SELECT seq, state, age FROM {table} WHERE seq > $1 ORDER BY seq LIMIT {_BATCH + 1}", cursor)  # noqa: S608
    old = [int(row[0]) for row in rows[:-1] if int(row[1]) in states and float(row[2]) < cutoff]
    if old:
        yield each(f"DELETE FROM {table} WHERE seq = $1", [(seq,) for seq in old])  # noqa: S608
    if len(rows) <= _BATCH or float(rows[-1][2]) >= cutoff:
        return None, len(old)
    return int(rows[-2][0]), len(old)


_COUNTS = """SELECT (SELECT count(*) FROM inbox WHERE state = 0), (SELECT count(*) FROM outbox WHERE state = 0),
    (SELECT count(*) FROM lanes WHERE worker <> '' AND boot <> ''), (SELECT count(*) FROM inbox WHERE state = 2),
    (SELECT count(*) FROM outbox WHERE state = 2), (SELECT count(*) FROM outbox WHERE state = 3)"""


def _counts() -> Op[Counts]:
    rows = yield sql(_COUNTS)
    return Counts(*(int(value) for value in rows[0]))
