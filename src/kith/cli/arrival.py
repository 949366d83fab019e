"""How the files of a model arrive at a command: found or fetched, shown on the way, checked."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from kith.core.clock import SystemClock
from kith.core.errors import Invalid
from kith.models import Shelf
from kith.models.bucket import download_bucket
from kith.models.fetch import Digests, Progress, download
from kith.models.formats import Facts, inspect
from kith.models.sources import Source, filed, parse_source
from kith.models.versions import Version
from kith.runtime.http import http_client
from kith.runtime.locale import tr
from kith.runtime.settings import home


@dataclass(frozen=True, slots=True)
class Arrival:
    """Checked files: where they are on this machine, or fetched ones, which may be moved."""

    source: Source
    text: str
    files: tuple[Path, ...]
    facts: Facts
    fetched: bool = False

    def keep(self, shelf: Shelf, name: str, version: str, *, copy: bool = False) -> Version:
        """Bring them onto the shelf as a version of the model. Raises `Refused` (code ``exists``)."""
        piece = {"name": "model", "sha256": "0" * 64, "bytes": 0}
        known = {"version": version or "auto", "source": self.text, "added": SystemClock().now(), "files": [piece]}
        about = Version.model_validate(known)
        stored = shelf.store(name, self.files, about, move=self.fetched, copy=copy)
        self.discard()
        return stored

    def discard(self) -> None:
        """Remove what was fetched and not kept."""
        if self.fetched:
            shutil.rmtree(self.files[0].parent, ignore_errors=True)


async def arrive(text: str, digests: Digests, *, quiet: bool) -> Arrival:
    """Find or fetch what `text` names, and check it. Raises as `parse_source` and `download`."""
    source, folder = parse_source(text), home() / "models"
    if source.path is not None:
        _compare(source.path, digests)
        return Arrival(source, str(source.path), source.paths(), inspect(source.path))
    urls = source.urls()
    if len(urls) > 1 and (digests.sha256 or digests.md5):
        raise Invalid(tr("models.many_parts"), code="bad_source")
    together = folder / f".{hashlib.sha256(text.encode()).hexdigest()[:16]}.parts"
    together.mkdir(parents=True, exist_ok=True)
    files = [together / filed(url) for url in urls]
    for url, file in zip(urls, files, strict=True):
        if not file.exists():  # what is whole of an interrupted download is not fetched again
            (await fetch(url, folder, digests, quiet=quiet)).replace(file)
    try:
        facts = inspect(files[0])
    except Invalid:
        shutil.rmtree(together, ignore_errors=True)
        raise
    return Arrival(source, text, tuple(files), facts, fetched=True)


async def fetch(url: str, folder: Path, digests: Digests, *, quiet: bool) -> Path:
    """One file from elsewhere, as a part file."""
    show = progress(quiet=quiet)
    if url.startswith("s3://"):
        part, _ = await download_bucket(url, folder, digests=digests, progress=show)
    else:
        async with http_client(timeout=60) as client:
            part, _ = await download(client, url, folder, digests=digests, progress=show)
    if show is not None:
        click.echo("", err=True)
    return part


def _compare(path: Path, digests: Digests) -> None:
    for name, title, expected in (("sha256", "SHA-256", digests.sha256), ("md5", "MD5", digests.md5)):
        if expected:
            with path.open("rb") as stream:
                make = partial(hashlib.new, name, usedforsecurity=False)
                found = hashlib.file_digest(stream, make).hexdigest()
            if found != expected.lower():
                raise Invalid(f"{path} has the {title} {found}, not {expected}", code="broken_model")


def progress(*, quiet: bool) -> Progress | None:
    """Shows on a terminal how far a download is."""
    if quiet or not sys.stderr.isatty():
        return None
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.2 or done == total:
            shown = time.monotonic()
            key = "models.fetching" if total else "models.fetching_some"
            click.echo(f"\r\033[K{tr(key, done=size(done), total=size(total))}", nl=False, err=True)

    return show


def size(number: int) -> str:
    """Bytes as people read them."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 1 << shift:
            return f"{number / (1 << shift):.1f} {unit}"
    return f"{number} B" if number else "-"


def output(value: Any) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))
