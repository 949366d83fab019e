"""Forms through the whole engine: kept with the conversation, on a frozen clock, with a model that talks in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kith.core.clock import FrozenClock
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.turn import Step
from kith.dialogue import DialogueSettings, Engine, FlowBook, Ports, load_persona
from kith.dialogue.workshop.insight import Insight
from kith.dialogue.workshop.outcomes import talks
from kith.media import Senseless
from kith.runtime.bus import Bus
from kith.runtime.health import Health
from kith.runtime.streams import Streams
from kith.storage import Storage, StorageSettings, open_storage

from .house import Adder, Gate, Key, Script, Scripted, library, says

BOOKING = Path(__file__).parent / "booking.yaml"


class Table:
    """One engine with the booking flow; `say` gives the whole reply."""

    def __init__(self, storage: Storage, clock: FrozenClock, script: Script | None) -> None:
        self.storage, self.clock, self.flows = storage, clock, FlowBook(BOOKING)
        self.bus, self.count = Bus(), 0
        ports = Ports(
            guard=Gate(),
            store=storage.store,
            inbox=storage.inbox,
            senses=Senseless(),
            flows=self.flows,
            knowledge=library(),
            models=Scripted(script),
            tools=Adder(),
            persona=load_persona(),
            settings=DialogueSettings(timezone="UTC"),
            bus=self.bus,
            clock=clock,
            ids=Ids(clock, random.Random(7)),
            records=storage.records,
            people=storage.people,
        )
        self.engine = Engine(ports, Streams(), Health(), "w1")

    async def say(self, text: str, conversation: str = "c") -> str:
        self.count += 1
        message = Message(f"m{self.count}", "user", (Text(text),), self.clock.now())
        envelope = Envelope("test", "a", f"x{self.count}", "ann", conversation, message, deliver=False)
        async with asyncio.timeout(90):
            return "".join([delta.text async for delta in self.engine.reply(envelope)])

    async def standing(self) -> dict[str, Any]:
        (found,) = await self.storage.store.conversations()
        return self.flows.standing(found.state, self.clock.now())


def play(scene: Callable[[Table], Awaitable[None]], script: Script | None = None) -> None:
    async def run() -> None:
        clock = FrozenClock(1_763_712_000.0)
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        table = Table(storage, clock, script)
        await table.engine.start()
        try:
            await scene(table)
        finally:
            await table.engine.stop(grace=0.1)
            await table.bus.close()
            await storage.close()

    asyncio.run(run())


def test_a_form_goes_on_after_free_talk_and_is_kept_with_its_steps() -> None:
    async def scene(table: Table) -> None:
        assert await table.say("book a table for 4") == "Which day?"
        aside = await table.say("how old is the universe?")
        assert aside == "About 13.8 billion years.\n\nBack to your booking: Which day?"
        assert await table.say("tomorrow") == "At what time?"
        standing = await table.standing()
        assert standing["form"]["asking"] == "time"
        assert standing["form"]["slots"] == {"date": "2025-11-22", "guests": "4"}
        assert standing["form"]["missing"] == ["time"]
        assert standing["form"]["closes"] == table.clock.now() + 600
        (conversation,) = await table.storage.store.conversations()
        turns = await table.storage.store.turns(conversation.id)
        assert [turn.path for turn in turns] == [
            (Step("start", "book", "book: date", "asked"),),
            (Step("book: date", "", "book: date", "unknown"),),
            (Step("book: date", "book", "book: time", "asked"),),
        ]
        assert turns[1].spoke[0].text == aside
        (talk,) = talks(turns, table.clock.now() + 9999, 1800)
        assert talk.outcome == "abandoned"

    play(scene, says("About 13.8 ", "billion years."))


def test_a_form_that_waits_for_hours_is_closed_with_a_word() -> None:
    async def scene(table: Table) -> None:
        await table.say("book a table for 4")
        table.clock.advance(9000)
        assert (await table.standing())["form"] is None
        told = await table.say("tomorrow")
        assert told.startswith("(Your booking was closed")
        assert await table.say("我要订座") == "哪一天？"

    play(scene)


def test_conversations_do_not_meet_and_paths_lead_from_them() -> None:
    async def scene(table: Table) -> None:
        for name in ("a", "b"):
            await table.say("i want a shirt", name)
        await table.say("red", "a")
        assert await table.say("large", "a") == "A large red shirt."
        assert await table.say("blue", "b") == "Small or large?"
        table.clock.advance(4000)
        storage = table.storage
        insight = Insight(storage, table.flows, table.clock, 1800)
        found = await insight.outcomes()
        assert (found["done"], found["abandoned"], found["automation"]) == (1, 1, 0.5)
        paths = await insight.paths()
        assert paths["top"] == [{"path": ["size: colour", "size: fit", "size: done"], "count": 1}]
        assert paths["drops"] == [{"node": "size: fit", "count": 1, "share": 0.5}]

    play(scene)
