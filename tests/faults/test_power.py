"""A power cut at any write or sync: what was acknowledged is there afterwards, whatever became of the rest."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from kith.core.clock import SystemClock
from kith.core.errors import KithError
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Claim, Done, Sent, Turn
from kith.security import KeyRing
from kith.storage import Storage, StorageSettings, open_storage
from kith.storage.ledger import sql
from tests.faults.disk import installed

_CUTS = 24


def key(folder: Path) -> KeyRing:
    return KeyRing(folder.parent / "keys", data=folder, environment={"KITH_KEY": "11" * 32})


async def start(folder: Path) -> Storage:
    clock = SystemClock()
    return await open_storage(StorageSettings(path=folder / "kith.db"), clock, Ids(clock), key(folder))


def envelope(name: str, room: str) -> Envelope:
    return Envelope("x", "local", name, "s", room, Message(f"m{name}", "user", (Text("word " * 60),), 0.0))


def done(claim: Claim) -> Done:
    said = Message(f"r{claim.id}", "assistant", (Text("yes " * 60),), 0.0)
    turn = Turn(claim.id, claim.conversation, "p", 0.0, claim.envelope.message, (said,))
    return Done(turn, {}, (Parcel(said.id, 0, claim.conversation, "x", "local", "room", said),))


async def traffic(storage: Storage, promised: dict[str, str]) -> None:
    """Four messages come, are answered, and the answers go; `promised` says what was confirmed for each."""
    names = [f"{len(promised)}-{room}" for room in range(4)]
    await asyncio.gather(*(storage.inbox.accept(envelope(name, f"room{name[-1]}")) for name in names))
    promised.update(dict.fromkeys(names, "accepted"))
    claims = await storage.inbox.claim("w", 8)
    await asyncio.gather(*(storage.inbox.settle(claim, done(claim)) for claim in claims))
    promised.update((claim.envelope.platform_id, "answered") for claim in claims)
    for parcel in await storage.outbox.take("w", 8):
        await storage.outbox.settle(parcel, Sent())


async def look(folder: Path) -> tuple[int, int, str]:
    """Messages, turns, and SQLite's own opinion of a folder that was left by a power cut."""
    storage = await start(folder)

    def ask() -> object:
        heard = yield sql("SELECT count(*) FROM inbox")
        turns = yield sql("SELECT count(*) FROM turns JOIN inbox ON inbox.id = turns.id AND inbox.state = 1")
        opinion = yield sql("PRAGMA integrity_check")
        return int(heard[0][0]), int(turns[0][0]), str(opinion[0][0])

    try:
        return await storage._desk.driver.read(ask)
    finally:
        await storage.close()


def cut(tmp_path: Path, seed: int, *, lying: bool) -> list[tuple[Path, int, int]]:
    """Images of power cuts, each with how many messages were acknowledged, and how many answers confirmed, by then."""
    rng = random.Random(seed)
    folder = tmp_path / "data"
    promised: dict[str, str] = {}
    images: list[tuple[Path, int, int]] = []
    instants = sorted(rng.sample(range(60, 1200), _CUTS))

    with installed() as disk:

        def each() -> None:
            if len(images) < _CUTS and disk.passes >= instants[len(images)]:
                kept = list(dict(promised).values())
                target = tmp_path / f"cut{len(images)}" / "data"
                disk.image(folder, target, rng)
                images.append((target, len(kept), kept.count("answered")))

        async def story() -> None:
            storage = await start(folder)
            disk.lying = lying
            disk.each = each
            while len(images) < _CUTS:
                await traffic(storage, promised)
            disk.each = None
            disk.lying = False
            await storage.close()

        asyncio.run(story())
    return images


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, seed: int) -> None:
    for folder, acknowledged, answered in cut(tmp_path, seed, lying=False):
        heard, turns, opinion = asyncio.run(look(folder))
        assert opinion == "ok"
        assert heard >= acknowledged
        assert turns >= answered


def test_a_disk_that_lies_about_syncs_loses_the_end_and_is_found_out_where_it_did_harm(tmp_path: Path) -> None:
    """No program can keep what the disk does not; but Kith starts with an earlier state, or says what is wrong."""
    lost = 0
    for folder, acknowledged, _ in cut(tmp_path, 3, lying=True):
        try:
            heard, _, opinion = asyncio.run(look(folder))
        except KithError as error:
            assert error.code in ("damaged", "disk_error")
            assert error.hint
        else:
            lost += heard < acknowledged
            assert opinion == "ok"
    assert lost > 0
