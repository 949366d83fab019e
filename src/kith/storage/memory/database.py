"""The ledger in a database without a file. Everything runs at once, in the caller's thread: deterministic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import apsw

from kith.core.clock import Clock
from kith.core.errors import Unavailable
from kith.core.ids import Ids
from kith.core.ports import Cipher
from kith.storage.ledger import Clear, Job, Op, Seal, Storage, StorageSettings, build, read, write

T = TypeVar("T")


class Memory:
    """An engine over a connection that may outlive it, so that a simulation can kill a process and start another."""

    def __init__(self, boot: str, connection: apsw.Connection) -> None:
        self.boot = boot
        self.seal: Seal = Clear()
        self.connection = connection
        self._closed = False

    async def write(self, make: Callable[[], Op[T]]) -> T:
        return self._do(make, write)

    async def read(self, make: Callable[[], Op[T]]) -> T:
        return self._do(make, read)

    def _do(self, make: Callable[[], Op[T]], how: Callable[[apsw.Connection, Sequence[Job]], None]) -> T:
        if self._closed:
            raise Unavailable("the database is closed", code="closed")
        job = Job(make)
        how(self.connection, [job])
        if job.error is not None:
            raise job.error
        return cast("T", job.result)

    async def gone(self, boots: Sequence[str]) -> Sequence[str]:
        """All of them: one such database has one process, and a second start means that the first is dead."""
        return boots

    async def scrub(self) -> None:
        """Nothing of it is in a file."""

    async def close(self) -> None:
        self._closed = True


async def open_database(
    settings: StorageSettings,
    clock: Clock,
    ids: Ids,
    cipher: Cipher,  # noqa: ARG001 - nothing is at rest here
    spare: Cipher | None = None,  # noqa: ARG001
    connection: apsw.Connection | None = None,
) -> Storage:
    """A new database, or with `connection` a further start on one that exists."""
    engine = Memory(ids.new("boot"), connection or apsw.Connection(":memory:"))
    return await build(engine, settings, clock, ids, spare_used=False)
