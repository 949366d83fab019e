"""What the server answers when it cannot do something, in the terms of the house; and the locks of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import asyncpg

from kith.core.errors import Broken, KithError, Refused, Unavailable

Server = Any  # asyncpg ships no annotations: its connections and pools are opaque here

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_ABSENT = (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError)
_DOWN = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    OSError,
    TimeoutError,
)


def translate(error: BaseException) -> KithError:
    """What an error of the server means to a person; never the server's own words, which may hold an address."""
    if isinstance(error, asyncpg.DiskFullError):
        return Unavailable("the database server's disk is full", retry_after=30.0, code="disk_full")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Unavailable("the database server takes no writes now", retry_after=5.0, code="read_only")
    if isinstance(error, _ABSENT):
        return Refused(
            "the database server refuses this user or knows no such database",
            code="database_refused",
            hint="check storage.dsn",
        )
    if isinstance(error, _DOWN):
        return Unavailable("the database server cannot be reached", code="database_down", hint="check storage.dsn")
    if isinstance(error, AGAIN):
        return Unavailable("the database server is too busy", code="busy")
    return Broken(f"the database server refused an operation: {type(error).__name__}")


async def dial(dsn: str) -> Server:
    """One connection. Raises what asyncpg raises."""
    return await cast("Any", asyncpg).connect(dsn, timeout=10)


class Presence:
    """A connection of its own whose locks say that this process lives: the server lets go of them at its death.

    The numbers are hashed by the server from names, so that they are the same for every process.
    """

    def __init__(self, dsn: str, boot: str) -> None:
        self._dsn = dsn
        self._boot = boot
        self._connection: Server = None
        self._one = asyncio.Lock()

    async def enter(self) -> None:
        """Connect if need be, and hold the lock of this start and a share of the household's."""
        async with self._one:
            if self._connection is not None and not self._connection.is_closed():
                return
            self._connection = await dial(self._dsn)
            await self._connection.execute("SELECT pg_advisory_lock_shared(hashtextextended('kith-open', 0))")
            await self._connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", self._boot)

    async def alone(self, wanted: bool) -> None:
        """Take or give back the lock under which one process at a time may change the schema."""
        word = "lock" if wanted else "unlock"
        async with self._one:
            await self._connection.execute(f"SELECT pg_advisory_{word}(hashtextextended('kith-schema', 0))")

    async def gone(self, boots: Sequence[str]) -> Sequence[str]:
        """Those of `boots` whose lock can be had."""
        await self.enter()
        async with self._one:
            rows = await self._connection.fetch(_GONE, list(boots))
        return [str(row[0]) for row in rows if row[1]]

    async def leave(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close(timeout=5)


_GONE = """SELECT boot, CASE WHEN pg_try_advisory_lock(hashtextextended(boot, 0))
    THEN pg_advisory_unlock(hashtextextended(boot, 0)) ELSE false END FROM unnest($1::text[]) AS boot"""
