"""Pictures, sounds and files of messages on disk: sealed, a folder for each conversation, the oldest going first.

A file's name does not tell what is in it: it is a keyed digest. What two people sent into the same conversation, byte
by byte the same, is one file, and goes with the first of them who is erased.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from kith.core.errors import KithError, Unavailable
from kith.runtime.files import private_folder
from kith.runtime.sealed import seal, unseal
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_ROOM = 0.9  # of the limit that is left after the oldest were removed, so that this is not done at every file


class Shelf:
    """At most `limit` bytes in `folder`, sealed with `key` (32 bytes). Its methods block: call them in a thread."""

    def __init__(self, folder: Path, key: bytes, limit: int) -> None:
        self._folder, self._key, self._limit = folder, key, limit
        self._size: int | None = None
        self._lock = threading.Lock()

    def put(self, conversation: str, name: str, data: bytes) -> None:
        """Keep `data`, whose SHA-256 is `name`; on disk when this returns. Raises `Unavailable`."""
        path = self._place(conversation) / self._digest(name)
        with self._lock:
            if path.exists():
                return
            try:
                private_folder(self._folder)
                private_folder(path.parent)
                size = seal(io.BytesIO(data), path, self._key, name.encode())
            except OSError as error:
                raise Unavailable(
                    f"a file of a message cannot be kept: {error.strerror}", retry_after=30.0, code="disk_full"
                ) from None
            self._size = size + (self._measured() - size if self._size is None else self._size)
            if self._size > self._limit:
                self._trim(path)

    def get(self, name: str) -> bytes | None:
        """What is kept under a SHA-256, from whichever conversation; None when nothing is."""
        digest = self._digest(name)
        for path in (room / digest for room in self._rooms()):
            if not path.exists():
                continue
            found = io.BytesIO()
            try:
                unseal(path, found, self._key, name.encode())
            except (OSError, KithError) as error:
                _log.warning("a kept file is damaged", error=type(error).__name__)
                continue
            return found.getvalue()
        return None

    def drop(self, conversation: str, names: Iterable[str] | None = None) -> None:
        """Remove what was kept of a conversation: these, or all of it."""
        place = self._place(conversation)
        with self._lock:
            self._size = None
            if names is None:
                shutil.rmtree(place, ignore_errors=True)
                return
            for name in names:
                (place / self._digest(name)).unlink(missing_ok=True)

    def _measured(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _trim(self, spared: Path) -> None:
        """Remove the oldest files until there is room again."""
        size = self._measured()
        for _, length, path in sorted(self._files()):
            if size <= self._limit * _ROOM:
                break
            if path != spared:
                path.unlink(missing_ok=True)
                size -= length
        self._size = size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(when it was written, bytes, path) of every file, also of those that a crash left half-written."""
        for room in self._rooms():
            for path in room.iterdir():
                with contextlib.suppress(OSError):
                    told = path.stat()
                    yield told.st_mtime, told.st_size, path

    def _rooms(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from (path for path in self._folder.iterdir() if path.is_dir())

    def _place(self, conversation: str) -> Path:
        return self._folder / self._digest(conversation)

    def _digest(self, name: str) -> str:
        said = name.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(said, digest_size=20, key=self._key, person=b"kith-shelf").hexdigest()
