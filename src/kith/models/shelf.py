"""The folder of models: what was added by command, and how it gets there.

``models.json`` in the folder lists the models that were added; it is merged behind the list of ``kith.yaml``, which no
command ever rewrites. A file becomes visible under its name only when it is complete, checked and on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import Field

from kith.core.errors import Invalid, NotFound
from kith.models.gguf import GgufFile, read_gguf
from kith.models.settings import ModelSettings
from kith.runtime.documents import read_document, validate
from kith.runtime.settings import Section

REGISTER = "models.json"


class Shelved(Section):
    """One line of the register: the settings of a model, where it came from, and its SHA-256."""

    settings: ModelSettings
    source: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class _Register(Section):
    models: tuple[Shelved, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model fits into this machine; bytes. `tight`: only when little else runs."""

    need: int
    total: int
    free: int

    @property
    def fits(self) -> bool:
        return self.need <= self.total * 0.9

    @property
    def tight(self) -> bool:
        return self.fits and self.need > self.free


class Shelf:
    """The folder and its register."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / REGISTER

    def entries(self) -> list[Shelved]:
        """What was added, in order. Raises `Invalid` when the register cannot be read."""
        if not self._file.exists():
            return []
        return list(validate(_Register, read_document(self._file)).models)

    def settings(self) -> list[ModelSettings]:
        """The settings of what was added."""
        return [entry.settings for entry in self.entries()]

    def entry(self, name: str) -> Shelved:
        """One of them. Raises `NotFound` with the names there are."""
        entries = self.entries()
        for entry in entries:
            if entry.settings.name == name:
                return entry
        known = ", ".join(entry.settings.name for entry in entries) or "none"
        raise NotFound(f"no model {name!r} was added; there are: {known}", code="model_not_found")

    def put(self, entry: Shelved) -> None:
        """Add, or replace the one of the same name."""
        others = [one for one in self.entries() if one.settings.name != entry.settings.name]
        self._write([*others, entry])

    def remove(self, name: str) -> Shelved:
        """Take a model off the shelf, and its file if it lies in the folder. Raises `NotFound`."""
        entry = self.entry(name)
        self._write([one for one in self.entries() if one.settings.name != name])
        path = self.folder / entry.settings.path
        if entry.settings.path and path.parent.resolve() == self.folder.resolve():
            path.unlink(missing_ok=True)
        return entry

    def place(self, source: Path, *, copy: bool) -> Path:
        """Bring the checked file `source` into the folder, as a link or, with `copy`, as a copy of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / source.name
        if target.exists() and target.samefile(source) and not copy:
            return target
        spare = target.with_name(f".{target.name}.new")
        spare.unlink(missing_ok=True)
        if copy:
            shutil.copyfile(source, spare)
            _sync(spare)
        else:
            spare.symlink_to(source.resolve())
        spare.replace(target)
        return target

    def publish(self, part: Path, name: str) -> Path:
        """Give a complete and checked download its name, at once."""
        _sync(part)
        return part.replace(self.folder / name)

    def verify(self, name: str) -> Mapping[str, Any]:
        """Read a model again, header and every byte. Raises `NotFound`, or `Invalid` when it is not what it was."""
        entry = self.entry(name)
        path = self.folder / entry.settings.path
        if not path.is_file():
            raise NotFound(f"the file of {name!r} is gone: {path}")
        file = read_gguf(path)
        found = digest(path)
        if entry.sha256 and found != entry.sha256:
            text = f"{path.name} has changed since it was added: SHA-256 {found}, not {entry.sha256}"
            raise Invalid(text, file=str(path), code="broken_model")
        return {"name": name, "sha256": found, "bytes": file.size, "tensors": file.tensors, "known": bool(entry.sha256)}

    def _write(self, entries: list[Shelved]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries]
        spare = self._file.with_name(f".{REGISTER}.new")
        spare.write_text(json.dumps({"models": rows}, ensure_ascii=False, indent=2) + "\n", "utf-8")
        _sync(spare)
        spare.replace(self._file)


def judge(file: GgufFile, settings: ModelSettings) -> Verdict:
    """Whether this machine can hold the model, at the context that would be used for one conversation."""
    memory = psutil.virtual_memory()
    context = min(settings.context or 4096, file.context or 4096)
    return Verdict(file.memory(context, settings.parallel or 1), memory.total, memory.available)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
