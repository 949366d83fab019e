"""Replies that grow while they are made: one message on the platform, whatever ends in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Refused, Unavailable
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Sent
from kith.runtime.registry import Registry, read_manifest

Open = Callable[..., Any]


class Wall:
    """A platform whose messages can be edited; it outlives the channel's process. `faults` are raised by edits."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.history: list[str] = []
        self.faults: list[Exception] = []
        self.deaf = False

    async def start(self, accept: Any) -> None:
        self.accept = accept

    async def stop(self) -> None:
        return

    async def send(self, parcel: Parcel) -> Sent:
        name = self.keys.setdefault(parcel.id, f"p{len(self.keys)}")
        self.shown.setdefault(name, parcel.message.text)
        self.history.append(parcel.message.text)
        if self.deaf:
            raise OSError("gone")
        return Sent(name)

    async def edit(self, parcel: Parcel, receipt: str, text: str) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.shown[receipt] = text
        self.history.append(text)


class Walls(Registry):
    """A channel `wall` around a given platform."""

    def __init__(self, folder: Path, wall: Wall, policy: str = "idempotent", limit: int = 2000) -> None:
        super().__init__("channels")
        self.wall = wall
        path = folder / "wall.toml"
        path.write_text(
            'name = "wall"\nkind = "channel"\ntitle = { en = "x", zh = "x" }\nentry = "x:Wall"\n'
            f'[details]\ndelivery = "{policy}"\ndefault = true\nedit = 0.01\nlimit = {limit}\n'
        )
        self.__dict__["_found"] = {"wall": read_manifest(path, "tests")}

    def load(self, name: str) -> Any:
        return lambda settings, kit: self.wall


async def ask(home: Any, wall: Wall) -> tuple[str, str]:
    """Somebody asks; the turn and the conversation."""
    await home.until(lambda: home.manager._keepers["wall"].route.channel is not None)
    said = Message(home.ids.new("m"), "user", (Text("?"),), home.clock.now())
    accepted = await wall.accept(Envelope("wall", "local", home.ids.new("x"), "anna", "main", said))
    return accepted.id, accepted.conversation


def grow(home: Any, turn: str, topic: str, text: str) -> None:
    home.streams.publish(topic, "delta", {"turn": turn, "text": text})


def test_one_message_grows_and_becomes_the_reply(tmp_path: Path, house: Open) -> None:
    async def story() -> None:
        wall = Wall()
        async with house(Walls(tmp_path, wall)) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "Once upon ")
            await home.until(lambda: "Once upon" in wall.history)
            grow(home, turn, topic, "a time there ")
            await home.until(lambda: "Once upon a time there" in wall.history)
            home.streams.publish(topic, "reset", {"turn": turn})
            grow(home, turn, topic, "从前有一座山")
            await home.until(lambda: "从前有一座山" in wall.history)
            await home.answer("从前有一座山。")
            home.manager.nudge()
            await home.until_states(**{"从前有一座山。": "sent"})
            assert list(wall.shown.values()) == ["从前有一座山。"]

            async def forgotten() -> bool:
                return not await home.manager._ports.records.all("draft")

            await home.until(forgotten)
            await home.manager.stop()

    asyncio.run(story())


@pytest.mark.parametrize("policy", ["idempotent", "at_least_once"])
def test_after_a_crash_the_reply_still_replaces_what_was_begun(tmp_path: Path, house: Open, policy: str) -> None:
    async def story() -> None:
        wall = Wall()
        async with house(Walls(tmp_path, wall, policy)) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "half of ")
            await home.until(lambda: "half of" in wall.history)
            await home.manager.stop()
            fresh = type(home.manager)(
                home.manager._ports, home.settings, home.clock, home.ids, Walls(tmp_path, wall, policy)
            )
            await home.answer("half of it and the rest")
            await fresh.start("v")
            await home.until_states(**{"half of it and the rest": "sent"})
            assert list(wall.shown.values()) == ["half of it and the rest"]
            await fresh.stop()

    asyncio.run(story())


@pytest.mark.parametrize(("policy", "left"), [("idempotent", 1), ("at_least_once", 2)])
def test_a_first_piece_whose_name_was_never_heard(tmp_path: Path, house: Open, policy: str, left: int) -> None:
    """Where the platform knows our key it is found again; elsewhere it stays, unfinished, beside the reply."""

    async def story() -> None:
        wall = Wall()
        wall.deaf = True
        async with house(Walls(tmp_path, wall, policy)) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "half of ")
            await home.until(lambda: "half of" in wall.history)
            wall.deaf = False
            await home.answer("whole")
            home.manager.nudge()
            await home.until_states(whole="sent")
            assert len(wall.shown) == left
            assert list(wall.shown.values()).count("whole") == 1
            await home.manager.stop()

    asyncio.run(story())


@pytest.mark.parametrize("fault", [Refused("too old to be edited"), Unavailable("busy")])
def test_a_reply_arrives_when_editing_fails(tmp_path: Path, house: Open, fault: Exception) -> None:
    async def story() -> None:
        wall = Wall()
        async with house(Walls(tmp_path, wall)) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "half of ")
            await home.until(lambda: "half of" in wall.history)
            wall.faults = [fault]
            await home.answer("whole")
            home.manager.nudge()
            await home.until_states(whole="sent")
            assert list(wall.shown.values()).count("whole") == 1
            assert len(wall.shown) == (2 if isinstance(fault, Refused) else 1)
            await home.manager.stop()

    asyncio.run(story())


def test_a_long_reply_goes_on_in_further_messages(tmp_path: Path, house: Open) -> None:
    async def story() -> None:
        wall = Wall()
        async with house(Walls(tmp_path, wall, limit=20)) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "one two three four five six seven ")
            await home.until(lambda: wall.history)
            await home.answer("one two three four five six seven eight nine ten", "and another")
            home.manager.nudge()
            await home.until_states(**{"and another": "sent"})
            shown = list(wall.shown.values())
            assert " ".join(" ".join(shown).split()) == "one two three four five six seven eight nine ten and another"
            assert all(len(text) <= 20 for text in shown)
            await home.manager.stop()

    asyncio.run(story())


@pytest.mark.parametrize(("policy", "streaming"), [("at_most_once", "auto"), ("idempotent", "off")])
def test_off_where_it_should_be(tmp_path: Path, house: Open, policy: str, streaming: str) -> None:
    async def story() -> None:
        wall = Wall()
        async with house(Walls(tmp_path, wall, policy), wall={"streaming": streaming}) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "half of ")
            await home.answer("whole")
            home.manager.nudge()
            await home.until_states(whole="sent")
            assert wall.history == ["whole"]
            await home.manager.stop()

    asyncio.run(story())


def test_half_a_key_is_never_shown(tmp_path: Path, house: Open) -> None:
    async def story() -> None:
        wall = Wall()
        async with house(Walls(tmp_path, wall)) as home:
            await home.manager.start("w")
            turn, topic = await ask(home, wall)
            grow(home, turn, topic, "the key is ")
            await home.until(lambda: wall.history)
            grow(home, turn, topic, "sk-proj-abcdefghij")
            grow(home, turn, topic, "klmnopqrstuvwxyz0123456789ABCDEFGH and so on ")
            await home.until(lambda: any("so on" in text for text in wall.history))
            assert not any("abcdefghij" in text for text in wall.history)
            await home.manager.stop()

    asyncio.run(story())
