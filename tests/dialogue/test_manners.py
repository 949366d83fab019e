"""Bursts are answered once; a new message waits, changes the reply that is being made, or stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kith.core.errors import KithError
from kith.core.ids import conversation_id
from kith.core.message import Delta
from kith.core.model import ChatRequest
from kith.core.turn import Claim, Done, Turn
from kith.dialogue.bursts import joined
from tests.dialogue.house import House, heard, play, says

STEER = {"manners": {"interjection": "steer"}}


def last(house: House) -> str:
    return house.models.asked[-1].messages[-1].text


def held(house: House) -> asyncio.Event:
    """Bursts pause until this is set, however long a test takes."""
    go = asyncio.Event()

    async def sleep(_: float) -> None:
        await go.wait()

    house.engine._ports.clock.sleep = sleep
    return go


def test_a_burst_is_answered_once() -> None:
    async def scene(house: House) -> None:
        go = held(house)
        for number, text in enumerate(("can you", "tell me what rhymes", "with tree")):
            await house.engine.hear(heard(number, text))
        go.set()
        parcel = (await house.outbox(1))[0]
        assert parcel.message.text == "free"
        assert parcel.reply_to == "c-2"
        assert last(house) == "can you\ntell me what rhymes\nwith tree"
        assert len(house.models.asked) == 1
        turns = await house.storage.store.turns(parcel.conversation)
        assert [turn.heard.text for turn in turns] == ["can you\ntell me what rhymes\nwith tree"]
        assert not await house.storage.inbox.claim("w2", 10)

    play(scene, says("free"), manners={"debounce": 1.0})


def test_others_and_those_who_wait_are_answered_apart() -> None:
    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, "what rhymes with tree", kind="group"))
        await house.engine.hear(heard(2, "and with sea", sender="bob", kind="group"))
        await house.engine.hear(heard(3, "and with me", deliver=False, kind="group"))
        await house.engine.hear(heard(4, "and with bee", kind="group"))
        parcels = await house.outbox(3)
        assert [parcel.reply_to for parcel in parcels] == ["c-1", "c-2", "c-4"]

    play(scene, says("free"), manners={"debounce": 0.02})


@pytest.mark.parametrize(
    ("pause", "asked", "replies"), [(9.0, None, ["c-2"]), (0.0, None, ["c-1", "c-2"]), (9.0, 0, ["c-1", "c-2"])]
)
def test_the_place_says_how_long_a_burst_pauses_unless_the_settings_do(
    pause: float, asked: float | None, replies: list[str]
) -> None:
    async def scene(house: House) -> None:
        go = held(house)
        for number, text in enumerate(("tell me what rhymes", "with tree"), 1):
            await house.engine.hear(heard(number, text, pause=pause))
        go.set()
        assert [parcel.reply_to for parcel in await house.outbox(len(replies))] == replies

    play(scene, says("free"), manners={} if asked is None else {"debounce": asked})


@pytest.mark.parametrize(
    "burst",
    [
        ("提醒我八点吃药", "提醒我九点睡觉"),
        ("remind me at 8 to call Tom", "remember that I like tea"),
        ("continue here", "what time is it?"),
        ("yes", "no"),
    ],
)
def test_what_a_rule_understands_is_answered_by_itself(burst: tuple[str, str]) -> None:
    async def scene(house: House) -> None:
        for number, text in enumerate(burst, 1):
            await house.engine.hear(heard(number, text, pause=9.0))
        assert [parcel.reply_to for parcel in await house.outbox(2)] == ["c-1", "c-2"]

    play(scene, says("free"))


def test_what_is_taken_back_while_a_burst_pauses_is_not_answered_and_the_rest_is() -> None:
    async def scene(house: House) -> None:
        go = held(house)
        first = await house.engine.hear(heard(1, "what rimes with tree", pause=9.0))
        async with asyncio.timeout(90):
            while not ((work := house.engine._active.get(first.id)) and work.gathering):
                await asyncio.sleep(0)
        await house.engine.hear(heard(2, "and with sea", pause=9.0))
        house.engine.cancel(first.id)
        await house.engine.hear(heard(3, "what rhymes with tree", pause=9.0, edits="c-1"))
        go.set()
        assert [parcel.reply_to for parcel in await house.outbox(2)] == ["c-2", "c-3"]
        turns = await house.storage.store.turns(conversation_id("test", "a", "c"))
        assert [bool(turn.spoke) for turn in turns] == [False, True, True]

    play(scene, says("free"))


class Slow:
    """A model that waits for `go` before its first reply's second word."""

    def __init__(self) -> None:
        self.go, self.begun, self.calls = asyncio.Event(), asyncio.Event(), 0

    def __call__(self, request: ChatRequest) -> Sequence[Delta | KithError | asyncio.Event]:
        self.calls += 1
        self.begun.set()
        end = Delta(finish="stop", model="scripted")
        return (Delta("one "), self.go, Delta("two"), end) if self.calls == 1 else (Delta("new"), end)


def test_a_new_message_changes_the_reply() -> None:
    slow = Slow()

    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, "what rhymes with tree"))
        await slow.begun.wait()
        await house.engine.hear(heard(2, "no, with sea"))
        parcel = (await house.outbox(1))[0]
        assert parcel.message.text == "new"
        assert last(house) == "what rhymes with tree\nno, with sea"
        turns = await house.storage.store.turns(parcel.conversation)
        assert len(turns) == 1
        assert not await house.storage.inbox.claim("w2", 10)

    play(scene, slow, **STEER)


def test_a_new_message_stops_the_reply() -> None:
    slow = Slow()

    async def scene(house: House) -> None:
        shown = house.streams.subscribe(conversation_id("test", "a", "c"))
        await house.engine.hear(heard(1, "what rhymes with tree"))
        async with asyncio.timeout(90):
            while (await anext(shown)).kind != "delta":
                pass
        await house.engine.hear(heard(2, "and what with sea"))
        parcels = await house.outbox(2)
        assert [parcel.message.text.strip() for parcel in parcels] == ["one", "new"]

    play(scene, slow, manners={"interjection": "interrupt"})


def test_a_new_message_waits_its_turn() -> None:
    slow = Slow()

    async def scene(house: House) -> None:
        await house.engine.hear(heard(1, "what rhymes with tree"))
        await slow.begun.wait()
        await house.engine.hear(heard(2, "and what with sea"))
        slow.go.set()
        parcels = await house.outbox(2)
        assert [parcel.message.text for parcel in parcels] == ["one two", "new"]

    play(scene, slow)


def test_many_changes_end_in_one_reply_with_everything() -> None:
    async def scene(house: House) -> None:
        for number in range(30):
            await house.engine.hear(heard(number, f"word{number}"))
            await asyncio.sleep(0)
        seen: list[str] = []
        async with asyncio.timeout(90):
            while sum(text.count("word") for text in seen) < 30:
                await asyncio.sleep(0.01)
                turns = await house.storage.store.turns(conversation_id("test", "a", "c"), 100)
                seen = [turn.heard.text for turn in turns]
        words = [word for text in seen for word in text.split()]
        assert words == [f"word{number}" for number in range(30)]

    play(scene, says("x"), **STEER)


@pytest.mark.parametrize("count", [0, 3])
def test_what_is_joined_is_settled_with_the_turn(count: int) -> None:
    """Killed before the commit, nothing of it is settled; after it, everything is."""

    async def scene(house: House) -> None:
        inbox = house.storage.inbox
        await house.engine.stop(grace=0.0)
        for number in range(4):
            await inbox.accept(heard(number, f"m{number}"))
        claim: Claim = (await inbox.claim("w2", 1))[0]
        claim = await inbox.renew(claim)
        assert [envelope.message.text for _, envelope in claim.following] == ["m1", "m2", "m3"]
        envelope, names = joined(replace(claim, following=claim.following[:count]))
        assert envelope.message.text == "\n".join(f"m{number}" for number in range(count + 1))
        turn = Turn(claim.id, claim.conversation, "", 0.0, envelope.message)
        await inbox.settle(claim, Done(turn, {}, (), names))
        left = await inbox.claim("w3", 10)
        assert [one.envelope.message.text for one in left] == ([] if count == 3 else ["m1"])

    play(scene)


def test_a_turn_that_is_stopped_before_it_began_ends_in_silence() -> None:
    """Its lease is given back at once, and what comes next is answered."""

    async def scene(house: House) -> None:
        accepted = await house.engine.hear(heard(1, "what rhymes with tree"))
        async with asyncio.timeout(90):
            while accepted.id not in house.engine._active:
                await asyncio.sleep(0)
        house.engine.cancel(accepted.id)
        await house.engine.hear(heard(2, "what rhymes with sea"))
        parcel = (await house.outbox(1))[0]
        assert parcel.reply_to == "c-2"
        turns = await house.storage.store.turns(parcel.conversation)
        assert [bool(turn.spoke) for turn in turns] == [False, True]

    play(scene, says("free"))
