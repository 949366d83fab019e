"""Set-up by a QR code, for platforms that hand out their token to whoever scans one.

A channel says so by ``scan = "module:attribute"`` under ``[details]`` of its manifest: a class that is called with the
channel's settings and a client for what goes out, and is a `Scanner`.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

import httpx
from pydantic import BaseModel

from kith.core.clock import Clock
from kith.core.errors import KithError, NotFound, Unavailable
from kith.core.manifest import Manifest
from kith.runtime.documents import Document, validate
from kith.runtime.http import http_client
from kith.runtime.registry import Registry

LONGEST = 480.0  # seconds that a person has
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Scan:
    """How far a set-up is. `picture` is what the QR code says, where there is a new one.

    ``waiting`` for the phone, ``scanned`` and not yet confirmed there, ``code`` when the digits that the phone shows
    are wanted, ``done`` with the `settings` that came of it.
    """

    state: Literal["waiting", "scanned", "code", "done"]
    picture: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Scanner(Protocol):
    """One set-up with one platform."""

    async def begin(self) -> Scan:
        """Ask for a QR code. Raises `Unavailable`, `Refused`."""
        ...

    async def step(self, code: str = "") -> Scan:
        """How far it is now; waits for up to 40 s for something to happen. `code` are the digits that were wanted.
        Raises `Unavailable`, `Refused`."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


def scanner(manifest: Manifest, settings: type[BaseModel] | None, given: Mapping[str, Any]) -> Scanner:
    """What sets a channel up. Raises `NotFound` for one that has no QR code, `Invalid` for wrong settings."""
    module, _, attribute = str(manifest.details.get("scan", "")).partition(":")
    if not attribute or settings is None:
        raise NotFound(f"{manifest.name} is not set up by a QR code")
    own = validate(settings, Document(dict(given), f"channels.{manifest.name}", {}))
    found: Any = getattr(importlib.import_module(f"{manifest.package}.{module}"), attribute)
    make = cast("Callable[[BaseModel, httpx.AsyncClient], Scanner]", found)
    return make(own, http_client(timeout=45.0))


def drawn(picture: str) -> str:
    """A QR code for a terminal, two rows of it to a line."""
    import segno  # here and below: 3 MB that most households never need

    out = io.StringIO()
    segno.make(picture, error="l", micro=False).terminal(out, border=2, compact=True)
    return out.getvalue()


def svg(picture: str) -> str:
    """A QR code for a page: black on white, whatever the page's colours."""
    import segno

    code = segno.make(picture, error="m", micro=False)
    return str(code.svg_inline(scale=6, border=4, dark="#000", light="#fff"))


class Scans:
    """The set-ups that are going on, for those who ask again and again: at most 8, for eight minutes each."""

    def __init__(self, clock: Clock, registry: Registry) -> None:
        self._clock, self._registry = clock, registry
        self._running: dict[str, _Running] = {}

    async def begin(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new set-up of the channel `name`, with the settings that are already known: its ``scan``, to ask with, its
        ``state``, and the QR code as text (``picture``) and as SVG.

        Raises as `scanner` and `Scanner.begin`, and `Unavailable` while there are too many.
        """
        await self._forget()
        if len(self._running) >= _AT_ONCE:
            raise Unavailable("too many QR codes wait to be scanned", retry_after=60.0)
        own = scanner(self._registry.manifest(name), self._registry.settings(name), given)
        key = secrets.token_urlsafe(12)
        one = self._running[key] = _Running(name, own, dict(given), self._clock.monotonic() + LONGEST)
        try:
            return self._told(key, one, await own.begin())
        except KithError:
            await self._end(key)
            raise

    async def step(self, name: str, key: str, code: str = "") -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What is told of the set-up `key`, and the whole settings that came of it (none before it is done).

        Raises `NotFound` for one that is over, and as `Scanner.step`.
        """
        await self._forget()
        one = self._running.get(key)
        if one is None or one.name != name:
            raise NotFound("this set-up is over: ask for a new QR code")
        if one.asking.locked():
            raise Unavailable("this set-up is being asked about already", retry_after=1.0)
        async with one.asking:
            try:
                found = await one.scanner.step(code)
            except KithError:
                await self._end(key)
                raise
        if found.state != "done":
            return self._told(key, one, found), {}
        await self._end(key)
        return self._told(key, one, found), {**one.given, **found.settings}

    async def close(self) -> None:
        """Let go of all."""
        for key in list(self._running):
            await self._end(key)

    async def _end(self, key: str) -> None:
        if (one := self._running.pop(key, None)) is not None:
            await one.scanner.close()

    async def _forget(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, one in self._running.items() if one.until < now]:
            await self._end(key)

    @staticmethod
    def _told(key: str, one: _Running, found: Scan) -> Mapping[str, Any]:
        one.picture = found.picture or one.picture
        return {"scan": key, "state": found.state, "picture": one.picture, "svg": svg(one.picture)}


@dataclass(slots=True)
class _Running:
    name: str
    scanner: Scanner
    given: Mapping[str, Any]
    until: float
    picture: str = ""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
