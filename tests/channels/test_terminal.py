"""The terminal channel: what is typed, what is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kith.channels.cli.render import printable
from kith.core.errors import Invalid
from kith.core.ids import conversation_id

Open = Callable[..., Any]


async def _read(view: Any, until: str) -> list[Any]:
    seen: list[Any] = []
    async with asyncio.timeout(90):
        async for event in view.events():
            seen.append(event)
            if event.kind == until:
                return seen
    raise AssertionError


def test_a_reply_is_seen_in_pieces_and_whole(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            view = home.manager.channel("cli").open("main", "en")
            turn = await view.say("hello")
            topic = conversation_id("cli", "local", "main")
            home.streams.publish(topic, "delta", {"turn": turn, "text": "H\x1b[2Ji"})
            await home.answer("Hi")
            seen = await _read(view, "end")
            assert [event.kind for event in seen] == ["delta", "message", "end"]
            assert seen[0].data["text"] == "H[2Ji"
            assert seen[1].data | {"text": "Hi", "turn": turn, "sources": ["handbook"]} == seen[1].data
            await view.cancel(turn)
            assert home.talk.cancelled == [turn]
            await view.close()
            await home.manager.stop()

    asyncio.run(story())


def test_a_terminal_that_lagged_still_sees_the_latest_reply(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            view = home.manager.channel("cli").open("main", "en")
            turn = await view.say("hello")
            for _ in range(100):
                home.streams.publish(
                    conversation_id("cli", "local", "main"), "delta", {"turn": turn, "text": "z" * 2000}
                )
            await home.answer("whole")
            seen = await _read(view, "message")
            assert seen[-1].data["text"] == "whole"
            await view.close()
            await home.manager.stop()

    asyncio.run(story())


def test_reminders_reach_an_open_terminal(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            view = home.manager.channel("cli").open("main", "en")
            await home.commit("drink water", channel="cli")
            seen = await _read(view, "message")
            assert seen[-1].data["text"] == "drink water"
            await view.close()
            await home.manager.stop()

    asyncio.run(story())


def test_hostile_typing(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            view = home.manager.channel("cli").open("main", "en")
            with pytest.raises(Invalid):
                await view.say("\x00 ")
            assert await view.say("lone \ud800 surrogate")
            await view.close()
            await home.manager.stop()

    asyncio.run(story())


def test_printable_keeps_text_and_drops_commands() -> None:
    assert printable("a\tb\n你好\x1b]0;x\x07\x9b31m") == "a\tb\n你好]0;x31m"
