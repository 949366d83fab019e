"""Files that only their owner may read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make `path`, closed to other users of the machine, if it is not there; an existing one is left as it is."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def leave_note(path: Path, text: str) -> Callable[[], None]:
    """Write a small private file that is good while this process runs; the result takes it away. Nobody ever reads a
    half of it."""
    write_private(path, text.encode())
    return lambda: path.unlink(missing_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Put a private file in the place of the old one, whole or not at all."""
    private_folder(path.parent)
    spare = path.with_name(f".{path.name}.new")
    spare.unlink(missing_ok=True)
    with os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
    spare.replace(path)
