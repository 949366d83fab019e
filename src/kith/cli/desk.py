"""The household's token records, opened where no server runs. Apart, because storage takes a while to import."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kith.app import load_settings
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.runtime.settings import home
from kith.security import KeyRing, TokenAuth
from kith.storage import open_storage


@asynccontextmanager
async def local_desk() -> AsyncGenerator[TokenAuth]:
    """Tokens kept in this home. Raises what opening the storage raises."""
    clock = SystemClock()
    ids = Ids(clock)
    storage = await open_storage(load_settings().storage, clock, ids, KeyRing(home() / "keys"))
    try:
        yield TokenAuth(storage.records, clock, ids)
    finally:
        await storage.close()
