"""Which channels are on, how mistakes in their settings are told, and what happens when one does not start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kith.channels import ChannelsSettings, check_channels
from kith.core.errors import Broken, Invalid, NotFound
from kith.core.message import Envelope, Message, Text
from kith.core.turn import Sent
from kith.runtime.documents import read_document
from kith.runtime.registry import Registry

Open = Callable[..., Any]


def test_the_local_channels_are_on_by_default_and_can_be_switched_off(house: Open) -> None:
    async def story(settings: dict[str, Any]) -> set[str]:
        async with house(**settings) as home:
            await home.manager.start("w")
            on = set(home.manager._keepers)
            await home.manager.stop()
            return on

    assert asyncio.run(story({})) == {"cli", "web"}
    assert asyncio.run(story({"web": {"enabled": False}, "loopback": None})) == {"cli", "loopback"}


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "kith.yaml"
    path.write_text("channels:\n  web:\n    acount: me\n    conversations: many\n  telegrph: {}\n")
    document = read_document(path)
    settings = ChannelsSettings.model_validate(document.data["channels"])
    with pytest.raises(Invalid) as caught:
        check_channels(settings, Registry("channels"), document)
    faults = {fault.path: fault for fault in caught.value.faults}
    assert faults["channels.web.acount"].line == 3
    assert "'account'" in faults["channels.web.acount"].reason
    assert faults["channels.web.conversations"].line == 4
    assert faults["channels.telegrph"].line == 5


def test_a_household_with_wrong_channel_settings_does_not_start(house: Open) -> None:
    async def story() -> None:
        async with house(web={"replay": 0}):
            raise AssertionError

    with pytest.raises(Invalid, match=r"channels\.web\.replay"):
        asyncio.run(story())


def test_an_unknown_delivery_key_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="extra"):
        ChannelsSettings.model_validate({"delivery": {"retries": 3}})


def test_what_channels_accept_goes_to_the_inbox_under_their_own_name(house: Open) -> None:
    async def story() -> None:
        async with house(loopback={}) as home:
            await home.manager.start("w")
            accept = home.manager._keepers["loopback"].accept
            said = Message("m", "user", (Text("x"),), 0.0)
            envelope = Envelope("loopback", "local", "1", "s", "c", said)
            assert (await accept(envelope)).duplicate is False
            with pytest.raises(Broken):
                await accept(replace(envelope, channel="web"))
            await home.manager.stop()

    asyncio.run(story())


def test_lines_and_capabilities(house: Open) -> None:
    async def story() -> None:
        async with house(loopback={}) as home:
            await home.manager.start("w")
            assert set(home.manager.lines) == {"web"}
            assert home.manager.having("terminal") is home.manager.channel("cli")
            assert home.manager.having("telepathy") is None
            with pytest.raises(NotFound, match="telegram"):
                home.manager.channel("telegram")
            await home.manager.stop()

    asyncio.run(story())


class Own:
    """A channel that another room brings."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def start(self, accept: Any) -> None:
        return

    async def send(self, parcel: Any) -> Sent:
        self.sent.append(parcel.message.text)
        return Sent()

    async def stop(self) -> None:
        raise ValueError("a bug at the very end")


def test_a_channel_from_another_room(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            own = Own()
            home.manager.add("own", own)
            await home.manager.start("w")
            await home.commit("hello", channel="own", account="anything")
            await home.until_states(hello="sent")
            assert own.sent == ["hello"]
            await home.manager.stop()  # one channel's bug does not keep the others from stopping
            assert home.health.snapshot()["channel:web"].condition == "stopped"

    asyncio.run(story())


def test_a_channel_that_fails_to_start_does_not_keep_the_others_from_it(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            own, tries = Own(), [ValueError("a bug"), Invalid("a wrong token")]

            async def start(accept: Any) -> None:
                raise tries.pop(0)

            own.start = start  # pyright: ignore
            home.manager.add("own", own)
            await home.manager.start("w")
            await home.until(lambda: home.health.snapshot()["channel:own"].condition == "failed")
            assert "wrong token" in home.health.snapshot()["channel:own"].detail
            assert home.health.snapshot()["channel:web"].condition == "ready"
            assert home.health.ready
            await home.commit("hello", channel="own")
            await home.until(lambda: home.storage.outbox.find("waiting"))
            await home.manager.stop()

    asyncio.run(story())
