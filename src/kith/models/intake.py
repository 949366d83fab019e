"""Models that are being fetched while Kith serves: begun, watched, cancelled, and taken in once they are whole."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.ids import Ids
from kith.models.bucket import download_bucket
from kith.models.fetch import Digests, download
from kith.models.formats import inspect
from kith.models.settings import ModelSettings
from kith.models.shelf import Shelf, judge
from kith.models.sources import Source, filed, parse_source
from kith.models.versions import Version
from kith.runtime.http import http_client
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_KEPT = 20  # finished ones that are still told of
_AT_ONCE = 3


@dataclass(slots=True)
class Coming:
    """One model on its way. `done` of `total` bytes are here (`total` 0 while nobody knows); `code` says why not."""

    id: str
    source: str
    name: str
    state: str = "fetching"  # fetching, checking, done, failed, cancelled
    done: int = 0
    total: int = 0
    version: str = ""
    error: str = ""
    code: str = ""
    began: float = 0.0
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def open(self) -> bool:
        """Whether it is still on its way."""
        return self.state in ("fetching", "checking")


class Intake:
    """Fetches models into `folder`; `refresh` makes the household take in what is new in the register."""

    def __init__(self, folder: Path, clock: Clock, ids: Ids, refresh: Callable[[], Awaitable[object]]) -> None:
        self._folder, self._clock, self._ids, self._refresh = folder, clock, ids, refresh
        self._coming: dict[str, Coming] = {}

    def begin(self, source: str, name: str = "") -> Mapping[str, Any]:
        """Begin to fetch what `source` names. A name that is there already gets a new version, not yet in use.

        Raises as `parse_source`, and `Refused` when the same comes already, or too many do.
        """
        found = parse_source(source)
        found.urls()
        running = [one for one in self._coming.values() if one.open]
        if any(one.source == source for one in running):
            raise Refused(f"{source} is being fetched already", code="exists")
        if len(running) >= _AT_ONCE:
            raise Refused(
                f"{_AT_ONCE} models are being fetched already", code="busy", hint="wait for one, or cancel it"
            )
        settings = ModelSettings(name=name or found.name, path="-")
        coming = Coming(self._ids.new("f"), source, settings.name, began=self._clock.now())
        self._coming[coming.id] = coming
        coming.task = asyncio.create_task(self._run(coming, found))
        for old in [one.id for one in self._coming.values() if not one.open][:-_KEPT]:
            del self._coming[old]
        return _told(coming)

    def all(self) -> Sequence[Mapping[str, Any]]:
        """Everything that is on its way or was lately, latest first."""
        return [_told(one) for one in reversed(self._coming.values())]

    async def cancel(self, coming: str) -> None:
        """Stop fetching; what has arrived is kept, and gone on with the next time. Raises `NotFound`."""
        found = self._coming.get(coming)
        if found is None or found.task is None:
            raise NotFound("there is no such download", code="download_not_found")
        found.task.cancel()
        await asyncio.gather(found.task, return_exceptions=True)
        if found.open:  # it was cancelled before it had begun
            found.state = "cancelled"

    async def stop(self) -> None:
        """Stop everything."""
        for one in tuple(self._coming):
            await self.cancel(one)

    async def _run(self, coming: Coming, source: Source) -> None:
        try:
            files = list(source.paths()) or await self._fetch(coming, source)
            coming.state = "checking"
            await self._take_in(coming, files, fetched=source.path is None)
            await self._refresh()
            coming.state = "done"
        except asyncio.CancelledError:
            coming.state = "cancelled"
        except KithError as error:
            coming.state, coming.error, coming.code = "failed", error.message, error.code
        except OSError as error:
            coming.state, coming.error, coming.code = "failed", error.strerror or "the disk refused", "disk"
        _log.info("download ended", state=coming.state, code=coming.code)

    async def _fetch(self, coming: Coming, source: Source) -> list[Path]:
        together = self._folder / f".{hashlib.sha256(coming.source.encode()).hexdigest()[:16]}.parts"
        together.mkdir(parents=True, exist_ok=True)
        urls = source.urls()
        files = [together / filed(url) for url in urls]
        before = 0
        for url, file in zip(urls, files, strict=True):
            if not file.exists():
                (await self._one(coming, url, before)).replace(file)
            before += file.stat().st_size
        return files

    async def _one(self, coming: Coming, url: str, before: int) -> Path:
        def progress(done: int, total: int) -> None:
            coming.done, coming.total = before + done, before + total if total else 0

        if url.startswith("s3://"):
            return (await download_bucket(url, self._folder, digests=Digests(), progress=progress))[0]
        async with http_client(timeout=60) as client:
            return (await download(client, url, self._folder, progress=progress))[0]

    async def _take_in(self, coming: Coming, files: list[Path], *, fetched: bool) -> None:
        try:
            facts = await asyncio.to_thread(inspect, files[0])
        except Invalid:
            if fetched:
                shutil.rmtree(files[0].parent, ignore_errors=True)
            raise
        settings = ModelSettings.model_validate({"name": coming.name, "path": "-", "type": facts.type})
        verdict = await asyncio.to_thread(judge, facts, settings)
        if not verdict.fits:
            need, total = verdict.need >> 20, verdict.total >> 20
            raise Unavailable(f"it needs {need} MiB of memory, and this machine has {total} MiB", code="too_large")
        coming.version = await asyncio.to_thread(partial(self._keep, coming, files, settings, fetched=fetched))

    def _keep(self, coming: Coming, files: list[Path], settings: ModelSettings, *, fetched: bool) -> str:
        """Onto the shelf; a new name also into the register."""
        shelf = Shelf(self._folder)
        piece = {"name": "model", "sha256": "0" * 64, "bytes": 0}
        known = {"version": "auto", "source": coming.source, "added": self._clock.now(), "files": [piece]}
        there = any(entry.settings.name == coming.name for entry in shelf.entries())
        version = shelf.store(coming.name, files, Version.model_validate(known), move=fetched)
        if fetched:
            shutil.rmtree(files[0].parent, ignore_errors=True)
        if not there:
            shelf.enter(settings, version)
        return version.version


def _told(coming: Coming) -> Mapping[str, Any]:
    names = ("id", "source", "name", "state", "done", "total", "version", "error", "code", "began")
    return {name: getattr(coming, name) for name in names}
