"""Running operations on a SQLite connection: one transaction for a group, each member unharmed by the others."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import apsw

from kith.core.errors import Broken, KithError, Unavailable
from kith.runtime.telemetry import span
from kith.storage.ledger.steps import Op, Rows

with contextlib.suppress(apsw.MisuseError):  # set already, or too late because a connection is open
    apsw.config(apsw.SQLITE_CONFIG_STMTJRNL_SPILL, -1)  # statement journals stay in memory: no clear text on disk

_WORDS = {
    "{blob}": "BLOB",
    "{serial}": "INTEGER PRIMARY KEY",
    "{int}": "INTEGER",
    "{real}": "REAL",
    "{lock}": "",
    "{skip}": "",
}


class Job:
    """One operation and what became of it."""

    __slots__ = ("error", "make", "result")

    def __init__(self, make: Callable[[], Op[Any]]) -> None:
        self.make = make
        self.result: Any = None
        self.error: KithError | None = None


class _SpoiledError(Exception):
    """An operation failed after it had written: its group has to be taken apart."""


@cache
def _dialect(text: str) -> str:
    for word, meaning in _WORDS.items():
        text = text.replace(word, meaning)
    return re.sub(r"\$(\d+)", r"?\1", text)


def execute(connection: apsw.Connection, text: str, values: Sequence[Any] = ()) -> Rows:
    """One statement and all its rows (typed here, because apsw's own annotations name an unknown buffer type)."""
    return cast("Rows", cast("Any", connection).execute(text, values).fetchall())


def run(connection: apsw.Connection, operation: Op[Any]) -> Any:
    """Feed an operation with rows until it returns."""
    try:
        statement = next(operation)
        while True:
            text = _dialect(statement.sql)
            if statement.many:
                cast("Any", connection).executemany(text, statement.values)
                rows: Rows = ()
            else:
                rows = execute(connection, text, statement.values)
            statement = operation.send(rows)
    except StopIteration as stop:
        return stop.value


def write(connection: apsw.Connection, jobs: Sequence[Job]) -> None:
    """Do all jobs in one durable transaction; if one spoils it, each in its own. Errors are left in the jobs."""
    try:
        _together(connection, jobs)
    except (_SpoiledError, apsw.Error) as error:
        if isinstance(error, _SpoiledError | apsw.ConstraintError) and len(jobs) > 1:
            for job in jobs:
                job.error = None
                write(connection, [job])
            return
        cause = error.__cause__ if isinstance(error, _SpoiledError) else error
        for job in jobs:
            job.error = translate(cause)


def _together(connection: apsw.Connection, jobs: Sequence[Job]) -> None:
    execute(connection, "BEGIN IMMEDIATE")
    try:
        for job in jobs:
            before = connection.total_changes()
            try:
                job.result = run(connection, job.make())
            except KithError as error:
                if connection.total_changes() != before:
                    raise _SpoiledError from error
                job.error = error
        with span("storage.commit"):
            execute(connection, "COMMIT")
    finally:
        _abandon(connection)


def _abandon(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(apsw.Error):  # a full disk may have rolled it back already
            execute(connection, "ROLLBACK")


def read(connection: apsw.Connection, jobs: Sequence[Job]) -> None:
    """Do all jobs on one snapshot. Errors are left in the jobs."""
    try:
        execute(connection, "BEGIN")
    except apsw.Error as error:
        for job in jobs:
            job.error = translate(error)
        return
    try:
        for job in jobs:
            try:
                job.result = run(connection, job.make())
            except KithError as error:
                job.error = error
            except apsw.Error as error:
                job.error = translate(error)
    finally:
        _abandon(connection)


def translate(error: BaseException | None) -> KithError:
    """What an error of the engine means to a person."""
    match error:
        case KithError():
            return error
        case apsw.FullError():
            return Unavailable("the disk is full", retry_after=30.0, code="disk_full", hint="make room on the disk")
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            return Unavailable(
                "the data folder cannot be written",
                retry_after=30.0,
                code="read_only",
                hint="check that the disk is mounted for writing and that the folder belongs to this user",
            )
        case apsw.IOError():
            return Unavailable(
                "the disk reports an error", retry_after=30.0, code="disk_error", hint="check the disk's health"
            )
        case apsw.BusyError() | apsw.LockedError():
            return Unavailable("another process uses the database", code="busy")
        case apsw.NotADBError() | apsw.CorruptError():
            return Unavailable(
                "the database is damaged", retry_after=3600.0, code="damaged", hint="restore the last backup"
            )
        case apsw.NoMemError():
            return Unavailable("there is too little memory", retry_after=10.0, code="no_memory")
        case _:
            return Broken(f"the database refused an operation: {type(error).__name__}")
