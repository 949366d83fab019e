"""What came before its keys is read after a restart, and nobody waits for ever without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import nio
import pytest

from kith.channels.kit import Kit
from kith.channels.matrix import unread
from kith.channels.matrix.channel import MatrixChannel
from kith.channels.matrix.settings import MatrixSettings
from kith.channels.matrix.wire import Wire
from kith.core.clock import FrozenClock
from kith.core.errors import NotFound, Unavailable
from kith.core.ids import Ids, person_id
from kith.core.message import Envelope
from kith.core.turn import Accepted
from kith.runtime.streams import Streams

KITH, ANN = "@kith:home.test", "@ann:home.test"


class Homeserver(Wire):
    """A wire whose `keys` have come or not, in rooms of so many members; `said` is what was sent, by transaction."""

    def __init__(self, settings: MatrixSettings, kit: Kit) -> None:
        super().__init__(settings, kit)
        self.keys, self.down, self.said, self.tried = False, False, dict[str, str](), 0
        self.members = {"!one": 2, "!many": 5}

    @property
    def rooms(self) -> Mapping[str, Any]:
        return {
            room: SimpleNamespace(member_count=count, user_name=lambda who: "Ann")
            for room, count in self.members.items()
        }

    def decrypt(self, event: Any) -> Any:
        assert event.room_id  # without it no key fits
        text = str(event.ciphertext)
        body = {"content": {"msgtype": "m.text", "body": text}, "type": "m.room.message"}
        return SimpleNamespace(source={**event.source, **body}, sender=event.sender) if self.keys else None

    async def send(self, room: str, content: Mapping[str, Any], transaction: str) -> str:
        self.tried += 1
        if self.down:
            raise Unavailable("down")
        self.said[transaction] = f"{room} {content['body']}"
        return "$said"


def news(*events: Any, room: str = "!one") -> Any:
    for event in events:
        event.room_id = room
    timeline = SimpleNamespace(events=events, limited=False, prev_batch="")
    return SimpleNamespace(
        rooms=SimpleNamespace(invite={}, join={room: SimpleNamespace(timeline=timeline)}), next_batch="s2"
    )


def sealed(number: int, sender: str = ANN) -> Any:
    content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": f"word {number}", "device_id": "D"}
    event = {"type": "m.room.encrypted", "event_id": f"$e{number}", "sender": sender, "origin_server_ts": 1000}
    made = nio.Event.parse_event({**event, "content": {**content, "sender_key": "k", "session_id": "s"}})
    assert isinstance(made, nio.MegolmEvent)
    return made


class Rooms:
    """A store that knows nobody."""

    async def conversation(self, conversation: str) -> Any:
        raise NotFound("nobody")


class Home:
    """What stays over a restart: the records, and what was heard."""

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.kit = Kit(Rooms(), Streams(), self.clock, Ids(self.clock), lambda turn: None)  # pyright: ignore
        self.heard: list[str] = []

    async def accept(self, envelope: Envelope) -> Accepted:
        self.heard.append(envelope.message.text)
        return Accepted("m", "c")

    async def open(self) -> tuple[MatrixChannel, Homeserver]:
        settings = MatrixSettings(homeserver="https://home.test", user=KITH)
        channel, wire = MatrixChannel(settings, replace(self.kit)), Homeserver(settings, self.kit)
        channel._accept = self.accept
        await channel._unread.load(wire.revive)
        return channel, wire

    async def kept(self) -> int:
        return len(await self.kit.records.all("unread"))


def test_keys_that_come_after_a_restart_open_what_came_before() -> None:
    async def story() -> None:
        home = Home()
        channel, wire = await home.open()
        await channel._take(wire, news(sealed(1), sealed(2), sealed(1), sealed(3, KITH)), "s1")
        assert await home.kept() == 2 and home.heard == []
        channel, wire = await home.open()
        await channel._take(wire, news(), "s2")
        assert await home.kept() == 2
        wire.keys = True
        await channel._take(wire, news(), "s2")
        assert home.heard == ["word 1", "word 2"] and await home.kept() == 0
        channel, wire = await home.open()
        await channel._take(wire, news(), "s2")
        assert home.heard == ["word 1", "word 2"] and wire.said == {}

    asyncio.run(story())


def test_what_cannot_be_accepted_now_is_not_let_go_of() -> None:
    async def story() -> None:
        home = Home()
        channel, wire = await home.open()
        await channel._take(wire, news(sealed(1)), "s1")
        wire.keys, channel._accept = True, None  # going down
        await channel._take(wire, news(), "s1")
        assert await home.kept() == 1

    asyncio.run(story())


def test_who_is_alone_with_us_is_told_once_that_something_stays_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_MOST", 4)

    async def story() -> None:
        home = Home()
        channel, wire = await home.open()
        await channel._take(wire, news(sealed(1), sealed(2)), "s1")
        await channel._take(wire, news(sealed(3), room="!many"), "s1")
        home.clock.advance(86_500)
        wire.down = True
        await channel._take(wire, news(), "s1")
        assert await home.kept() == 2  # of the one room: nobody could be told yet
        wire.down = False
        await channel._take(wire, news(), "s1")
        assert await home.kept() == 0 and list(wire.said) == ["unread-$e1"]
        assert "cannot read" in wire.said["unread-$e1"] and wire.said["unread-$e1"].startswith("!one")
        await channel._take(wire, news(*(sealed(number) for number in range(10, 16))), "s1")
        assert await home.kept() == 6
        await channel._take(wire, news(), "s1")
        assert await home.kept() == 4 and len(wire.said) == 1  # the oldest went, and they know already

    asyncio.run(story())


def test_a_room_that_takes_nothing_is_asked_once_and_what_is_kept_stays_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unread, "_MOST", 4)

    async def story() -> None:
        home = Home()
        channel, wire = await home.open()
        wire.down = True
        for first in range(0, 30, 3):
            asked = wire.tried
            await channel._take(wire, news(*(sealed(number) for number in range(first, first + 3))), "s1")
            assert wire.tried - asked <= 1 and await home.kept() <= 8
        assert wire.tried and [one.name for one in channel._unread.all()] == [f"$e{number}" for number in range(22, 30)]

    asyncio.run(story())


def test_what_somebody_sent_goes_with_them_when_they_are_erased() -> None:
    async def story() -> None:
        home = Home()
        channel, wire = await home.open()
        await channel._take(wire, news(sealed(1), sealed(2, "@bob:home.test")), "s1")
        (hers,) = [
            key
            for key, value in (await home.kit.records.all("unread")).items()
            if value["person"] == person_id("matrix", "local", ANN)
        ]
        await home.kit.records.delete("unread", hers)  # as whoever erases a person does with what names them
        wire.keys = True
        await channel._take(wire, news(), "s1")
        assert home.heard == ["word 2"] and await home.kept() == 0
        wire.keys = False
        await channel._take(wire, news(sealed(3)), "s1")
        await home.kit.records.delete("unread", "matrix:local:$e3")
        home.clock.advance(86_500)
        await channel._take(wire, news(), "s1")
        assert wire.said == {} and channel._unread.all() == ()

    asyncio.run(story())


def test_a_record_that_is_none_is_thrown_away() -> None:
    async def story() -> None:
        home = Home()
        for number, event in enumerate((None, {"type": "m.room.message"}, {"type": 3}, {})):
            await home.kit.records.put("unread", f"matrix:local:$x{number}", {"room": "!one", "event": event, "at": 1})
        await home.kit.records.put("unread", "matrix:other:$x", {"room": "!one", "event": None, "at": 1})
        await home.open()
        assert await home.kept() == 1

    asyncio.run(story())
