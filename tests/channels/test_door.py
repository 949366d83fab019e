"""What is let in, and what edits, reactions and other bots mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from kith.channels.door import Door, House
from kith.channels.kit import ChannelSettings
from kith.core.channel import Welcome
from kith.core.clock import FrozenClock
from kith.core.errors import Unavailable
from kith.core.events import Reacted
from kith.core.ids import Ids
from kith.core.message import Envelope, Image, Message, Text
from kith.core.people import Parcel, Principal
from kith.core.turn import Accepted


class World:
    """A door, what came through it, and what was said past the outbox."""

    def __init__(self, **settings: Any) -> None:
        self.heard: list[Envelope] = []
        self.said: list[Parcel] = []
        self.cancelled: list[str] = []
        self.told: list[Any] = []
        self.welcome = Welcome(True)
        self.clock = FrozenClock()
        house = House(self, self.cancelled.append, self.clock, Ids(self.clock), self, self)  # pyright: ignore
        self.door = Door(ChannelSettings(**settings), house, self.say)

    async def hear(self, envelope: Envelope) -> Accepted:
        self.heard.append(envelope)
        return Accepted(f"t_{envelope.platform_id}", "c")

    async def greet(self, envelope: Envelope) -> Welcome:
        return self.welcome

    async def admitted(self, envelope: Envelope) -> Principal | None:
        return None

    def rule(self, *_: Any) -> None:
        return

    def publish(self, event: Any) -> None:
        self.told.append(event)

    async def say(self, parcel: Parcel) -> None:
        self.said.append(parcel)


def envelope(text: str = "hello", platform_id: str = "1", **more: Any) -> Envelope:
    parts = (Text(text),) if text else ()
    return Envelope("chat", "me", platform_id, "anna", "room", Message("m", "user", parts, 0.0), **more)


def tell(story: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> World:
    world = World(**settings)

    async def whole() -> None:
        await story(world)
        await asyncio.gather(*world.door._tasks)
        await world.door.close()

    asyncio.run(whole())
    return world


def test_groups_are_answered_by_the_rule_of_the_channel() -> None:
    async def story(world: World) -> None:
        await world.door.hear(envelope("hi all", kind="group"))
        await world.door.hear(envelope("hey KITH, hi", kind="group"))
        await world.door.hear(envelope("called", kind="group", mentioned=True))
        await world.door.hear(envelope("in private"))

    def kept(**settings: Any) -> list[str]:
        return [one.message.text for one in tell(story, **settings).heard]

    assert kept() == ["called", "in private"]
    assert kept(groups="always") == ["hi all", "hey KITH, hi", "called", "in private"]
    assert kept(groups="never") == ["in private"]
    assert kept(groups="names", names=["Kith"]) == ["hey KITH, hi", "called", "in private"]


def test_a_share_of_a_group_is_answered_by_lot_and_a_name_is_a_word() -> None:
    async def story(world: World) -> None:
        for _ in range(2):  # delivered again, a message has the same lot
            for number in range(200):
                await world.door.hear(envelope(f"talk {number}", kind="group", platform_id=f"x{number}"))
        await world.door.hear(envelope("kit, hi", kind="group", platform_id="a"))
        await world.door.hear(envelope("what a kitchen", kind="group", platform_id="b"))
        await world.door.hear(envelope("小基，你好", kind="group", platform_id="c"))

    def kept(chance: float) -> list[str]:
        settings = {"groups": "sometimes", "names": ["Kit", "小基"], "chance": chance}
        return [one.message.text for one in tell(story, **settings).heard]

    assert kept(0.0) == ["kit, hi", "小基，你好"]
    some = kept(0.2)
    talked = [text for text in some if text.startswith("talk")]
    assert 20 <= len(set(talked)) <= 65
    assert len(talked) == 2 * len(set(talked))
    assert len([text for text in kept(1.0) if text.startswith("talk")]) == 400


def test_two_bots_do_not_talk_for_ever() -> None:
    async def story(world: World) -> None:
        for number in range(20):
            await world.door.hear(envelope(bot=True, platform_id=str(number)))

    assert tell(story).heard == []
    assert len(tell(story, bot_rounds=3).heard) == 3


def test_a_message_is_told_how_long_a_burst_pauses() -> None:
    async def story(world: World) -> None:
        await world.door.hear(envelope())

    assert [one.pause for one in tell(story).heard] == [0.0]
    assert [one.pause for one in tell(story, debounce=2).heard] == [2.0]


def test_a_stranger_is_told_and_not_heard() -> None:
    async def story(world: World) -> None:
        world.welcome = Welcome(False, "who are you?")
        assert (await world.door.hear(envelope())).id == ""
        world.welcome = Welcome(False)
        await world.door.hear(envelope())

    world = tell(story)
    assert not world.heard
    assert [(one.message.text, one.target) for one in world.said] == [("who are you?", "room")]


def test_a_platform_that_does_not_take_the_word_costs_nothing() -> None:
    async def story(world: World) -> None:
        async def broken(parcel: Parcel) -> None:
            raise Unavailable("not now") if len(parcel.message.text) == 1 else ValueError("a bug")

        world.door._say = broken
        for say in ("x", "xx"):
            world.welcome = Welcome(False, say)
            await world.door.hear(envelope())

    assert not tell(story).heard


def test_an_edit_stops_the_reply_to_what_it_replaces_and_is_heard() -> None:
    async def story(world: World) -> None:
        await world.door.hear(envelope("first", "1"))
        await world.door.hear(envelope("second", "1.2", edits="1"))
        await world.door.hear(envelope("third", "1.3", edits="1"))
        await world.door.hear(envelope("", "1.4", edits="1"))  # taken back
        await world.door.hear(envelope("", "9.1", edits="9"))  # one that nobody knows

    world = tell(story)
    assert [one.message.text for one in world.heard] == ["first", "second", "third"]
    assert world.cancelled == ["t_1", "t_1.2", "t_1.3"]


def test_a_reaction_is_told_of_the_reply_it_was_put_to() -> None:
    async def story(world: World) -> None:
        said = Message("m_9", "assistant", (Text("x"),), 0.0)
        parcel = Parcel("m_9", 1, "c_1", "chat", "me", "room", said)
        world.door.sent(parcel, "77 78")
        await world.door.hear(replace(envelope("👍", "r1"), reaction="👍", reply_to="78"))
        await world.door.hear(replace(envelope("👍", "r2"), reaction="👍", reply_to="99"))

    world = tell(story)
    assert world.told == [Reacted("c_1", "m_9", "anna", "chat", "👍")]
    assert not world.heard


def test_a_file_that_is_too_large_is_told_once_and_the_rest_is_heard() -> None:
    async def story(world: World) -> None:
        huge = Image("at:x", "image/png", "cat.png", 30_000_000)
        alone = replace(envelope(), message=Message("m", "user", (huge,), 0.0))
        assert (await world.door.hear(alone)).id == "" and not world.heard
        both = replace(envelope(), message=Message("m", "user", (Text("look"), huge), 0.0))
        assert (await world.door.hear(both)).id == "t_1"
        assert [part.type for part in world.heard[0].message.parts] == ["text", "text"]
        await asyncio.gather(*world.door._tasks)
        assert [("cat.png" in one.message.text, one.target) for one in world.said] == [(True, "room")] * 2

    tell(story)
