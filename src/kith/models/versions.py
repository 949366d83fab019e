"""The versions of one model side by side, and which of them is in use.

``<folder>/<version>/`` holds the files of a version and ``about.json``, which says what they are; ``current`` is a
symbolic link to the version in use. A version appears by the rename of a folder that is complete and on the disk, and
``current`` changes by the rename of a link: whatever dies half-way leaves the old one in use and whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from kith.core.errors import Invalid, NotFound, Refused
from kith.models.formats import inspect
from kith.runtime.documents import read_document, validate
from kith.runtime.settings import Section

ABOUT, CURRENT = "about.json", "current"
_NAME = r"^[A-Za-z0-9][\w.+-]*$"
_DIGEST = r"^[0-9a-f]{64}$"


class Piece(Section):
    """One file of a version: its name, its SHA-256 and its bytes."""

    name: str = Field(max_length=128, pattern=_NAME)
    sha256: str = Field(pattern=_DIGEST)
    bytes: int = Field(ge=0)


class Version(Section):
    """What is known of one version. The first of its `files` is the one that is opened; `added` is an instant."""

    version: str = Field(max_length=64, pattern=_NAME)
    files: tuple[Piece, ...] = Field(min_length=1)
    source: str = ""
    added: float = 0.0
    pinned: bool = False

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file; of several files that of the list of theirs."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return hashlib.sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """Of all its files together."""
        return sum(file.bytes for file in self.files)


class Versions:
    """The folder of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def current(self) -> str:
        """The version in use, empty if there is none."""
        link = self.folder / CURRENT
        return link.readlink().name if link.is_symlink() else ""

    def all(self) -> list[Version]:
        """Every version, oldest first. What cannot be read is none."""
        found = list[Version]()
        for path in self.folder.glob(f"*/{ABOUT}"):
            if path.parent.name != CURRENT and not path.parent.name.startswith("."):
                with contextlib.suppress(Invalid):
                    found.append(self._read(path))
        return sorted(found, key=lambda one: (one.added, one.version))

    def get(self, version: str) -> Version:
        """One of them. Raises `NotFound` with those there are."""
        found = self.all()
        for one in found:
            if one.version == version:
                return one
        known = ", ".join(one.version for one in found) or "none"
        raise NotFound(f"{self.folder.name} has no version {version!r}; there are: {known}", code="no_version")

    def file(self, version: str) -> Path:
        """The file of a version that is opened. Raises `NotFound`."""
        return self.folder / version / self.get(version).files[0].name

    @contextmanager
    def stage(self) -> Generator[Path]:
        """An empty folder to put files into; it is gone afterwards, unless it was published."""
        path = self.folder / f".new-{os.getpid()}-{os.urandom(4).hex()}"
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, stage: Path, version: Version) -> Version:
        """Let the files in `stage` be this version, at once. They are checked as what their names say they are.

        The same files under the same version again change nothing. Raises `Invalid` for files that are not whole,
        `Refused` (code ``exists``) for other files under a known version.
        """
        inspect(stage / version.files[0].name)
        target = self.folder / version.version
        if (target / ABOUT).exists():
            known = self.get(version.version)
            if known.sha256 == version.sha256:
                return known
            raise Refused(f"{self.folder.name} has another version {version.version!r} already", code="exists")
        for file in stage.iterdir():
            if not file.is_symlink():
                _sync(file)
        self._write(stage / ABOUT, version)
        shutil.rmtree(target, ignore_errors=True)
        stage.rename(target)
        _sync(self.folder)
        return version

    def use(self, version: str) -> str:
        """Make this version the one in use, at once; returns the one before. Raises `NotFound`."""
        self.get(version)
        before, spare = self.current, self.folder / f".{CURRENT}-{os.getpid()}"
        spare.unlink(missing_ok=True)
        spare.symlink_to(version, target_is_directory=True)
        spare.replace(self.folder / CURRENT)
        _sync(self.folder)
        return before

    def pin(self, version: str, *, pinned: bool) -> Version:
        """Keep a version, or let go of it. Raises `NotFound`."""
        found = self.get(version).model_copy(update={"pinned": pinned})
        self._write(self.folder / version / ABOUT, found)
        return found

    def remove(self, version: str) -> None:
        """Take one version away. Raises `NotFound`, or `Refused` (code ``in_use``) for one in use or pinned."""
        found = self.get(version)
        if version == self.current or found.pinned:
            why = "in use" if version == self.current else "pinned"
            raise Refused(f"the version {version!r} of {self.folder.name} is {why}", code="in_use")
        gone = self.folder / f".old-{version}"
        (self.folder / version).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def clean(self, keep: int = 1) -> list[str]:
        """Remove what is not in use, not pinned and not among the `keep` newest others; returns those versions.

        What an interrupted command left goes as well.
        """
        spare = [one for one in self.all() if one.version != self.current and not one.pinned]
        gone = [one.version for one in spare[: len(spare) - keep]] if keep < len(spare) else []
        for version in gone:
            self.remove(version)
        for path in self.folder.glob(".*"):
            if path.is_symlink():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path, ignore_errors=True)
        return gone

    def verify(self, version: str) -> Version:
        """Read every byte again. Raises `NotFound`, or `Invalid` when it is not what it was."""
        found = self.get(version)
        for file in found.files:
            path = self.folder / version / file.name
            if not path.is_file():
                raise NotFound(f"the file of {self.folder.name} is gone: {path}")
        inspect(self.folder / version / found.files[0].name)
        for file in found.files:
            now = digest(self.folder / version / file.name)
            if now != file.sha256:
                text = f"{file.name} has changed since it was added: SHA-256 {now}, not {file.sha256}"
                raise Invalid(text, file=str(self.folder / version / file.name), code="broken_model")
        return found

    def _read(self, path: Path) -> Version:
        found = validate(Version, read_document(path))
        if found.version != path.parent.name:
            raise Invalid(f"{path} tells of {found.version!r}", file=str(path))
        return found

    def _write(self, path: Path, version: Version) -> None:
        spare = path.with_name(f".{ABOUT}.new")
        spare.write_text(json.dumps(version.model_dump(mode="json"), indent=2) + "\n", "utf-8")
        _sync(spare)
        spare.replace(path)


def slug(name: str) -> str:
    """The folder of a model: its name, with a digest where the name has signs that a folder's name should not have."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60]
    if safe == name:
        return safe
    return f"{safe or 'model'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Alone in `folder` among all processes of this machine that ask the same. Windows is not asked."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    """Bring a file, or a folder's list of files where the system can, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
