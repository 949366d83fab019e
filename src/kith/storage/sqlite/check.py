"""A fingerprint of the key beside the file, to tell a wrong key from a damaged file. It tells nothing of the key."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from kith.core.errors import Refused

_RESTORE = "restore the last backup"


class Check:
    """The file ``<database>.check``: one fingerprint a line, two while a key is being changed."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(f"{database.name}.check")

    def prepare(self) -> None:
        """Refuse to begin anew where a database was before. Raises `Refused` (code ``damaged``) or `OSError`."""
        empty = not self._database.exists() or self._database.stat().st_size == 0
        wal = self._database.with_name(f"{self._database.name}-wal")
        if empty and self._read() and not (wal.exists() and wal.stat().st_size):
            raise Refused(
                f"the database {self._database} is gone or empty",
                code="damaged",
                hint=f"{_RESTORE}, or remove {self._path} to begin with an empty one",
            )

    def write(self, *keys: bytes) -> None:
        """Put the fingerprints of `keys` down. Raises `OSError`."""
        text = "".join(f"{_fingerprint(key)}\n" for key in keys)
        if text == self._read():
            return
        spare = self._path.with_name(f"{self._path.name}.new")
        file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(file, text.encode())
            os.fsync(file)
        finally:
            os.close(file)
        spare.replace(self._path)

    def verdict(self, key: bytes) -> Refused:
        """Why the file could not be read with `key`."""
        known = self._read().split()
        if known == [_fingerprint(key)]:
            return Refused(f"the database {self._database} is damaged", code="damaged", hint=_RESTORE)
        if known:
            return Refused(
                f"the key does not fit the database {self._database}",
                code="wrong_key",
                hint="give the key or passphrase with which this database was made",
            )
        return Refused(
            f"{self._database} cannot be read: another key made it, or it is no database of Kith",
            code="wrong_key",
            hint=f"give the key with which it was made, or {_RESTORE}",
        )

    def _read(self) -> str:
        try:
            return self._path.read_text("ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""


def _fingerprint(key: bytes) -> str:
    return hashlib.blake2b(b"", digest_size=16, key=key, person=b"kith-check").hexdigest()
