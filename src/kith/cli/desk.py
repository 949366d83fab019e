"""The household's own records, opened where no server runs. Apart, because storage takes a while to import."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kith.app import load_settings
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.runtime.settings import home
from kith.security import KeyRing, TokenAuth
from kith.storage import Storage, open_storage


@asynccontextmanager
async def local_storage() -> AsyncGenerator[Storage]:
    """What is kept in this home. Raises what opening the storage raises."""
    clock = SystemClock()
    storage = await open_storage(load_settings().storage, clock, Ids(clock), KeyRing(home() / "keys"))
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def local_desk() -> AsyncGenerator[TokenAuth]:
    """Tokens kept in this home."""
    clock = SystemClock()
    async with local_storage() as storage:
        yield TokenAuth(storage.records, clock, Ids(clock))
