"""Encrypting the whole file under another key.

The engine's own ``PRAGMA rekey`` overwrites the file in place. Killed on the way (measured: SQLite3 Multiple Ciphers
2.6.1, two of three kills) it leaves a file that neither key opens, because the rollback journal does not bring back the
salt in the first page. So the new file is written beside the old one and takes its place by one rename.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import apsw

from kith.core.errors import Refused, Unavailable
from kith.core.ports import Cipher
from kith.storage.ledger import StorageSettings, execute, translate
from kith.storage.sqlite.check import Check
from kith.storage.sqlite.database import PURPOSE, connect

_PAGES = 1000  # copied in one step


async def rotate_database(settings: StorageSettings, old: Cipher, new: Cipher) -> None:
    """As `kith.storage.rotate_storage`. Needs room on the disk for a second file.

    Raises `Refused` (codes ``wrong_key``, ``in_use``, ``no_database``) or `Unavailable`.
    """
    await asyncio.to_thread(_rotate, settings.path, old.key(PURPOSE), new.key(PURPOSE))


def _rotate(path: Path, old: bytes, new: bytes) -> None:
    check = Check(path)
    if not path.exists():
        raise Refused(f"there is no database at {path}", code="no_database")
    copy = path.with_name(f"{path.name}.rekey")
    try:
        with contextlib.closing(_alone(path, old)) as source:
            _copy(source, copy, new)
            check.write(old, new)
            copy.replace(path)
            _settle(path.parent)
    except (apsw.NotADBError, apsw.CorruptError):
        raise check.verdict(old) from None
    except (apsw.BusyError, apsw.LockedError):
        raise Refused("the database is in use", code="in_use", hint="stop Kith, then rotate the key again") from None
    except apsw.Error as error:
        raise translate(error) from None
    except OSError as error:
        raise Unavailable(f"{copy} cannot be written: {error.strerror}", retry_after=30.0, code="disk_error") from None
    check.write(new)


def _alone(path: Path, key: bytes) -> apsw.Connection:
    """The one connection to the file, with its write-ahead log folded in. Raises `apsw.BusyError`."""
    connection = connect(path, key, wal=False)
    try:
        connection.set_busy_timeout(0)
        if execute(connection, "PRAGMA journal_mode = DELETE")[0][0] != "delete":
            raise apsw.BusyError
        execute(connection, "PRAGMA locking_mode = EXCLUSIVE")
        execute(connection, "BEGIN EXCLUSIVE")
        execute(connection, "COMMIT")
    except apsw.Error:
        connection.close(True)
        raise
    return connection


def _copy(source: apsw.Connection, copy: Path, key: bytes) -> None:
    for rest in (copy, copy.with_name(f"{copy.name}-journal")):
        rest.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(connect(copy, key, wal=False)) as target:
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES)
        if execute(target, "PRAGMA quick_check")[0][0] != "ok":
            raise apsw.CorruptError
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settle(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
