"""What models have read, kept over a restart: a folder of sealed files, so many bytes and no older than so.

The key of a file comes from the house's own (`Cipher`), and a file can be opened only for the same model file, the
same settings and the same runtime. The processes of models write and read the files themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kith.core.ports import Cipher
from kith.models.settings import PrefixSettings

FOLDER = ".prefixes"
_SAMPLES = 16  # places of a model file that are looked at
_SAMPLE = 65_536  # bytes at each of them


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The folder, and who gives its key. `folder` is that of the models."""

    folder: Path
    cipher: Cipher
    settings: PrefixSettings

    def opening(self, name: str, path: Path, state: Mapping[str, Any]) -> dict[str, Any]:
        """What the process of the model `name` at `path` needs to keep and find its own.

        `state` is everything besides the file that what is kept depends on. Raises `Refused` without a key, `OSError`.
        """
        about = hashlib.blake2b(json.dumps(state, sort_keys=True).encode(), digest_size=20)
        about.update(self.fingerprint(path).encode())
        key = hashlib.blake2b(name.encode(), digest_size=32, key=self.cipher.key("prefixes")).hexdigest()
        place = self._place / f"{_short(name)}-{about.hexdigest()}"
        return {"folder": str(place), "key": key, "about": about.hexdigest(), "most": self.settings.size << 20}

    @staticmethod
    def fingerprint(path: Path) -> str:
        """Tells a model file from another without reading all of it: size, time of change, samples of its bytes."""
        about = path.stat()
        digest = hashlib.blake2b(f"{about.st_size} {about.st_mtime_ns}".encode(), digest_size=20)
        with path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(max(0, about.st_size - _SAMPLE) * number // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
        return digest.hexdigest()

    def tidy(self) -> int:
        """Delete what is too old, then the oldest until the rest is small enough; returns how many files went."""
        now, total, gone = time.time(), 0, 0  # the files' own times: the clock of the file system
        found = list[tuple[float, int, Path]]()
        for path in self._place.glob("*/*"):
            with contextlib.suppress(OSError):
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
        for at, size, path in sorted(found, reverse=True):
            total += size
            if total > self.settings.size << 20 or now - at > self.settings.lifetime:
                gone += _delete(path)
        for folder in self._place.glob("*"):
            with contextlib.suppress(OSError):
                folder.rmdir()  # which spares those that hold anything
        return gone

    def forget(self, name: str = "") -> None:
        """Delete what is kept for a model, or for all of them."""
        for folder in self._place.glob(f"{_short(name)}-*" if name else "*"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _place(self) -> Path:
        return self.folder / FOLDER


def _short(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def _delete(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.unlink()
        return True
    return False
