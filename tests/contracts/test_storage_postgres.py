"""What only a server has: values sealed one by one, a key to be changed, a connection that breaks."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, KithError, Refused
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Done, Later, Sent, Turn
from kith.storage import Storage, StorageSettings, open_storage, rotate_storage

from .conftest import Key

pytestmark = pytest.mark.server

CANARY = "canary-4711"


@pytest.fixture
def settings(dsn: str) -> StorageSettings:
    return StorageSettings(backend="postgres", dsn=dsn, pool=3)


async def start(settings: StorageSettings, master: bytes = b"k", spare: bytes = b"") -> Storage:
    clock = FrozenClock()
    return await open_storage(settings, clock, Ids(clock), Key(master), Key(spare) if spare else None)


async def live(storage: Storage) -> None:
    said = Message("m_1", "user", (Text(f"heard {CANARY}"),), 1.0)
    await storage.inbox.accept(Envelope("loopback", CANARY, CANARY, CANARY, CANARY, said, sender_name=CANARY))
    for outcome in ("later", "done"):
        (claim,) = await storage.inbox.claim("w", 1)
        await storage.store.resolve(claim.envelope)
        if outcome == "later":
            await storage.inbox.settle(claim, Later(0, CANARY))
    parcel = Parcel("o_1", 0, claim.conversation, "loopback", CANARY, CANARY, said)
    turn = Turn("t_1", claim.conversation, "p", 2.0, said, (said,))
    await storage.inbox.settle(claim, Done(turn, {CANARY: CANARY}, (parcel,)))
    (taken,) = await storage.outbox.take("s", 1)
    await storage.outbox.settle(taken, Later(0, CANARY))
    (taken,) = await storage.outbox.take("s", 1)
    await storage.outbox.settle(taken, Sent(CANARY))
    await storage.records.put("note", CANARY, {CANARY: CANARY})


async def check(storage: Storage) -> None:
    assert (await storage.records.all("note")) == {CANARY: {CANARY: CANARY}}
    (conversation,) = await storage.store.conversations()
    assert conversation.state == {CANARY: CANARY}
    assert (await storage.store.turns(conversation.id))[0].heard.text == f"heard {CANARY}"
    (parcel,) = await storage.outbox.find("sent")
    assert parcel.account == CANARY


def test_the_server_sees_nothing_in_clear(server: Any, settings: StorageSettings) -> None:
    async def story() -> None:
        storage = await start(settings)
        await live(storage)
        await check(storage)
        await storage.close()

    asyncio.run(story())
    found = subprocess.run(["grep", "-rlaF", CANARY, str(server.pgdata)], capture_output=True, text=True, check=False)
    assert found.returncode == 1, found.stdout


def test_the_key_is_checked_and_can_be_changed(settings: StorageSettings) -> None:
    async def story() -> None:
        storage = await start(settings)
        await live(storage)
        with pytest.raises(Refused) as caught:
            await rotate_storage(settings, Key(), Key(b"new"))
        assert caught.value.code == "in_use"
        await storage.close()
        for work in (start(settings, b"other"), rotate_storage(settings, Key(b"other"), Key(b"new"))):
            with pytest.raises(Refused) as caught:
                await work
            assert caught.value.code == "wrong_key"
        await rotate_storage(settings, Key(), Key(b"new"))
        for master, spare in ((b"new", b""), (b"k", b"new")):
            storage = await start(settings, master, spare)
            assert storage.spare_used == bool(spare)
            await check(storage)
            await storage.close()
        with pytest.raises(Refused):
            await start(settings)

    asyncio.run(story())


def test_connections_that_break_are_replaced(server: Any, settings: StorageSettings) -> None:
    async def story() -> None:
        storage = await start(settings)
        await live(storage)
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        failures = 0
        for _ in range(20):
            try:
                await check(storage)
                break
            except KithError as error:
                assert error.code == "database_down"
                failures += 1
        assert failures < 20
        await storage.upkeep()
        await storage.close()

    asyncio.run(story())


def test_an_address_that_leads_nowhere_is_told(settings: StorageSettings) -> None:
    secret = "hunter2"
    for dsn, kind in (
        ("", Invalid),
        ("no address", KithError),
        (f"postgresql://me:{secret}@127.0.0.1:1/x", KithError),
        (f"{settings.dsn.replace('postgres:@', 'nobody:@')}", KithError),
    ):
        with pytest.raises(kind) as caught:
            asyncio.run(start(settings.model_copy(update={"dsn": dsn})))
        assert secret not in str(caught.value) + caught.value.hint
        assert secret not in repr(settings.model_copy(update={"dsn": dsn}))


def test_two_first_starts_at_once(settings: StorageSettings) -> None:
    async def story() -> None:
        storages = await asyncio.gather(*(start(settings) for _ in range(4)))
        await storages[0].records.put("a", "b", {"n": 1})
        for storage in storages:
            assert await storage.records.get("a", "b") == {"n": 1}
            await storage.close()

    asyncio.run(story())
