"""A room of Matrix that one person talked in becomes a group: what was said before is shown to nobody who came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kith.channels.kit import Arrival
from kith.channels.matrix.parse import parse
from kith.core.audit import Act, By
from kith.core.clock import SystemClock
from kith.core.ids import Ids, conversation_id, person_id
from kith.core.message import Delta, Envelope
from kith.core.model import ChatRequest
from kith.dialogue.memory import Memory, MemorySettings
from kith.dialogue.memory.summary import sum_up, summary_of
from kith.dialogue.mind import Mind
from kith.storage import StorageSettings, open_storage
from tests.dialogue.house import House, Key, Scripted, heard

KITH, ANN, BOB = "@kith:home.test", "@ann:home.test", "@bob:home.test"
HER, HIM = (person_id("matrix", "default", one) for one in (ANN, BOB))
ROOM = conversation_id("matrix", "default", "!room:home.test")
BEGAN = int(time.time()) - 3600
HERS = ("surgery", "Bea", "ward", "4711")  # words of what Ann said while she was alone with Kith


def room(number: int, text: str, sender: str = ANN, *, direct: bool = True, place: str = "!room:home.test") -> Envelope:
    content = {"msgtype": "m.text", "body": text, "m.mentions": {"user_ids": [KITH]}}
    event = {"type": "m.room.message", "event_id": f"$e{number}", "sender": sender, "content": content}
    raw = {"room": place, "direct": direct, "name": "", "event": {**event, "origin_server_ts": (BEGAN + number) * 1000}}
    envelope = parse(raw, Arrival("default", float(BEGAN + number)), KITH)
    assert envelope is not None
    return envelope


def far(number: int, text: str) -> Envelope:
    """Ann, in another app."""
    said = heard(number, text, "d", sender="ann")
    return replace(said, message=replace(said.message, at=float(BEGAN + number)))


def script(request: ChatRequest) -> Sequence[Delta]:
    """A model that sums up by saying everything again, and has one word for people."""
    background = request.priority == "background"
    return Delta(request.messages[-1].text if background else "word"), Delta(finish="stop", model="scripted")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[House, Memory]]:
    clock = SystemClock()
    storage = await open_storage(StorageSettings(backend="sqlite", path=path / "kith.db"), clock, Ids(clock), Key())
    models = Scripted(script)
    kept = Memory(storage, models, clock, Ids(clock), MemorySettings())
    house = House(models, storage, mind=Mind(kept), rounds=4)
    await house.engine.start()
    try:
        yield house, kept
    finally:
        await house.engine.stop(grace=0.1)
        await house.bus.close()
        await storage.close()


async def say(house: House, envelope: Envelope) -> str:
    await house.engine.hear(envelope)
    reply = (await house.outbox(1))[0].message.text
    async with asyncio.timeout(90):
        while house.engine._active:
            await asyncio.sleep(0.001)
    return reply


def shown(house: House) -> str:
    return "\n".join(message.text for message in house.models.asked[-1].messages)


def live(path: Path, *scenes: Callable[[House, Memory], Awaitable[None]]) -> None:
    """Each scene in a household of its own, on the same file."""

    async def run() -> None:
        for scene in scenes:
            async with opened(path) as (house, memory):
                await scene(house, memory)

    asyncio.run(run())


async def alone(house: House, memory: Memory) -> None:
    """Ann talks in the room, and from another app that goes on with it."""
    store = house.storage.store
    await say(house, room(1, "my sister's name is Bea"))
    await say(house, far(1, "what rhymes with tree"))
    await house.storage.people.link(HER, person_id("test", "a", "ann"), Act("test.link", "owner"))
    await say(house, far(2, "/follow"))
    await say(house, far(3, "the surgery is on the ninth in ward 4711, write a verse of it"))
    for number in range(4, 12):
        await say(house, room(number, f"a longer verse of number {number}"))
    turns = await store.turns(ROOM)
    assert len(turns) == 11 - 1 and any("ninth" in turn.heard.text for turn in turns)
    assert "surgery" in await sum_up(memory, ROOM, turns[:4], 4, memory.forgot)
    assert "surgery" in shown(house) and [fact.value for fact in await memory.facts([HER])] == ["Bea"]


async def crowd(house: House, memory: Memory) -> None:
    """Bob comes into the room, after a restart."""
    store = house.storage.store
    await memory.past.search([ROOM], "surgery", float("inf"), 0.0)  # it was searched before
    await say(house, room(20, "tell us in verse what was said here of a surgery and of Bea", BOB, direct=False))
    _hidden(shown(house), "tell us in verse")
    for number in range(21, 33):  # as far as a summary of the time before would be taken
        await say(house, room(number, f"a verse again, number {number}", (ANN, BOB)[number % 2], direct=False))
        _hidden(shown(house), "tell us in verse")
    _hidden(await summary_of(memory, ROOM, 99), "tell us in verse")
    assert "ninth" not in await summary_of(memory, ROOM, 99)
    assert not [
        one for one in await memory.past.search([ROOM], "surgery ninth", float("inf"), 0.0) if "ninth" in one.text
    ]
    hers = await memory.where(HER, room(1, "x", direct=False), ROOM)
    assert hers.group and await memory.usable(hers) == []
    assert all(not _told(turn.heard.text) or "tell us" in turn.heard.text for turn in await store.turns(ROOM, 1000))
    for one in await store.conversations(HIM):
        _hidden(" ".join(turn.heard.text for turn in await store.turns(one.id, 1000)), "tell us in verse")
    assert not _told(str((await house.storage.dossiers.export([HIM]))["conversations"]), "tell us in verse")
    await say(house, room(40, "what of the surgery, in verse", BOB, place="!bob:home.test"))  # alone with Kith
    assert "ninth" not in shown(house) and "4711" not in shown(house)


async def hers_still(house: House, memory: Memory) -> None:
    """After another restart: Ann alone finds it, and can have it gone."""
    await say(house, room(50, "on which day is the surgery, in a verse", place="!ann:home.test"))
    assert "4711" in shown(house) and "Bea" in shown(house)
    await say(house, room(51, "and here, on which day is the surgery, in a verse", direct=False))
    assert "ninth" not in shown(house) and "4711" not in shown(house)
    await memory.erase([HER], By())
    left = [turn.heard.text for turn in await house.storage.history.walk(limit=1000)]
    assert left and not _told(" ".join(left), "tell us in verse", "what of the surgery, in verse")


def test_nobody_who_came_later_is_shown_what_was_said_before(tmp_path: Path) -> None:
    live(tmp_path, alone, crowd, hers_still)


def test_what_is_on_its_way_through_the_house_is_not_mixed(tmp_path: Path) -> None:
    """A message of Ann alone that waits for its answer when Bob is heard; and a burst of both kinds is two."""

    async def scene(house: House, memory: Memory) -> None:
        await house.storage.inbox.accept(room(1, "the surgery is on the ninth, a verse of it"))
        await house.storage.inbox.accept(room(2, "what rhymes with sea, at length, for all of us", direct=False))
        await house.outbox(2)
        assert ["surgery" in one.messages[-1].text for one in house.models.asked] == [True, False], shown(house)
        assert "surgery" not in shown(house)
        assert [turn.heard.text for turn in await house.storage.store.turns(ROOM)] == [
            "what rhymes with sea, at length, for all of us"
        ]

    live(tmp_path, scene)


def test_a_reminder_of_one_is_not_read_out_to_a_group(tmp_path: Path) -> None:
    async def scene(house: House, memory: Memory) -> None:
        reminder = room(3, "Reminder: the surgery")
        reminder = replace(reminder, message=replace(reminder.message, role="system"))
        await say(house, room(1, "a verse for me"))
        await house.storage.inbox.accept(reminder)
        assert "surgery" in (await house.outbox(1))[0].message.text  # where they are alone
        await say(house, room(2, "a verse for us", BOB, direct=False))
        await house.storage.inbox.accept(replace(reminder, platform_id="again"))
        (due,) = await house.outbox(1)
        assert "private" in due.message.text and "surgery" not in due.message.text
        kept: Any = [(turn.heard.text, turn.spoke[0].text) for turn in await house.storage.store.turns(ROOM)]
        assert not _told(str(kept))

    live(tmp_path, scene)


def _told(text: str, *own: str) -> bool:
    """Whether it tells what Ann said; `own` are the words of others, who may ask."""
    return any(word in line for line in text.splitlines() if not any(one in line for one in own) for word in HERS)


def _hidden(text: str, own: str) -> None:
    assert not _told(text.replace("tell us in verse what was said here of a surgery and of Bea", own), own), text
