"""What the slots of a runtime have read, sealed into files and put back: keys and values of the last conversations.

The runtime writes and reads only files with a name. It is given the name of an anonymous file in memory
(``memfd_create``, Linux): what people said is never on a disk in the clear, and is gone with the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kith.core.errors import Invalid
from kith.runtime.sealed import seal, unseal

PLACE = "/proc/self/fd/"
"""Where the runtime looks for files: the numbers of those that are open in this process."""
_LEAST = 64  # tokens that are worth a file

Post = Callable[[str, dict[str, Any]], Mapping[str, Any]]


def can_keep() -> bool:
    """Whether this system has files in memory that the runtime can be given."""
    return hasattr(os, "memfd_create") and Path(PLACE).is_dir()


class Kept:
    """The files of one model's slots. `post` asks the runtime; `order` is the frame's part that says where and how."""

    def __init__(self, order: Mapping[str, Any], slots: int, runtime: str, post: Post) -> None:
        self._folder, self._key, self._most = Path(order["folder"]), bytes.fromhex(order["key"]), int(order["most"])
        self._about = f"{order['about']} {runtime}".encode()
        self._slots, self._post = slots, post

    def restore(self) -> int:
        """Put back what is kept; returns the tokens. What is damaged or not ours is removed."""
        return sum(self._restore(number) for number in range(self._slots))

    def keep(self) -> int:
        """Seal what the slots hold now; returns the bytes of the files. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = 0
        for number in range(self._slots):
            written += self._keep(number, self._most - written)
        return written

    def _keep(self, number: int, room: int) -> int:
        path = self._path(number)
        with _memory() as (file, name):
            found = self._ask(number, "save", name)
            if int(found.get("n_saved", 0)) < _LEAST or os.fstat(file.fileno()).st_size > room:
                path.unlink(missing_ok=True)
                return 0
            return seal(file, path, self._key, self._about)

    def _restore(self, number: int) -> int:
        path = self._path(number)
        if not path.is_file():
            return 0
        try:
            with _memory() as (file, name):
                unseal(path, file, self._key, self._about)
                file.flush()
                return int(self._ask(number, "restore", name)["n_restored"])
        except (Invalid, OSError, ValueError, KeyError) as error:
            sys.stderr.write(f"what slot {number} had read is not used: {error}\n")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return 0

    def _ask(self, number: int, action: str, name: str) -> Mapping[str, Any]:
        return self._post(f"/slots/{number}?action={action}", {"filename": name})

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.kv"


@contextmanager
def _memory() -> Generator[tuple[BinaryIO, str]]:
    """An anonymous file in memory, and the name under which the runtime finds it."""
    with os.fdopen(os.memfd_create("slot", os.MFD_CLOEXEC), "r+b") as file:
        yield file, str(file.fileno())
