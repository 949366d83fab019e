"""The ledger on a PostgreSQL server, shared by any number of processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import asyncpg

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.ports import Cipher
from kith.runtime.telemetry import span
from kith.storage.ledger import Op, Seal, Statement, Storage, StorageSettings, build
from kith.storage.postgres.link import AGAIN, ERRORS, Presence, Server, translate
from kith.storage.postgres.seal import Gcm

T = TypeVar("T")

PURPOSE = "database"
_TRIES = 5
_GRACE = 10.0  # seconds for running transactions when the database is closed
_TABLES = ("inbox", "outbox", "turns", "conversations", "people", "records", "facts")
_WORDS = {
    "{blob}": "BYTEA",
    "{serial}": "BIGSERIAL PRIMARY KEY",
    "{int}": "BIGINT",
    "{real}": "DOUBLE PRECISION",
    "{lock}": "FOR UPDATE",
    "{skip}": "FOR UPDATE OF lanes SKIP LOCKED",
}


@cache
def dialect(text: str) -> str:
    """The statement as PostgreSQL takes it."""
    for word, meaning in _WORDS.items():
        text = text.replace(word, meaning)
    return text


class Cluster:
    """An engine over a pool of connections. One operation is one transaction, tried again after a deadlock."""

    def __init__(self, pool: Server, presence: Presence, boot: str, seal: Seal, limit: int) -> None:
        self.boot = boot
        self.seal = seal
        self._pool = pool
        self._presence = presence
        self._limit = limit
        self._inside = 0
        self._closed = False

    async def write(self, make: Callable[[], Op[T]]) -> T:
        for _ in range(_TRIES - 1):
            try:
                return await self._once(make, readonly=False)
            except AGAIN:
                continue
        return await self._translated(make, readonly=False)

    async def read(self, make: Callable[[], Op[T]]) -> T:
        return await self._translated(make, readonly=True)

    async def _translated(self, make: Callable[[], Op[T]], *, readonly: bool) -> T:
        try:
            return await self._once(make, readonly=readonly)
        except AGAIN as error:
            raise translate(error) from None

    async def _once(self, make: Callable[[], Op[T]], *, readonly: bool) -> T:
        if self._closed:
            raise Unavailable("the database is closed", code="closed")
        if self._inside >= self._limit:
            raise Unavailable("the database server cannot keep up", retry_after=1.0, code="busy")
        self._inside += 1
        isolation = "repeatable_read" if readonly else "read_committed"
        try:
            with contextlib.ExitStack() as committing:
                async with (
                    self._pool.acquire() as connection,
                    connection.transaction(isolation=isolation, readonly=readonly),
                ):
                    result = cast("T", await _run(connection, make()))
                    if not readonly:
                        committing.enter_context(span("storage.commit"))
            return result
        except AGAIN:
            raise
        except ERRORS as error:
            raise translate(error) from None
        finally:
            self._inside -= 1

    async def gone(self, boots: Sequence[str]) -> Sequence[str]:
        try:
            return await self._presence.gone(boots)
        except ERRORS as error:
            raise translate(error) from None

    async def scrub(self) -> None:
        """Give dead rows free. Every value is sealed by a key that is not here; the server's log keeps old copies."""
        try:
            async with self._pool.acquire() as connection:
                for table in _TABLES:
                    await connection.execute(f"VACUUM {table}")
        except ERRORS as error:
            raise translate(error) from None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._presence.leave()
        try:
            async with asyncio.timeout(_GRACE):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def _run(connection: Server, operation: Op[Any]) -> Any:
    try:
        statement: Statement = next(operation)
        while True:
            text = dialect(statement.sql)
            if statement.many:
                await connection.executemany(text, statement.values)
                rows: Any = ()
            else:
                rows = await connection.fetch(text, *statement.values)
            statement = operation.send(rows)
    except StopIteration as stop:
        return stop.value


async def open_database(
    settings: StorageSettings, clock: Clock, ids: Ids, cipher: Cipher, spare: Cipher | None = None
) -> Storage:
    """Connect to ``storage.dsn``. With `spare`, that key is tried when the first does not fit.

    Raises `Refused` (codes ``wrong_key``, ``too_new``, ``database_refused``), `Invalid` or `Unavailable`.
    """
    if not settings.dsn:
        raise Invalid("storage.dsn is needed", hint="set storage.dsn to postgresql://user@host/name")
    boot = ids.new("boot")
    presence = Presence(settings.dsn, boot)
    pool: Server = None
    try:
        pool = await connect(settings)
        await presence.enter()
        await presence.alone(wanted=True)
        seal, spare_used = await _prove(pool, cipher, spare)
        engine = Cluster(pool, presence, boot, seal, settings.queue_limit)
        storage = await build(engine, settings, clock, ids, spare_used=spare_used)
        await pool.execute(
            "INSERT INTO meta (name, value) VALUES ('key', $1) ON CONFLICT (name) DO NOTHING", seal.fingerprint
        )
        await presence.alone(wanted=False)
    except (KithError, *ERRORS, ValueError) as error:
        await presence.leave()
        if pool is not None:
            await pool.close()
        if isinstance(error, ValueError):
            raise Invalid("storage.dsn is no address of a PostgreSQL server") from None
        raise (error if isinstance(error, KithError) else translate(error)) from None
    return storage


async def connect(settings: StorageSettings) -> Server:
    """A pool of connections. Raises what asyncpg raises."""
    return await cast("Any", asyncpg).create_pool(
        settings.dsn, min_size=1, max_size=settings.pool, timeout=10, command_timeout=60
    )


async def known_key(server: Server) -> str:
    """The fingerprint of the key that sealed this database, empty if it is new."""
    if await server.fetchval("SELECT to_regclass('meta')") is None:
        return ""
    return str(await server.fetchval("SELECT value FROM meta WHERE name = 'key'") or "")


async def _prove(pool: Server, cipher: Cipher, spare: Cipher | None) -> tuple[Gcm, bool]:
    known = await known_key(pool)
    seal = Gcm(cipher.key(PURPOSE))
    if known in ("", seal.fingerprint):
        return seal, False
    other = Gcm(spare.key(PURPOSE)) if spare else None
    if other is not None and other.fingerprint == known:
        return other, True
    raise Refused(
        "the key does not fit this database",
        code="wrong_key",
        hint="give the key or passphrase with which this database was made",
    )
