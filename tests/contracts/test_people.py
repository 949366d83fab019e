"""What every storage backend promises about people: who is whom, what is remembered, and that it can be gone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from kith.core.audit import Act
from kith.core.errors import Invalid, NotFound
from kith.core.ids import conversation_id, person_id
from kith.core.memory import Fact
from kith.core.message import Message, Text
from kith.core.people import Parcel
from kith.core.turn import Done, Sent, Turn
from kith.storage import Storage, StorageSettings, open_storage

from .conftest import Key, World
from .test_storage import Tell, envelope

ANN, BOB = person_id("loopback", "me", "ann"), person_id("loopback", "me", "bob")
BY = Act("test.act", "owner")


async def said(storage: Storage, key: str, text: str, reply: str, who: str = "ann", **place: Any) -> str:
    """One message with its reply, delivered; the turn's id."""
    letter = replace(envelope(key, who, text), **place)
    await storage.inbox.accept(letter)
    (claim,) = await storage.inbox.claim("w", 1)
    person, conversation = await storage.store.resolve(letter)
    message = Message(f"r_{key}", "assistant", (Text(reply),), 2.0)
    parcel = Parcel(message.id, 0, conversation.id, "loopback", "me", who, message)
    turn = Turn(f"t_{key}", conversation.id, person.id, 2.0, letter.message, (message,))
    await storage.inbox.settle(claim, Done(turn, {"flow": {"slots": {"said": text}}}, (parcel,)))
    for waiting in await storage.outbox.take("s", 10):
        await storage.outbox.settle(waiting, Sent())
    return turn.id


def fact(key: str, value: str, turn: str = "", person: str = ANN, topic: str = "home") -> Fact:
    return Fact(f"f_{key}", person, "home", f"lives in {value}", value, topic, 2.0, turn=turn)


def words(found: object) -> str:
    return json.dumps(found, ensure_ascii=False, default=str)


def test_facts_are_kept_by_person(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        one, two = fact("1", "Bern"), fact("2", "Kyoto")
        await storage.facts.keep([one, two, fact("3", "Oslo", person=BOB)])
        await storage.facts.keep([replace(one, replaced="f_2")])
        assert await storage.facts.facts([ANN]) == (replace(one, replaced="f_2"), two)
        assert [found.value for found in await storage.facts.facts([ANN, BOB])] == ["Bern", "Kyoto", "Oslo"]
        assert await storage.facts.facts(["p_nobody"]) == ()

    tell(story)


def test_people_are_listed_changed_and_linked(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await said(storage, "1", "hello", "hi")
        await said(storage, "2", "hello again", "hi", who="bob")
        await storage.facts.keep([fact("1", "Bern"), fact("2", "Kyoto", person=BOB)])
        assert {met.person.id: met.turns for met in await storage.people.everybody()} == {ANN: 1, BOB: 1}
        assert await storage.people.who([("loopback", "ann"), ("other", "bob")]) == (ANN,)
        changed = await storage.people.change(ANN, {"name": "Ann", "timezone": "Asia/Shanghai"}, BY)
        assert (changed.name, changed.timezone) == ("Ann", "Asia/Shanghai")
        with pytest.raises(Invalid):
            await storage.people.change(ANN, {"handles": "x"}, BY)
        with pytest.raises(NotFound):
            await storage.people.change("p_nobody", {"name": "x"}, BY)
        with pytest.raises(Invalid):
            await storage.people.link(ANN, ANN, BY)
        await storage.people.link(ANN, BOB, BY)
        assert [met.person.id for met in await storage.people.everybody()] == [ANN]
        person, there = await storage.store.resolve(envelope("3", "bob"))
        assert (person.id, person.name) == (ANN, "Ann")
        assert {ANN, BOB} <= set(there.members)
        assert len(await storage.store.conversations(ANN)) == 2
        assert [found.value for found in await storage.facts.facts([ANN])] == ["Bern", "Kyoto"]
        told = await storage.dossiers.export([ANN])
        assert "hello again" in words(told)
        assert "Kyoto" in words(told)
        assert [entry.act.name for entry in await storage.journal.entries()] == ["test.act"] * 2

    tell(story)


def test_erasing_a_person_leaves_the_others_whole(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        await said(storage, "1", "ann likes secrets", "so you do")
        await said(storage, "2", "bob likes cheese", "good", who="bob")
        group = {"conversation": "all", "kind": "group"}
        await said(storage, "3", "ann in the group", "hello ann", **group)
        await said(storage, "4", "bob in the group", "hello bob", who="bob", **group)
        await storage.inbox.accept(envelope("5", text="ann still waits"))
        await storage.inbox.accept(replace(envelope("6", text="ann waits here too"), **group))
        await storage.inbox.accept(replace(envelope("7", "bob", "bob waits"), **group))
        await storage.facts.keep([fact("1", "Bern"), fact("2", "Kyoto", person=BOB)])
        room = conversation_id("loopback", "me", "ann")
        await storage.records.put("summary", room, {"text": "ann once more"})
        await storage.records.put("other", "x", {"person": BOB})
        exported = words(await storage.dossiers.export([ANN]))
        assert "ann in the group" in exported
        assert "ann still waits" in exported
        assert "bob" not in exported.replace("hello bob", "bob")
        gone = await storage.dossiers.erase([ANN], Act("person.erase", "owner", ANN))
        assert room in gone
        left = words(await storage.dossiers.export([BOB]))
        assert "bob in the group" in left
        assert "ann" not in left.replace("channel", "")
        empty = await storage.dossiers.export([ANN])
        assert (empty["people"], empty["facts"], empty["conversations"], empty["records"]) == ([], [], [], [])
        assert await storage.records.get("other", "x") == {"person": BOB}
        (claim,) = await storage.inbox.claim("w", 10)
        assert claim.envelope.message.text == "bob waits"
        assert (await storage.journal.entries())[-1].act.name == "person.erase"
        assert (await storage.journal.verify())[1] == ""

    tell(story)


def test_redacting_takes_the_words_out_of_everything_of_one_person(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        source = await said(storage, "1", "I live in Bernstadt, code 4711", "Bernstadt is lovely")
        await said(storage, "2", "what about bernstadt?", "it rains in Bernstadt")
        await said(storage, "3", "Bernstadt it is", "ok", who="bob")
        await storage.records.put("summary", conversation_id("loopback", "me", "ann"), {"text": "is in Bernstadt"})
        known = (await storage.store.turns(conversation_id("loopback", "me", "ann")))[0]
        assert "Bernstadt" in known.heard.text
        gone = fact("1", "Bernstadt", source)
        await storage.facts.keep([gone])
        await storage.dossiers.redact([ANN], [gone], Act("memory.forget", "owner", ANN))
        left = words(await storage.dossiers.export([ANN]))
        assert "bernstadt" not in left.casefold()
        assert "4711" not in left
        turns = await storage.store.turns(conversation_id("loopback", "me", "ann"))
        assert [turn.heard.text for turn in turns] == ["[…]", "what about […]?"]
        assert "Bernstadt" in words(await storage.dossiers.export([BOB]))

    tell(story)


def test_redacting_goes_through_group_conversations_and_spares_the_others_there(tell: Tell) -> None:
    async def story(world: World) -> None:
        storage = await world.open()
        group = {"conversation": "all", "kind": "group"}
        source = await said(storage, "1", "I live in Bernstadt", "noted", **group)
        await said(storage, "2", "and bernstadt is old", "Bernstadt is old", **group)
        await said(storage, "3", "I work in Bernstadt", "Bernstadt, I see", who="bob", **group)
        slots = {"town": "Bernstadt"}
        state = {"flow": {"last": "So you are in Bernstadt"}, "others": {ANN: {"slots": slots}, BOB: {"slots": slots}}}
        letter = replace(envelope("4", "bob", "hm"), **group)
        await storage.inbox.accept(letter)
        (claim,) = await storage.inbox.claim("w", 1)
        room = conversation_id("loopback", "me", "all")
        done = Turn("t_4", room, BOB, 2.0, letter.message, ())
        await storage.inbox.settle(claim, Done(done, state))
        gone = fact("1", "Bernstadt", source)
        await storage.facts.keep([gone])
        await storage.dossiers.redact([ANN], [gone], Act("memory.forget", "owner", ANN))
        there = await storage.store.conversation(room)
        clean = {"slots": {"town": "[…]"}}
        others = {ANN: clean, BOB: {"slots": slots}}
        assert there.state == {"flow": {"last": "So you are in […]"}, "others": others}
        assert "bernstadt" not in words(await storage.dossiers.export([ANN])).casefold()
        sent = [parcel.message.text for parcel in await storage.outbox.find("sent")]
        assert sorted(sent) == ["Bernstadt, I see", "[…]", "[…] is old"]
        turns = await storage.store.turns(room)
        assert [turn.heard.text for turn in turns][2] == "I work in Bernstadt"

    tell(story)


def test_what_was_forgotten_is_in_no_file(tmp_path: Any) -> None:
    """The whole file, decrypted, with free pages and the log: the words are nowhere."""

    async def story() -> None:
        world = World(StorageSettings(backend="sqlite", path=tmp_path / "data" / "kith.db"))
        storage = await open_storage(world.settings, world.clock, world.ids, Key())
        source = ""
        for number in range(60):
            source = await said(storage, f"a{number}", f"Zanzibar{number % 7} and more {number} " * 20, "Zanzibar?")
            await said(storage, f"b{number}", "something else " * number, "ok " * number, who="bob")
        facts = [fact(str(n), f"Zanzibar{n}", source) for n in range(7)] + [fact("z", "Zanzibar", source)]
        await storage.facts.keep(facts)
        await storage.dossiers.redact([ANN], facts, BY)
        assert raw(world) == ""
        await said(storage, "c", "Zanzibar once more " * 300, "ok")
        assert raw(world) != ""
        await storage.dossiers.erase([ANN], BY)
        assert raw(world) == ""
        await storage.close()

    def raw(world: World) -> str:
        """Where the word is: the decrypted pages with all that is free in them, and every file as it is."""
        from kith.storage.ledger import execute
        from kith.storage.sqlite.database import PURPOSE, connect

        found = ""
        connection = connect(world.settings.path, Key().key(PURPOSE))
        with connection:
            count, size = (execute(connection, f"PRAGMA {name}")[0][0] for name in ("page_count", "page_size"))
            plain = connection.serialize("main")
        assert len(plain) == count * size
        found += "pages " if b"anzibar" in plain else ""
        connection.close(True)
        for path in world.settings.path.parent.iterdir():
            found += path.name if path.is_file() and b"anzibar" in path.read_bytes() else ""
        return found

    asyncio.run(story())
