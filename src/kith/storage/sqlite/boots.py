"""Which starts of a process are alive: each holds a lock on a file of its own, and the system lets go at its death."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without flock: leases then end by time alone
    fcntl = None


class Boots:
    """The lock files of the processes that have one database open, in the folder ``<database>.boots``."""

    def __init__(self, database: Path, boot: str) -> None:
        self._folder = database.with_name(f"{database.name}.boots")
        self._own = self._folder / boot
        self._file = -1

    def enter(self) -> None:
        """Lock this start's file. Raises `OSError`."""
        if fcntl is None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._file = os.open(self._own, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def leave(self) -> None:
        """Unlock and remove this start's file."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self._own.unlink()
            os.close(self._file)
            self._file = -1

    def gone(self, boots: Sequence[str]) -> Sequence[str]:
        """Those of `boots` that no living process holds; the files of all dead ones are swept away."""
        if fcntl is None:
            return ()
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path != self._own and not _held(path):
                    path.unlink(missing_ok=True)
        return tuple(boot for boot in boots if not _held(self._folder / Path(boot).name))


def _held(path: Path) -> bool:
    assert fcntl is not None  # `gone` asked before
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
