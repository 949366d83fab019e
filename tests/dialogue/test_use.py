"""Who used what, and what it costs; budgets that end what models cost in a day."""

from __future__ import annotations

import asyncio

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import Invalid
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text, Usage
from kith.core.turn import Done, Turn
from kith.dialogue.insight import Insight
from kith.dialogue.use import Tally
from kith.storage import Storage, StorageSettings, open_storage

from .house import Key, flows

NOW = 1_763_712_000.0


async def said(storage: Storage, number: int, channel: str, who: str, at: float, **fields: object) -> None:
    """One turn that was heard and settled."""
    heard = Message(f"m{number}", "user", (Text("hi"),), at)
    await storage.inbox.accept(Envelope(channel, "a", f"k{number}", who, f"of {who}", heard))
    (claim,) = await storage.inbox.claim("w", 1)
    person, conversation = await storage.store.resolve(claim.envelope)
    turn = Turn(claim.id, conversation.id, person.id, at, heard, **fields)  # type: ignore[arg-type]
    await storage.inbox.settle(claim, Done(turn, {}))


def test_use_is_summed_up_from_the_stored_turns() -> None:
    async def story() -> None:
        clock = FrozenClock(NOW)
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        paid = {"model": "dear", "usage": Usage(1000, 500), "persona": "Ada"}
        await said(storage, 1, "irc", "ann", NOW - 40 * 86400, **paid)
        await said(storage, 2, "irc", "ann", NOW - 60, **paid)
        await said(storage, 3, "irc", "bob", NOW - 50, model="free", usage=Usage(10, 5), fallback=True, persona="Ada")
        await said(storage, 4, "mqtt", "ann", NOW - 40, **paid)
        await said(storage, 5, "mqtt", "cid", NOW - 30)
        insight = Insight(storage, flows(), clock, 1800, {"dear": 2.0})
        models = (await insight.use("model"))["rows"]
        assert [(row["key"], row["turns"], row["prompt"], row["completion"]) for row in models] == [
            ("dear", 2, 2000, 1000),
            ("free", 1, 10, 5),
            ("", 1, 0, 0),
        ]
        assert [(row["cost"], row["fallbacks"]) for row in models] == [(0.006, 0), (0.0, 1), (0.0, 0)]
        channels = {row["key"]: row["turns"] for row in (await insight.use("channel"))["rows"]}
        assert channels == {"irc": 2, "mqtt": 2}
        assert {row["key"]: row["turns"] for row in (await insight.use("persona"))["rows"]} == {"Ada": 3, "": 1}
        assert len((await insight.use("person"))["rows"]) == 4  # the same nick elsewhere is somebody else
        assert sum(row["turns"] for row in (await insight.use("person", 365))["rows"]) == 5
        for wrong in ("", "turns", "PERSON", "person; drop", "\x00", "人" * 5000):
            with pytest.raises(Invalid):
                await insight.use(wrong)
        await storage.close()

    asyncio.run(story())


def test_a_tally_of_nothing_is_empty() -> None:
    assert Tally("model", {}).rows() == []
