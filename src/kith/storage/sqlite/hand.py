"""A thread with a connection of its own that works off operations in groups, so that many share one fsync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import apsw

from kith.core.errors import Unavailable
from kith.storage.ledger import Job, Op, translate

T = TypeVar("T")

_GROUP = 512  # operations in one transaction: beyond this the fsync's share is negligible, and latency grows


class Hand:
    """One thread. What comes while a group is being worked off makes the next group: the busier, the larger.

    `connect` is called in the thread, again after an error of the disk. At most `limit` operations wait.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], apsw.Connection],
        work: Callable[[apsw.Connection, Sequence[Job]], None],
        limit: int,
    ) -> None:
        self._connect = connect
        self._work = work
        self._limit = limit
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"kith-{name}")
        self._connection: apsw.Connection | None = None
        self._waiting: list[tuple[Job, asyncio.Future[Any]]] = []
        self._running: asyncio.Future[None] | None = None
        self._closed = False

    async def do(self, make: Callable[[], Op[T]]) -> T:
        """Run an operation. Raises what it raised, or `Unavailable`, at once if too many wait."""
        if self._closed:
            raise Unavailable("the database is closed", code="closed")
        if len(self._waiting) >= self._limit:
            raise Unavailable("the disk cannot keep up", retry_after=1.0, code="busy")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((Job(make), future))
        self._start()
        return await future

    def _start(self) -> None:
        if self._running is not None or not self._waiting:
            return
        group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
        group = [pair for pair in group if not pair[1].done()]  # a caller that left before its turn wants nothing
        jobs = [job for job, _ in group]
        self._running = asyncio.get_running_loop().run_in_executor(self._pool, self._perform, jobs)
        self._running.add_done_callback(lambda done: self._finish(group, done))

    def _finish(self, group: Sequence[tuple[Job, asyncio.Future[Any]]], done: asyncio.Future[None]) -> None:
        self._running = None
        bug = done.exception()
        for job, future in group:
            if future.done():
                continue
            if bug is not None or job.error is not None:
                future.set_exception(bug or cast("BaseException", job.error))
            else:
                future.set_result(job.result)
        self._start()

    def _perform(self, jobs: Sequence[Job]) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
        except apsw.Error as error:
            for job in jobs:
                job.error = translate(error)
            return
        self._work(self._connection, jobs)
        if any(isinstance(job.error, Unavailable) and job.error.code in _FAULTS for job in jobs):
            self._part()

    def _part(self) -> None:
        if self._connection is not None:
            self._connection.close(True)
            self._connection = None

    async def call(self, work: Callable[[apsw.Connection], None]) -> None:
        """Do something with the connection, outside any transaction, behind what runs now. Raises what it raised."""
        if self._closed:
            raise Unavailable("the database is closed", code="closed")
        await asyncio.get_running_loop().run_in_executor(self._pool, self._once, work)

    def _once(self, work: Callable[[apsw.Connection], None]) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
        except apsw.Error as error:
            raise translate(error) from None
        work(self._connection)

    async def close(self) -> None:
        """Work off what waits, then end the thread and its connection."""
        if self._closed:
            return
        self._closed = True
        while self._running is not None:
            await asyncio.wait([self._running])
            await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(self._pool, self._part)
        self._pool.shutdown()


_FAULTS = frozenset({"disk_error", "read_only", "damaged"})  # after these a connection may hold a wrong view
