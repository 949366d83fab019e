"""One encrypted file: AES-256 with a message authentication code on every page (SQLCipher's format, version 4).

Source of the parameters: https://www.zetetic.net/sqlcipher/design/ and the manual of SQLite3 Multiple Ciphers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from kith.core.clock import Clock
from kith.core.errors import KithError, Unavailable
from kith.core.ids import Ids
from kith.core.ports import Cipher
from kith.storage.ledger import Clear, Op, Seal, Storage, StorageSettings, build, execute, read, translate, write
from kith.storage.sqlite.boots import Boots
from kith.storage.sqlite.check import Check
from kith.storage.sqlite.hand import Hand

T = TypeVar("T")

PURPOSE = "database"
_BUSY = 10_000  # milliseconds to wait for another process's transaction
_PRAGMAS = (
    "PRAGMA temp_store = MEMORY",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -16000",
    "PRAGMA secure_delete = ON",
)
_REWRITTEN = 256 * 1024 * 1024  # bytes up to which a file is rewritten, in memory meanwhile


class File:
    """An engine with one writing and one reading thread."""

    def __init__(self, path: Path, key: bytes, boot: str, limit: int) -> None:
        self.boot = boot
        self.seal: Seal = Clear()
        self._boots = Boots(path, boot)
        self._writer = Hand("write", lambda: connect(path, key), write, limit)
        self._reader = Hand("read", lambda: connect(path, key), read, limit)

    async def enter(self) -> None:
        await asyncio.to_thread(self._boots.enter)

    async def write(self, make: Callable[[], Op[T]]) -> T:
        return await self._writer.do(make)

    async def read(self, make: Callable[[], Op[T]]) -> T:
        return await self._reader.do(make)

    async def gone(self, boots: Sequence[str]) -> Sequence[str]:
        return await asyncio.to_thread(self._boots.gone, boots)

    async def scrub(self) -> None:
        """Rewrite a file of up to 256 MiB, fold the log in and cut it to nothing.

        A larger file is not rewritten, which would need as much memory: `secure_delete` overwrites there too what is
        deleted, but old copies of a row may stay in pages that were balanced before.
        """
        await self._writer.call(_scrub)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        self._boots.leave()


def connect(path: Path, key: bytes, *, wal: bool = True) -> apsw.Connection:
    """A connection that has proved its key. Raises `apsw.Error`."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(_BUSY)
        for name, value in (("cipher", "'sqlcipher'"), ("legacy", "4"), ("key", f"\"x'{key.hex()}'\"")):
            execute(connection, f"PRAGMA {name} = {value}")
        execute(connection, "SELECT count(*) FROM sqlite_master")
        if wal:
            execute(connection, "PRAGMA journal_mode = WAL")
        for pragma in _PRAGMAS:
            execute(connection, pragma)
    except apsw.Error:
        connection.close(True)
        raise
    return connection


async def open_database(
    settings: StorageSettings, clock: Clock, ids: Ids, cipher: Cipher, spare: Cipher | None = None
) -> Storage:
    """Open or make the file. With `spare`, that key is tried when the first does not fit.

    Raises `Refused` (codes ``wrong_key``, ``damaged``, ``too_new``) or `Unavailable`.
    """
    path = settings.path
    key, spare_used = await asyncio.to_thread(_prove, path, cipher, spare)
    engine = File(path, key, ids.new("boot"), settings.queue_limit)
    try:
        await engine.enter()
        return await build(engine, settings, clock, ids, spare_used=spare_used)
    except OSError as error:
        await engine.close()
        raise _unwritable(path, error) from None
    except KithError:
        await engine.close()
        raise


def _scrub(connection: apsw.Connection) -> None:
    pages, size = (int(execute(connection, f"PRAGMA {name}")[0][0]) for name in ("page_count", "page_size"))
    try:
        if pages * size <= _REWRITTEN:
            execute(connection, "VACUUM")
        execute(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    except apsw.BusyError:
        raise Unavailable("somebody reads the database", code="busy") from None
    except apsw.Error as error:
        raise translate(error) from None


def _prove(path: Path, cipher: Cipher, spare: Cipher | None) -> tuple[bytes, bool]:
    """The key that fits, and whether it is the spare one."""
    key = cipher.key(PURPOSE)
    check = Check(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check.prepare()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connect(path, key).close()
    except OSError as error:
        raise _unwritable(path, error) from None
    except (apsw.NotADBError, apsw.CorruptError):
        if spare is not None and _fits(path, spare.key(PURPOSE)):
            check.write(spare.key(PURPOSE))
            return spare.key(PURPOSE), True
        raise check.verdict(key) from None
    except apsw.Error as error:
        raise translate(error) from None
    check.write(key)
    return key, False


def _fits(path: Path, key: bytes) -> bool:
    try:
        connect(path, key).close()
    except apsw.Error:
        return False
    return True


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{path} cannot be opened for writing: {error.strerror}",
        retry_after=30.0,
        code="read_only",
        hint="check the disk, and that the folder belongs to the user who runs Kith",
    )
