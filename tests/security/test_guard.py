"""The guard: strangers, floods, long texts, and what leaves the house."""

from __future__ import annotations

import asyncio

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import Refused
from kith.core.message import Envelope, Message, Text
from kith.core.people import Principal
from kith.security import HouseGuard, SecuritySettings


class People:
    async def principal(self, name: str) -> Principal | None:
        return Principal("t_1", "phone", "guest") if name == "t_1" else None


def said(text: str = "hello", sender: str = "owner", channel: str = "api") -> Envelope:
    return Envelope(channel, "local", "1", sender, "home", Message("m_1", "user", (Text(text),), 0.0))


def guard(clock: FrozenClock | None = None, **settings: float) -> HouseGuard:
    return HouseGuard(SecuritySettings.model_validate(settings), People(), clock or FrozenClock(), {"api"})


def test_who_is_admitted() -> None:
    async def story() -> None:
        house = guard()
        assert (await house.admit(said())).role == "owner"
        assert (await house.admit(said(sender="t_1"))).role == "guest"
        assert (await house.admit(said(sender=""))).id == "owner"
        for envelope, code in ((said(channel="sms"), "not_paired"), (said(sender="t_2"), "unauthenticated")):
            with pytest.raises(Refused) as caught:
                await house.admit(envelope)
            assert caught.value.code == code

    asyncio.run(story())


def test_a_flood_is_stopped_and_told_when_to_come_back() -> None:
    async def story() -> None:
        clock = FrozenClock()
        house = guard(clock, messages_per_minute=60, burst=3)
        for _ in range(3):
            await house.admit(said())
        with pytest.raises(Refused) as caught:
            await house.admit(said())
        assert caught.value.status == 429 and caught.value.retry_after == pytest.approx(1)
        await house.admit(said(sender="t_1"))
        clock.advance(1)
        await house.admit(said())

    asyncio.run(story())


def test_a_long_text_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(guard(max_characters=10).admit(said("x" * 11)))
    assert caught.value.code == "message_too_long"


def test_control_characters_do_not_leave() -> None:
    text = "a\x1b[31mb\x00\r\nc\td\x9b\ud800"
    way = guard().release(said())
    assert way.feed(text) + way.finish() == "a[31mb\nc\td?"
