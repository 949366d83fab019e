"""The household's own records, opened where no server runs. Apart, because storage takes a while to import."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kith.app import open_data
from kith.channels.vault import Vault
from kith.core.audit import Act
from kith.core.clock import SystemClock
from kith.core.ids import Ids
from kith.runtime.edits import Edits
from kith.runtime.settings import home
from kith.security import Identity, KeyRing
from kith.settings import Settings, load_settings
from kith.storage import Storage, rotate_storage


@asynccontextmanager
async def local_storage() -> AsyncGenerator[Storage]:
    """What is kept in this home. Raises what opening the storage raises."""
    clock = SystemClock()
    storage = await open_data(load_settings().storage, clock, Ids(clock))
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def local_desk() -> AsyncGenerator[Identity]:
    """Tokens and accounts kept in this home."""
    clock = SystemClock()
    async with local_storage() as storage:
        yield Identity(storage.records, storage.journal, load_settings().security, clock, Ids(clock))


@asynccontextmanager
async def local_edits() -> AsyncGenerator[Edits]:
    """The settings file of this home, to be changed. What is changed is written into the audit log."""
    async with local_storage() as storage:
        yield Edits(Settings, home() / "kith.yaml", load_settings(), storage.journal)


@asynccontextmanager
async def local_vault() -> AsyncGenerator[tuple[Vault, Edits]]:
    """The secrets of this home's channels, and its settings file."""
    async with local_storage() as storage:
        yield Vault(storage.records), Edits(Settings, home() / "kith.yaml", load_settings(), storage.journal)


async def rotate_key() -> None:
    """Encrypt everything under a new master key. Raises `Refused` while a server has the data open.

    That it was begun is written down in the old data, and that it was done in the new.
    """
    settings = load_settings().storage
    async with local_storage() as storage:
        await storage.journal.act(Act("key.rotate", "owner", "", "console", detail={"state": "begun"}))
    keys = KeyRing(home() / "keys", settings.path.parent)
    await rotate_storage(settings, keys, keys.rotate())
    keys.promote()
    async with local_storage() as storage:
        await storage.journal.act(Act("key.rotate", "owner", "", "console", detail={"state": "done"}))
