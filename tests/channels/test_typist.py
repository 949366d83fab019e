"""The sign that a reply is being written: shown at once, taken away with the turn, and nobody's trouble."""

from __future__ import annotations

import asyncio

import pytest

from kith.channels.typist import Typist
from kith.core.errors import Unavailable
from kith.core.ids import conversation_id
from kith.core.message import Envelope, Message, Text
from kith.runtime.streams import Streams


class Shows:
    def __init__(self, error: Exception | None = None) -> None:
        self.shown: list[str] = []
        self.error = error

    async def typing(self, conversation: str) -> None:
        self.shown.append(conversation)
        if self.error is not None:
            raise self.error


def envelope(handle: str = "room") -> Envelope:
    return Envelope("chat", "me", "1", "anna", handle, Message("m", "user", (Text("x"),), 0.0))


def test_it_is_shown_until_the_turn_ends() -> None:
    async def story() -> None:
        streams, channel = Streams(), Shows()
        typist = Typist(streams)
        typist.begin(channel, envelope())
        typist.begin(channel, envelope())
        while not channel.shown:
            await asyncio.sleep(0)
        streams.publish(conversation_id("chat", "me", "room"), "delta", {"text": "x"})
        streams.publish(conversation_id("chat", "me", "room"), "end", {})
        while typist._tasks:
            await asyncio.sleep(0)
        assert channel.shown == ["room"]

    asyncio.run(story())


@pytest.mark.parametrize("error", [Unavailable("no"), ValueError("a bug"), OSError("gone")])
def test_a_channel_that_cannot_show_it_goes_without(error: Exception) -> None:
    async def story() -> None:
        typist, channel = Typist(Streams()), Shows(error)
        for number in range(100):
            typist.begin(channel, envelope(str(number)))
        assert len(typist._tasks) == 64
        typist.begin(object(), envelope("one that cannot"))
        while typist._tasks:
            await asyncio.sleep(0)
        typist.begin(Shows(), envelope("late"))
        await typist.close()
        assert not typist._tasks

    asyncio.run(story())
