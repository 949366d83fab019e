"""A disk that fails on demand, below the encryption: full, read-only, with errors, slow, or losing what was not synced.

It is a layer between SQLite and the system's files (https://www.sqlite.org/vfs.html), so that every write and every
sync of the database and of its log passes it.
"""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import apsw

Mode = Literal["well", "full", "read-only", "error", "stuck", "sync-error"]
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Write:
    """What a write, or with no `data` a cut, took away, and put there."""

    offset: int
    before: bytes
    size_before: int
    data: bytes | None


@dataclass
class Disk:
    """The switchboard. A stuck disk writes nothing until `free` is set.

    With `lying` true a sync is confirmed and not done. `each` is called at every write and sync.
    """

    mode: Mode = "well"
    lying: bool = False
    each: Callable[[], None] | None = None
    passes: int = 0
    free: threading.Event = field(default_factory=threading.Event)
    unsynced: dict[str, list[_Write]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def check(self) -> None:
        """Fail as the mode says."""
        self.passes += 1
        match self.mode:
            case "full":
                raise apsw.FullError("full")
            case "read-only":
                raise apsw.ReadOnlyError("read-only")
            case "error":
                raise apsw.IOError("input/output error")
            case "stuck":
                self.free.wait(240)
            case _:
                pass

    def image(self, folder: Path, target: Path, rng: random.Random) -> None:
        """The folder as a power cut at this instant would leave it: of what was not synced, some is there, some not."""
        with self.lock:
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*-shm", "*.boots"))
            for name, writes in self.unsynced.items():
                place = target / Path(name).relative_to(folder)
                if place.exists():
                    _replay(place, writes, rng)


def _replay(place: Path, writes: list[_Write], rng: random.Random) -> None:
    with place.open("r+b") as stream:
        for write in reversed(writes):
            stream.seek(write.offset)
            stream.write(write.before)
            stream.truncate(write.size_before)
        for write in writes:
            if rng.random() < 0.5:
                continue
            if write.data is None:
                stream.truncate(write.offset)
            else:
                # A page is not written as a whole either: sectors of 512 bytes reach the disk one by one.
                stream.seek(write.offset)
                torn = rng.random() < 0.2
                stream.write(write.data[: 512 * rng.randint(0, len(write.data) // 512)] if torn else write.data)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, base: str, name: Any, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        disk = self._disk
        disk.check()
        with disk.lock:
            size = self.xFileSize()
            before = self.xRead(min(len(data), size - offset), offset) if offset < size else b""
            disk.unsynced[self._name].append(_Write(offset, before, size, bytes(data)))
            super().xWrite(data, offset)
        if disk.each:
            disk.each()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        disk = self._disk
        disk.check()
        with disk.lock:
            size = self.xFileSize()
            before = self.xRead(size - newsize, newsize) if newsize < size else b""
            disk.unsynced[self._name].append(_Write(newsize, before, size, None))
            super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        disk = self._disk
        disk.check()
        if disk.mode == "sync-error":
            raise apsw.IOError("a sync failed")
        if disk.each:
            disk.each()
        with disk.lock:
            if not disk.lying:
                super().xSync(flags)
                disk.unsynced[self._name].clear()
        if disk.each:
            disk.each()


class _Layer(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802
        return _File(self._disk, "unix", name, flags)


@contextmanager
def installed() -> Iterator[Disk]:
    """Let every connection made meanwhile go through a disk of its own making."""
    disk, name = Disk(), f"faulty{next(_numbers)}"
    layer = _Layer(name, disk)
    plain = apsw.Connection

    class Connection(plain):
        def __init__(self, filename: str, **options: Any) -> None:
            super().__init__(filename, vfs=f"multipleciphers-{name}", **options)

    apsw.Connection = Connection
    try:
        yield disk
    finally:
        apsw.Connection = plain
        disk.mode = "well"
        disk.free.set()
        layer.unregister()
