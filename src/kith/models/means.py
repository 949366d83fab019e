"""What the house gives to a backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from kith.core.clock import Clock
from kith.core.errors import NotFound
from kith.core.message import Media
from kith.models.prefixes import Prefixes
from kith.runtime.supervisor import Supervisor

Fetch = Callable[[Media], Awaitable[bytes]]
"""Gives the bytes of a picture, a sound or a file. Raises `NotFound`."""


async def nowhere(media: Media) -> bytes:
    """A house that keeps no blobs."""
    raise NotFound(f"the bytes of {media.name or media.mime} are not kept here")


@dataclass(frozen=True, slots=True)
class Means:
    """What the house gives to a backend. `folder` is where relative paths begin; `changed` takes (state, reason).

    `prefixes` is absent where nothing may be kept.
    """

    clock: Clock
    supervisor: Supervisor
    client: httpx.AsyncClient
    folder: Path
    changed: Callable[[str, str], None]
    fetch: Fetch = nowhere
    prefixes: Prefixes | None = None
