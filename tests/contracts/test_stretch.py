"""What every storage backend promises about a room that becomes a group, or goes over to somebody else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from kith.core.audit import Act
from kith.core.ids import conversation_id, person_id
from kith.core.memory import Fact
from kith.core.message import Envelope, Message, Text
from kith.core.people import Conversation, Person
from kith.core.turn import Claim, Dead, Done, Sent
from kith.storage import Storage
from kith.storage.ledger import stretch
from kith.storage.ledger.schema import put
from kith.storage.ledger.steps import Op, sql

from .conftest import World
from .test_storage import Tell, done, envelope, refused

ROOM = conversation_id("loopback", "me", "room")
ANN, BOB = person_id("loopback", "me", "ann"), person_id("loopback", "me", "bob")
BY = Act("test.act", "owner")


def said(key: str, who: str, kind: str = "direct", **changes: Any) -> Envelope:
    return replace(envelope(key, who, f"word {key}"), conversation="room", kind=kind, **changes)


async def met(storage: Storage, letter: Envelope) -> tuple[Claim, Person, Conversation]:
    await storage.inbox.accept(letter)
    claim = next(one for one in await storage.inbox.claim("w", 9) if one.envelope.platform_id == letter.platform_id)
    person, conversation = await storage.store.resolve(claim.envelope, claim.conversation)
    return claim, person, conversation


def ended(claim: Claim, person: Person, conversation: Conversation) -> Done:
    told = done(claim)
    parcels = tuple(replace(one, id=one.message.id) for one in told.parcels)
    return replace(told, turn=replace(told.turn, person=person.id, conversation=conversation.id), parcels=parcels)


async def turn(storage: Storage, letter: Envelope) -> Conversation:
    claim, person, conversation = await met(storage, letter)
    await storage.inbox.settle(claim, ended(claim, person, conversation))
    return conversation


async def words(storage: Storage, conversation: str) -> list[str]:
    found = await storage.store.turns(conversation)
    assert {one.conversation for one in found} <= {conversation}
    return [one.heard.text for one in found]


async def past(storage: Storage, person: str) -> list[Conversation]:
    return [one for one in await storage.store.conversations(person) if one.id != ROOM]


def test_what_was_said_to_one_stays_with_them_when_a_room_becomes_a_group(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for key in ("1", "2"):
            await turn(storage, said(key, "ann"))
        await storage.records.put("summary", ROOM, {"versions": {"2": "word 1"}})
        fact = Fact("f_1", ANN, "home", "lives here", "here", "home", 1.0, conversation=ROOM, turn="none")
        await storage.facts.keep([fact])
        last = (await storage.store.turns(ROOM))[-1]

        group = await turn(storage, said("3", "bob", "group"))
        assert (group.kind, group.members, dict(group.state)) == ("group", (BOB,), {})
        assert await words(storage, ROOM) == ["word 3"]
        (hers,) = await past(storage, ANN)
        assert (hers.kind, hers.members, hers.channel, dict(hers.state)["state"]) == (
            "direct", (ANN,), "loopback", "greeted",
        )  # fmt: skip
        assert await words(storage, hers.id) == ["word 1", "word 2"] and not await past(storage, BOB)
        assert (await storage.history.turn(last.id)).conversation == hers.id
        assert {one.conversation for one in await storage.history.walk()} == {hers.id, ROOM}
        await refused(storage.store.turns(ROOM, after=last.id), "not_found")
        assert await storage.records.get("summary", ROOM) is None
        assert await storage.records.get("summary", hers.id) == {"versions": {"2": "word 1"}}
        late = replace(fact, id="f_2", turn=last.id)  # noticed by a model when the room was a group already
        await storage.facts.keep([late])
        assert {one.conversation for one in await storage.facts.facts([ANN])} == {hers.id}

        await world.crash(storage)
        storage = await world.open()
        assert await words(storage, ROOM) == ["word 3"]
        again = await turn(storage, said("4", "ann", "group"))
        assert set(again.members) == {ANN, BOB} and await words(storage, ROOM) == ["word 3", "word 4"]
        assert [one.id for one in await past(storage, ANN)] == [hers.id]

        told = await storage.dossiers.export([ANN])
        assert {one["id"]: len(one["turns"]) for one in told["conversations"]} == {hers.id: 2, ROOM: 1}
        assert next(one for one in told["conversations"] if one["id"] == hers.id)["room"] == ROOM
        await storage.dossiers.erase([ANN], BY)
        assert [one.heard.text for one in await storage.history.walk()] == ["word 3"]
        assert await storage.records.get("summary", hers.id) is None

    tell(story)


def test_a_group_of_which_one_is_left_and_one_who_takes_over_begin_anew(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await turn(storage, said("1", "ann", "group"))
        await turn(storage, said("2", "bob", "group"))
        alone = await turn(storage, said("3", "bob"))
        assert (alone.kind, alone.members) == ("direct", (BOB,)) and await words(storage, ROOM) == ["word 3"]
        (before,) = await past(storage, ANN)
        assert before.kind == "group" and set(before.members) == {ANN, BOB}
        await turn(storage, said("4", "eve"))  # the platform says that it is the talk of one
        assert await words(storage, ROOM) == ["word 4"]
        assert sorted([await words(storage, one.id) for one in await past(storage, BOB)]) == [
            ["word 1", "word 2"],
            ["word 3"],
        ]

    tell(story)


def test_a_reaction_and_the_house_itself_do_not_say_what_a_room_is(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await turn(storage, said("1", "ann"))
        for letter in (said("2", "ann", "group", reaction="👍"), said("3", "ann", "group", edits="1")):
            assert (await turn(storage, letter)).kind == "direct"
        await turn(storage, said("4", "bob", "group"))
        reminder = said("5", "ann")
        due = await turn(storage, replace(reminder, message=replace(reminder.message, role="system")))
        assert due.kind == "group" and await words(storage, ROOM) == ["word 4", "word 5"]
        await turn(storage, said("6", "eve", "group", reaction="👍"))
        assert await words(storage, ROOM) == ["word 4", "word 5", "word 6"]

    tell(story)


def test_a_reply_to_one_that_still_waits_is_not_said_to_those_who_came(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for key in ("1", "2"):
            await turn(storage, said(key, "ann"))
        (first,) = await storage.outbox.take("w", 9)
        await storage.inbox.accept(said("dead", "ann"))
        (claim,) = await storage.inbox.claim("w", 9)
        await storage.inbox.settle(claim, Dead("never"))
        await turn(storage, said("3", "bob", "group"))
        await storage.outbox.settle(first, Sent())  # it was on its way
        (third,) = await storage.outbox.take("w", 9)
        assert third.message.id.startswith("r_") and third.conversation == ROOM
        (aside,) = await storage.outbox.find("stale")
        assert "group" in aside.error and {first.id, third.id}.isdisjoint({aside.id})
        await storage.outbox.settle(third, Sent())
        await storage.outbox.decide(aside.id, "retry")  # a person's word
        (retried,) = await storage.outbox.take("w", 9)
        assert retried.id == aside.id
        await storage.outbox.settle(retried, Sent())

        (hers,) = await past(storage, ANN)
        dead = next(one for one in (await storage.dossiers.export([ANN]))["conversations"] if one["id"] == hers.id)
        assert [one["platform_id"] for one in dead["waiting"]] == ["dead"]
        await storage.dossiers.erase([ANN], BY)
        assert await storage.inbox.dead() == ()
        rows = await storage._engine.read(partial(_all, "SELECT id FROM outbox"))
        assert [row[0] for row in rows] == [third.id]

    tell(story)


def _all(text: str) -> Op[Any]:
    return (yield sql(text))


def _mixed(body: bytes) -> Op[None]:
    """As a house from before left it: one conversation, said to be of one person, in which two were heard."""
    yield from put("stretches", "")
    yield sql("UPDATE conversations SET body = $1 WHERE id = $2", body, ROOM)


def test_a_house_from_before_is_mended_when_it_is_opened(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        for key, who in (("1", "ann"), ("2", "bob"), ("3", "ann")):
            await turn(storage, said(key, who, "group"))
        first = (await storage.store.turns(ROOM))[0]
        await storage.records.put("summary", ROOM, {"versions": {"2": "word 1"}})
        told = Fact("f_1", ANN, "home", "lives here", "here", "home", 1.0, conversation=ROOM, turn=first.id)
        shared = replace(told, id="f_2", topic="work", turn=(await storage.store.turns(ROOM))[2].id)
        await storage.facts.keep([told, shared])
        codec = storage._desk.codec
        (row,) = await storage._engine.read(partial(_all, "SELECT body FROM conversations"))
        body = codec.document({**codec.mapping(row[0]), "kind": "direct"})
        await storage._engine.write(partial(_mixed, body))
        await storage.close()
        world._opened.remove(storage) if world.settings.backend != "memory" else None

        storage = await world.open()
        group = await storage.store.conversation(ROOM)
        assert group.kind == "group" and set(group.members) == {ANN, BOB} and group.state["rounds"] == 2
        assert await words(storage, ROOM) == ["word 2", "word 3"]
        (hers,) = await past(storage, ANN)
        assert (hers.kind, hers.members, hers.state["rounds"]) == ("direct", (ANN,), 1) and not await past(storage, BOB)
        assert await words(storage, hers.id) == ["word 1"]
        facts = {one.id: one.conversation for one in await storage.facts.facts([ANN])}
        assert facts == {"f_1": hers.id, "f_2": ROOM}
        assert await storage.records.get("summary", ROOM) is None
        await turn(storage, said("4", "bob", "group"))
        assert await words(storage, ROOM) == ["word 2", "word 3", "word 4"]

    tell(story)


def _damaged(body: bytes, what: str, waste: bytes) -> Op[None]:
    yield from _mixed(body)
    match what:
        case "turn":
            yield sql("UPDATE turns SET body = $1 WHERE conversation = $2", waste, ROOM)
        case "fact":
            yield sql("UPDATE facts SET body = $1", waste)
        case _:
            yield sql("UPDATE people SET body = $1 WHERE id = $2", waste, BOB)


@pytest.mark.parametrize("what", ["turn", "fact", "person"])
def test_a_damaged_room_from_before_keeps_no_house_shut(tell: Tell, what: str) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await turn(storage, said("1", "ann", "group"))
        await turn(storage, said("2", "bob", "group"))
        (first, _) = await storage.store.turns(ROOM)
        await storage.facts.keep([Fact("f", ANN, "home", "a", "b", "c", 1.0, conversation=ROOM, turn=first.id)])
        codec = storage._desk.codec
        (row,) = await storage._engine.read(partial(_all, "SELECT body FROM conversations"))
        body = codec.document({**codec.mapping(row[0]), "kind": "direct"})
        await storage._engine.write(partial(_damaged, body, what, codec.text("no JSON")))
        await storage.close()
        world._opened.remove(storage) if world.settings.backend != "memory" else None

        storage = await world.open()
        (found,) = await storage.store.conversations()
        assert (found.id, found.kind, set(found.members)) == (ROOM, "direct", {ANN, BOB})
        counted = await storage._engine.read(partial(_all, "SELECT count(*) FROM turns WHERE conversation <> ''"))
        assert [row[0] for row in counted] == [2]

    tell(story)


def test_a_house_of_many_turns_is_mended_page_by_page(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "_PAGE", 2)

    async def story(world: World) -> None:
        storage = await world.open()
        for key, who in (("1", "ann"), ("2", "ann"), ("3", "ann"), ("4", "bob"), ("5", "ann")):
            await turn(storage, said(key, who, "group"))
        codec = storage._desk.codec
        (row,) = await storage._engine.read(partial(_all, "SELECT body FROM conversations"))
        body = codec.document({**codec.mapping(row[0]), "kind": "direct"})
        await storage._engine.write(partial(_mixed, body))
        await storage.close()
        world._opened.remove(storage) if world.settings.backend != "memory" else None

        storage = await world.open()
        (hers,) = await past(storage, ANN)
        assert await words(storage, hers.id) == ["word 1", "word 2", "word 3"] and hers.members == (ANN,)
        assert await words(storage, ROOM) == ["word 4", "word 5"]

    tell(story)


def test_whoever_only_followed_from_another_app_is_no_stranger(tell: Tell) -> None:
    """The same human at the terminal and on the web is two persons, and no link says that they are one."""

    async def story(world: World) -> None:
        storage = await world.open()
        await turn(storage, said("1", "ann"))
        desk = Envelope("desk", "me", "2", "owner", "desk", Message("m_2", "user", (Text("word 2"),), 1.0))
        claim, person, conversation = await met(storage, desk)
        await storage.inbox.settle(claim, replace(ended(claim, person, conversation), thread=ROOM))
        heard = await turn(storage, replace(desk, platform_id="3", message=Message("m_3", "user", (Text("b"),), 1.0)))
        assert heard.id == ROOM and set(heard.members) == {ANN, person.id}
        await turn(storage, said("4", "ann"))
        assert await words(storage, ROOM) == ["word 1", "b", "word 4"]
        await turn(storage, said("5", "bob", "group"))
        assert await words(storage, ROOM) == ["word 5"]
        (hers,) = await past(storage, ANN)
        assert await words(storage, hers.id) == ["word 1", "b", "word 4"] and set(hers.members) == {ANN, person.id}

    tell(story)
