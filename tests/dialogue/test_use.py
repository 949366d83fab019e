"""Who used what, and what it costs; budgets that end what models cost in a day."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, Refused
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.core.turn import Done, Turn
from kith.dialogue.purse import BudgetSettings, Purse
from kith.dialogue.workshop.insight import Insight
from kith.dialogue.workshop.use import Tally
from kith.storage import Storage, StorageSettings, open_storage

from .house import House, Key, Scripted, flows, heard, play, says

NOW = 1_763_712_000.0


async def said(storage: Storage, number: int, channel: str, who: str, at: float, **fields: object) -> None:
    """One turn that was heard and settled."""
    heard = Message(f"m{number}", "user", (Text("hi"),), at)
    await storage.inbox.accept(Envelope(channel, "a", f"k{number}", who, f"of {who}", heard))
    (claim,) = await storage.inbox.claim("w", 1)
    person, conversation = await storage.store.resolve(claim.envelope)
    turn = Turn(claim.id, conversation.id, person.id, at, heard, **fields)
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


class Priced(Scripted):
    """A model with a price."""

    def cards(self) -> Sequence[ModelCard]:
        return (ModelCard("scripted", "chat", "scripted", capabilities=("chat",), cost=1000.0),)


async def ask(purse: Purse, person: str) -> str:
    question = (Message("m", "user", (Text("hi"),), NOW),)
    return "".join([delta.text async for delta in purse.chat(ChatRequest(question, "scripted", person=person))])


def test_a_budget_ends_with_the_day_and_survives_a_restart() -> None:
    async def story() -> None:
        clock = FrozenClock(NOW)
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())

        def purse(**limits: float) -> Purse:
            return Purse(Priced(says("a", "b")), storage.records, clock, BudgetSettings(**limits), "UTC")

        assert await ask(purse(), "ann") == "ab"
        assert await storage.records.all("spent") == {}
        one = purse(person_tokens=13)  # each reply is 12 tokens
        assert [await ask(one, "ann"), await ask(one, "ann"), await ask(one, "bob")] == ["ab"] * 3
        with pytest.raises(Refused, match="budget"):
            await ask(one, "ann")
        with pytest.raises(Refused):
            await ask(purse(person_tokens=13), "ann")  # as after a restart
        assert await ask(purse(person_tokens=13), "bob") == "ab"
        assert not await purse(person_tokens=1).empty("")
        for limits in ({"house_tokens": 48}, {"house_cost": 0.048}, {"person_cost": 0.02}):
            assert await purse(**limits).empty("ann")
        clock.advance(86400)
        assert await ask(one, "ann") == "ab"
        assert len(await storage.records.all("spent")) == 2  # those of the day before are gone
        await storage.close()

    asyncio.run(story())


def test_a_reply_that_is_stopped_counts_too() -> None:
    async def story() -> None:
        clock = FrozenClock(NOW)
        storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
        purse = Purse(Priced(says("a" * 300, "b")), storage.records, clock, BudgetSettings(house_tokens=100), "UTC")
        stream = purse.chat(ChatRequest((), "scripted", person="ann"))
        await anext(stream)
        await stream.aclose()
        assert await purse.empty("")
        await storage.close()

    asyncio.run(story())


@pytest.mark.parametrize("wrong", [-1, "many", 1e400, float("nan"), None, [1]])
def test_budgets_are_numbers(wrong: object) -> None:
    for name in ("person_tokens", "person_cost", "house_tokens", "house_cost"):
        with pytest.raises(ValidationError):
            BudgetSettings.model_validate({name: wrong})


def test_who_spent_it_is_told_and_rules_still_answer() -> None:
    async def scene(house: House) -> None:
        for number, text in enumerate(
            ("Tell me of the sea at night", "Tell me of whales", "说说鲸鱼的故事", "hello"), 1
        ):
            await house.engine.hear(heard(number, text))
            (parcel,) = await house.outbox(1)
            answers.append(parcel.message.text)
        await house.engine.hear(heard(9, "I want to kill myself"))
        answers.append((await house.outbox(1))[0].message.text)
        asked.append(len(house.models.asked))

    answers: list[str] = []
    asked: list[int] = []
    play(scene, says("The sea ", "is dark."), budgets={"person_tokens": 5}, understanding="rules")
    assert answers[0] == "The sea is dark."
    assert "budget" in answers[1]
    assert "预算" in answers[2]
    assert "budget" not in answers[3]
    assert "988" in answers[4]
    assert asked == [1]
