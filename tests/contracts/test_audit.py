"""The audit log on every backend: both or neither, in a chain that shows what was touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import apsw
import pytest

from kith.core.audit import Act, Change
from kith.core.clock import FrozenClock
from kith.core.errors import Refused
from kith.core.ids import Ids
from kith.storage import Storage, StorageSettings
from kith.storage.memory.database import open_database


class NoKey:
    def key(self, purpose: str) -> bytes:
        return b"k" * 32


def run(story: Callable[[Storage, apsw.Connection], Coroutine[Any, Any, None]]) -> None:
    async def tell() -> None:
        clock, connection = FrozenClock(), apsw.Connection(":memory:")
        storage = await open_database(StorageSettings(), clock, Ids(clock), NoKey(), connection=connection)
        try:
            await story(storage, connection)
        finally:
            await storage.close()
            connection.close()

    asyncio.run(tell())


async def verdict(storage: Storage, step: int = 2) -> tuple[int, str]:
    last, fault = await storage.journal.verify(0, step)
    while not fault:
        following, fault = await storage.journal.verify(last, step)
        if following == last:
            break
        last = following
    return last, fault


def test_an_act_and_its_changes_are_one() -> None:
    async def story(storage: Storage, _: apsw.Connection) -> None:
        first = await storage.journal.act(Act("token.new", "owner", "t_1"), [Change("token", "a", {"x": 1}, "absent")])
        assert first.number == 1 and (await storage.records.get("token", "a")) == {"x": 1}
        for change in (Change("token", "a", {}, "absent"), Change("token", "b", None, "present")):
            with pytest.raises(Refused) as caught:
                await storage.journal.act(Act("token.new", "eve"), [Change("token", "c", {}), change])
            assert caught.value.code == "changed_meanwhile"
        assert await storage.records.get("token", "c") is None
        taken = Act("token.revoke", "owner", "t_1", "127.0.0.1", "done", {"名": "电话"})
        await storage.journal.act(taken, [Change("token", "a", None, "present")])
        assert await storage.records.get("token", "a") is None
        entries = await storage.journal.entries()
        assert [entry.act.name for entry in entries] == ["token.new", "token.revoke"]
        assert entries[1].act == taken
        assert [entry.number for entry in await storage.journal.entries(1)] == [2]
        assert await verdict(storage) == (2, "")

    run(story)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6])
def test_an_untouched_log_is_good(count: int) -> None:
    async def story(storage: Storage, _: apsw.Connection) -> None:
        await asyncio.gather(*(storage.journal.act(Act("a.b", str(n))) for n in range(count)))
        assert await verdict(storage) == (count, "")

    run(story)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM audit WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE seq = 1", "entry 1 is missing"),
        ("DELETE FROM audit WHERE seq > 3", "the log ends at entry 3"),
        ("DELETE FROM audit", "the log ends at entry 0"),
        (
            "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'eve', 'bob') AS BLOB) WHERE seq = 4",
            "entry 4 was changed",
        ),
        ("UPDATE audit SET body = CAST(body AS TEXT) WHERE seq = 4", "entry 4 cannot be read"),
        ("UPDATE audit SET mark = zeroblob(16) WHERE seq = 2", "entry 2 was changed"),
        ("UPDATE audit SET body = x'ff' WHERE seq = 2", "entry 2 cannot be read"),
        ("UPDATE audit SET seq = 9 WHERE seq = 5", "entry 5 is missing"),
    ],
)
def test_whatever_is_touched_shows(damage: str, found: str) -> None:
    async def story(storage: Storage, connection: apsw.Connection) -> None:
        for _ in range(5):
            await storage.journal.act(Act("a.b", "eve"))
        connection.execute(damage)
        assert (await verdict(storage))[1].startswith(found)

    run(story)


def test_a_cleverly_forged_entry_shows_because_its_seal_needs_the_key() -> None:
    async def story(storage: Storage, connection: apsw.Connection) -> None:
        await storage.journal.act(Act("a.b", "eve"))
        (whole,) = await storage.journal.entries()
        mark = connection.execute("SELECT mark FROM audit").fetchall()[0][0]
        connection.execute("DELETE FROM audit")
        connection.execute("UPDATE meta SET value = '0' WHERE name = 'audit'")
        await storage.journal.act(Act("a.b", "bob"))  # what a forger would reckon, hash and head included
        connection.execute("UPDATE audit SET mark = ?", (mark,))
        assert (await storage.journal.entries())[0].hash != whole.hash
        assert (await verdict(storage))[1] == "entry 1 was changed"

    run(story)


def test_the_table_comes_and_goes_by_migration() -> None:
    async def story(storage: Storage, connection: apsw.Connection) -> None:
        await storage.journal.act(Act("a.b", "eve"))
        await storage.migrate(1)
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name = 'audit'").fetchall()
        await storage.migrate(2)
        assert await verdict(storage) == (0, "")

    run(story)
