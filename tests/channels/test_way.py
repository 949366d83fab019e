"""Channels that hear on a socket and speak by calls: each way is watched, and one says nothing of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kith.channels.kit import ChannelSettings, Kit
from kith.channels.way import Way
from kith.core.clock import FrozenClock
from kith.core.errors import Unavailable
from kith.core.people import Parcel
from kith.core.turn import Sent
from tests.channels.emulators import dingtalk, discord, feishu, qqbot
from tests.channels.emulators.slack import slack
from tests.channels.proxy import Proxy
from tests.channels.rig import household, until, up
from tests.channels.test_keeper import Folders, row

Shape = tuple[Callable[[], Any], Callable[[str], dict[str, Any]]]
# A platform, and the settings for an address of its API; the sockets are where the emulator itself says.
SHAPES: dict[str, Shape] = {
    "slack": (slack, lambda api: {"token": "xoxb-test", "app_token": "xapp-test", "api": f"{api}/api"}),
    "discord": (discord.discord, lambda api: {"token": discord.TOKEN, "api": f"{api}/api/v10", "streaming": "off"}),
    "feishu": (feishu.feishu, lambda api: {"app": feishu.APP, "secret": feishu.SECRET, "base": api}),
    "dingtalk": (dingtalk.dingtalk, lambda api: {"app": dingtalk.APP, "secret": dingtalk.SECRET, "api": api}),
    "qqbot": (qqbot.qq, lambda api: {"app": qqbot.APP, "secret": qqbot.SECRET, "api": api, "tokens": api}),
}


@pytest.mark.server
@pytest.mark.parametrize("name", SHAPES)
def test_a_dead_way_out_is_told_while_the_socket_lives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, given = SHAPES[name]
    monkeypatch.setattr("kith.channels.keeper.Way", lambda _, clock, show: Way(1.0, clock, show))

    async def story() -> None:
        async with site() as platform, Proxy(int(platform.url.rpartition(":")[2])) as proxy:
            settings = {**given(f"http://127.0.0.1:{proxy.port}"), "access": "everyone"}
            async with household(tmp_path, name, settings) as (home, echo):
                keeper = home.manager._keepers[name]
                proxy.blackhole()
                await platform.hear("meanwhile")
                await until(lambda: ["meanwhile"] in echo.heard.values())  # it hears
                await until(lambda: "cannot send" in home.health.snapshot()[f"channel:{name}"].detail)
                found = row(home, name)
                assert found["state"] == "degraded" and "cannot send" in found["note"]
                proxy.heal()
                await up(home, name)
                await home.until(lambda: not keeper.route.waiting and keeper.watch.last_out)

    asyncio.run(story())


class Two:
    """A channel with two ways, each of which the test may close; `asked` counts the questions."""

    open_in = open_out = True

    def __init__(self, settings: ChannelSettings, kit: Kit, port: int) -> None:
        self.asked, self.sent = [0, 0], list[str]()

    async def start(self, accept: Any) -> None:
        """There is nothing to open."""

    async def stop(self) -> None:
        """Nor to close."""

    async def send(self, parcel: Parcel) -> Sent:
        if not self.open_out:
            raise Unavailable("the platform is away")
        self.sent.append(parcel.message.text)
        return Sent(parcel.id)

    async def probe(self) -> None:
        self.asked[0] += 1
        if not self.open_in:
            await asyncio.Event().wait()

    async def reach(self) -> None:
        self.asked[1] += 1
        if not self.open_out:
            raise Unavailable("the platform is away")


class Pair(Folders):
    """A registry with such a channel."""

    def load(self, name: str) -> Any:
        def build(settings: ChannelSettings, kit: Kit) -> Any:
            self.made.append(Two(settings, kit, 0))  # pyright: ignore
            return self.made[-1]

        return build


@pytest.mark.parametrize("isolation", ["loop", "thread"])
def test_replies_that_go_out_do_not_hide_that_nothing_comes_in(house: Any, isolation: str) -> None:
    async def story() -> None:
        folders = Pair(0, liveness=0.9, isolation=isolation)
        async with house(folders) as home:
            await home.manager.start("w")
            await home.until(lambda: row(home)["state"] == "ready")
            (channel,) = folders.made[-1:]
            channel.open_in = False
            count = 0
            while row(home)["restarts"] == 0:  # replies are taken all the time
                await home.commit(f"m{count}", channel="line")
                await home.until_states(**{f"m{count}": "sent"})
                count += 1
            assert "nothing was heard" in row(home)["note"] or row(home)["state"] == "ready"
            await home.manager.stop()

    asyncio.run(story())


def test_a_reply_that_is_taken_shows_the_way_out_as_well_again(house: Any) -> None:
    async def story() -> None:
        folders = Pair(0, liveness=0.9)
        async with house(folders) as home:
            await home.manager.start("w")
            await home.until(lambda: row(home)["state"] == "ready")
            channel = folders.made[-1]
            channel.open_out = False
            await home.until(lambda: row(home)["state"] == "degraded")
            assert row(home)["note"] == "cannot send: the platform is away"
            with pytest.raises(Unavailable, match="the platform is away"):
                await home.manager.command("line", "test")
            channel.open_out = True
            await home.commit("late", channel="line")
            await home.until_states(late="sent")
            await home.until(lambda: row(home)["state"] == "ready")
            await home.manager.stop()

    asyncio.run(story())


def test_the_bound_is_kept_and_a_busy_way_is_not_asked() -> None:
    """By a clock of its own: shown once nothing passed for the whole bound, and not before."""
    told, asked = list[str](), list[float]()
    clock = FrozenClock()

    class Deaf:
        async def reach(self) -> None:
            asked.append(clock.monotonic())
            clock.advance(30.0)
            raise Unavailable("no")

    async def story() -> None:
        way = Way(90.0, clock, told.append)
        clock.advance(30.0)
        asking = asyncio.create_task(way.watch(Deaf()))
        await until(lambda: asked)
        assert told == []  # 60 s of silence
        way.passed()
        assert told == []
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        way = Way(90.0, clock, told.append)
        clock.advance(60.0)
        asking = asyncio.create_task(way.watch(Deaf()))
        await until(lambda: told)
        assert told == ["no"]
        way.passed()
        assert told == ["no", ""]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(story())
