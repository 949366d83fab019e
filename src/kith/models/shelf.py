"""The folder of models: what was added by command, and how it gets there.

``models.json`` in the folder lists the models that were added; it is merged behind the list of ``kith.yaml``, which no
command ever rewrites. The files of a model lie in a folder of its own, version by version (`kith.models.versions`); a
version becomes visible only when it is complete, checked and on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from pydantic import Field

from kith.core.errors import NotFound, Refused
from kith.core.model import ModelCard
from kith.models.formats import Facts
from kith.models.gguf import read_gguf
from kith.models.settings import ModelSettings
from kith.models.sources import filed
from kith.models.versions import ABOUT, CURRENT, Piece, Version, Versions, digest, locked, slug
from kith.runtime.documents import read_document, validate
from kith.runtime.settings import Section

REGISTER = "models.json"
_WEEK = 7 * 86400.0


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
        with locked(self.folder):
            others = [one for one in self.entries() if one.settings.name != entry.settings.name]
            self._write([*others, entry])

    def versions(self, name: str) -> Versions:
        """The versions of a model, whether there are any or not."""
        return Versions(self.folder / slug(name))

    def store(
        self, name: str, files: Sequence[Path], about: Version | None = None, *, move: bool = False, copy: bool = False
    ) -> Version:
        """Bring checked `files` into the model's folder as a version: as links, with `move` or `copy` as its own.

        `about` gives its source, instant and, unless that is to be the beginning of its SHA-256, its name. The
        version in use stays in use. Raises `Invalid`, and `Refused` (code ``exists``).
        """
        versions = self.versions(name)
        with locked(self.folder), versions.stage() as stage:
            pieces = [self._bring(file, stage, move=move, copy=copy) for file in files]
            known = about.model_dump(include={"source", "added"}) if about else {}
            whole = Version(version="0", files=tuple(pieces), **known)
            chosen = about.version if about and about.version != "auto" else whole.sha256[:12]
            return versions.publish(stage, whole.model_copy(update={"version": chosen}))

    def enter(self, settings: ModelSettings, version: Version) -> Shelved:
        """Make a stored version the one in use, and the model one of the register."""
        versions = self.versions(settings.name)
        versions.use(version.version)
        path = Path(versions.folder.name, CURRENT, version.files[0].name)
        entry = Shelved(
            settings=settings.model_copy(update={"path": path.as_posix()}),
            source=version.source,
            sha256=version.sha256,
        )
        self.put(entry)
        return entry

    def remove(self, name: str) -> Shelved:
        """Take a model off the shelf, and all its versions. Raises `NotFound`."""
        entry = self.entry(name)
        with locked(self.folder):
            self._write([one for one in self.entries() if one.settings.name != name])
        folder = self.versions(name).folder
        if folder.is_dir():
            gone = folder.with_name(f".old-{folder.name}")
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        return entry

    def sweep(self, now: float) -> None:
        """Remove what downloads left that nobody has gone on with for a week. `now` is an instant."""
        for pattern in (".*.part", ".*.etag", ".*.parts", ".old-*"):
            for path in self.folder.glob(pattern):
                if now - path.stat().st_mtime > _WEEK:
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)

    def verify(self, name: str, version: str = "") -> Version:
        """Read a version again, by default the one in use. Raises `NotFound`, or `Invalid` when it has changed."""
        versions = self.versions(name)
        if not versions.current:
            self.entry(name)
        return versions.verify(version or versions.current)

    def _bring(self, file: Path, stage: Path, *, move: bool, copy: bool) -> Piece:
        target = stage / filed(file.name)
        if move:
            file.replace(target)
        elif copy:
            shutil.copyfile(file, target)
        else:
            target.symlink_to(file.resolve())
        return Piece(name=target.name, sha256=digest(target), bytes=target.stat().st_size)

    def _write(self, entries: list[Shelved]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries]
        spare = self._file.with_name(f".{REGISTER}.new")
        with spare.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps({"models": rows}, ensure_ascii=False, indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        spare.replace(self._file)


def versions_of(settings: ModelSettings, folder: Path) -> Versions | None:
    """The versions behind a model's path, None for a file that has none."""
    path = Path(settings.path)
    place = (path if path.is_absolute() else folder / path).parent
    return Versions(place.parent) if settings.path and (place / ABOUT).is_file() else None


def bind(settings: ModelSettings, folder: Path, version: str = "") -> tuple[ModelSettings, Version | None]:
    """The settings with the path of one version, by default of the one in use, and what is known of it.

    What is loaded later is then still what was meant. Raises `NotFound` for a version that is not there, and
    `Refused` (code ``no_versions``) when a version is asked of a model that has none.
    """
    versions = versions_of(settings, folder)
    chosen = version or (versions.current if versions else "")
    if versions is None or not chosen:
        if not version:
            return settings, None
        text = f"the model {settings.name!r} is a file of its own, and has no versions"
        raise Refused(text, code="no_versions", hint="`kith models add` keeps versions")
    path = versions.file(chosen)
    return settings.model_copy(update={"path": str(path)}), versions.get(chosen)


def stamp(card: ModelCard, version: Version | None) -> ModelCard:
    """The card with its format and, where they are known, its version and digest."""
    card = replace(card, format=Path(card.path).suffix.lower().removeprefix("."))
    return card if version is None else replace(card, version=version.version, digest=version.sha256)


def judge(facts: Facts, settings: ModelSettings) -> Verdict:
    """Whether this machine can hold the model, at the context that would be used for one conversation."""
    memory, need = psutil.virtual_memory(), facts.memory
    if facts.format == "gguf":
        context = min(settings.context or 4096, facts.context or 4096)
        need = read_gguf(facts.files[0]).memory(context, settings.parallel or 1)
    return Verdict(need, memory.total, memory.available)
