"""Channels that die in every way, and one that freezes: noticed within the bound, brought up again, the others calm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kith.channels.keeper import Keeper
from kith.channels.kit import ChannelSettings, Kit
from kith.core.clock import FrozenClock, SystemClock
from kith.core.errors import Invalid, NotFound, Refused, Unavailable
from kith.core.manifest import Manifest
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Sent
from tests.channels.emulators.site import turn_away
from tests.channels.proxy import Proxy

Open = Callable[..., Any]


class Line:
    """A channel over a TCP connection that is answered by an echo: each line sent is a line received."""

    made: list[Line]
    frozen, release = threading.Event(), threading.Event()

    def __init__(self, settings: ChannelSettings, kit: Kit, port: int) -> None:
        self.kit, self.port, self.thread = kit, port, ""
        self.probes = 0
        self.echoed = asyncio.Event()
        self.reading: asyncio.Task[None] | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def start(self, accept: Any) -> None:
        self.thread = threading.current_thread().name
        try:
            reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            raise Unavailable("nobody there") from None
        self.reading = asyncio.create_task(self._read(reader, accept))

    async def _read(self, reader: asyncio.StreamReader, accept: Any) -> None:
        try:
            while line := await reader.readline():
                self.kit.alive()
                self.echoed.set()
                if line.startswith(b"say "):
                    said = Message("m", "user", (Text(line.decode()[4:].strip()),), self.kit.clock.now())
                    await accept(Envelope("line", "local", line.decode().strip(), "anna", "main", said))
            self.kit.lost("the connection was closed")
        except OSError as error:
            self.kit.lost(str(error))

    async def write(self, text: str) -> None:
        if self.writer is None or self.writer.is_closing():
            raise Unavailable("not connected")
        self.writer.write(text.encode() + b"\n")
        await self.writer.drain()

    async def send(self, parcel: Parcel) -> Sent:
        if parcel.message.text == "freeze" and not self.frozen.is_set():
            self.frozen.set()
            self.release.wait(60)  # what a blocking library does
        await self.write("got " + parcel.message.text)
        return Sent(parcel.id)

    async def probe(self) -> None:
        self.probes += 1
        self.echoed = asyncio.Event()
        await self.write("ping")
        await self.echoed.wait()

    async def stop(self) -> None:
        if self.reading is not None:
            self.reading.cancel()
        if self.writer is not None:
            self.writer.close()


class Folders:
    """A registry with one channel besides the shipped loopback."""

    def __init__(self, port: int, **details: Any) -> None:
        self.port, self.made = port, list[Line]()
        self.details = {"delivery": "idempotent", "default": True, **details}

    def manifests(self) -> dict[str, Manifest]:
        title = {"en": "Line", "zh": "线"}
        line = Manifest("line", "channel", title, "x:y", "x", Path("line"), details=self.details)
        easy = Manifest("easy", "channel", title, "x:y", "x", Path("easy"), details={"delivery": "idempotent"})
        return {"line": line, "easy": easy}

    def manifest(self, name: str) -> Manifest:
        if name not in self.manifests():
            raise NotFound(name)
        return self.manifests()[name]

    def settings(self, name: str) -> type[ChannelSettings]:
        return ChannelSettings

    def load(self, name: str) -> Any:
        def build(settings: ChannelSettings, kit: Kit) -> Line:
            self.made.append(Line(settings, kit, self.port))
            return self.made[-1]

        return build


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def tell(house: Open, story: Callable[..., Any], **details: Any) -> None:
    async def whole() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
            folders = Folders(proxy.port, **details)
            async with house(folders, easy={}) as home:
                await home.manager.start("w")
                try:
                    await home.until(lambda: home.health.snapshot()["channel:line"].condition == "ready")
                    await story(home, proxy, folders)
                finally:
                    await home.manager.stop()
        await turn_away(server)
        server.close()

    asyncio.run(whole())


def row(home: Any, name: str = "line") -> Any:
    return next(one for one in home.manager.describe() if one["name"] == name)


def test_a_black_hole_is_noticed_within_the_bound_and_healed(house: Open) -> None:
    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        await home.until(lambda: folders.made[0].probes >= 2)  # quiet, but answered: it is left alone
        assert row(home)["restarts"] == 0
        proxy.blackhole()
        await home.until(lambda: row(home)["restarts"] >= 1)
        told = row(home)
        assert told["state"] in ("degraded", "starting") and "nothing was heard" in told["note"]
        await home.commit("hello", channel="line")
        proxy.heal()
        await home.until_states(hello="sent")
        assert row(home)["state"] == "ready" and row(home)["last_out"] > 0

    tell(house, story, liveness=2.0)


def test_a_cut_connection_comes_back_and_nothing_is_lost(house: Open) -> None:
    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        for number in range(6):
            await home.commit(f"m{number}", channel="line")
            if number % 2:
                proxy.cut()
        await home.until_states(**{f"m{number}": "sent" for number in range(6)})
        assert len(folders.made) > 1 and row(home)["errors"] > 0

    tell(house, story, liveness=60)


def test_a_frozen_library_in_its_thread_stalls_nobody(house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.channels.keeper._STOP", 0.2)

    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        inner = next(one for one in folders.made if one.thread.startswith("channel line"))
        await home.commit("freeze", channel="line")
        await asyncio.to_thread(inner.frozen.wait, 90)
        for number in range(30):  # the others go on
            await home.commit(f"m{number}", channel="easy", conversation=f"c{number % 5}")
        await home.until_states(**{f"m{number}": "sent" for number in range(30)})
        assert not inner.release.is_set() and (await home.states())["freeze"] == "sending"
        assert (await home.manager.command("easy", "test"))["proof"]
        await home.until(lambda: row(home)["restarts"] >= 1)  # silence is noticed: a new thread takes over
        await home.commit("after", channel="line", conversation="another")
        await home.until_states(after="sent")
        assert not inner.release.is_set()
        inner.release.set()
        await home.until_states(freeze="sent")

    try:
        tell(house, story, isolation="thread", liveness=0.6)
    finally:
        Line.release.set()  # whatever happened: no thread is left behind
        Line.release.clear()
        Line.frozen.clear()


def test_a_connection_that_works_is_taken_up_again_soon(house: Open) -> None:
    waits: list[float] = []

    class Quick(SystemClock):
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            await asyncio.sleep(0)

    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        keeper = home.manager._keepers["line"]
        keeper._clock = Quick()
        keeper._delivery = keeper._delivery.model_copy(update={"backoff": 1.0, "backoff_limit": 300.0})
        await keeper.stop()
        keeper.start()

        async def breaks() -> None:
            count = len(waits)
            await home.until(lambda: keeper.watch.condition == "ready")
            keeper.lost("gone")
            await home.until(lambda: len(waits) > count)

        for _ in range(4):  # before anything went through
            await breaks()
        assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits)] == [True] * 4
        await home.until(lambda: keeper.watch.condition == "ready")
        await home.commit("hello", channel="line")
        await home.until_states(hello="sent")
        await breaks()
        assert 0.5 <= waits[4] <= 1.0

    tell(house, story)


def test_what_is_heard_in_a_thread_is_kept_by_the_house(house: Open) -> None:
    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        inner = next(one for one in folders.made if one.thread.startswith("channel line"))
        loop = home.manager.channel("line")._loop
        asyncio.run_coroutine_threadsafe(inner.write("say hello"), loop)
        await home.until(lambda: row(home)["last_in"] > 0)
        await home.until(lambda: home.storage.inbox.claim("talk", 10))
        assert (await home.manager.command("line", "test"))["proof"] == "probe"

    tell(house, story, isolation="thread")


def test_channels_are_run_one_by_one(house: Open) -> None:
    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        easy = home.manager.channel("easy")
        assert (await home.manager.command("line", "stop"))["state"] == "stopped"
        await home.commit("later", channel="line")
        await home.until(lambda: home.storage.outbox.find("waiting"))
        assert (await home.manager.command("line", "start"))["state"] == "ready"
        await home.until_states(later="sent")
        before = home.manager.channel("line")
        await home.manager.command("line", "restart")
        assert home.manager.channel("line") is not before and home.manager.channel("easy") is easy
        with pytest.raises(Invalid):
            await home.manager.configure("line", {"acount": "x"})
        assert row(home)["state"] == "ready"  # the old settings are still in force
        await home.manager.configure("line", {"account": "other"})
        await home.commit("new", channel="line", account="other")
        await home.until_states(new="sent")
        await home.manager.configure("line", None)
        with pytest.raises(NotFound):
            home.manager.channel("line") if "line" in home.manager._keepers else home.manager.about("nobody")
        with pytest.raises(NotFound):
            await home.manager.command("nobody", "start")

    tell(house, story, default=True)


def test_a_wrong_token_is_told_and_not_tried_again(house: Open) -> None:
    async def story(home: Any, proxy: Proxy, folders: Folders) -> None:
        tries: list[int] = []

        async def start(self: Line, accept: Any) -> None:
            tries.append(1)
            raise Refused("the token is wrong")

        right, Line.start = Line.start, start
        try:
            told = await home.manager.command("line", "restart")
            assert told["state"] == "failed" and "token" in told["note"]
            with pytest.raises(Unavailable):
                await home.manager.command("line", "test")
            assert tries == [1]
        finally:
            Line.start = right

    tell(house, story)


class Mute:
    """A channel whose platform answers nothing, at once."""

    asked = 0

    async def probe(self) -> None:
        self.asked += 1
        raise Unavailable("nobody there")


def kept(channel: object, clock: FrozenClock) -> Keeper:
    """A keeper of it, without a house."""
    route: Any = SimpleNamespace(name="line", channel=channel, note="", took=None, drafts=None, pace=None)
    door: Any = SimpleNamespace(sent=lambda parcel, receipt: None)
    life: Any = SimpleNamespace(delivery=None, clock=clock, health=None, chance=None, streams=None)
    keeper = Keeper(route, lambda one: channel, door, 180.0, life)  # pyright: ignore[reportArgumentType]
    keeper.alive()
    return keeper


@pytest.mark.parametrize("asks", [True, False])
def test_news_of_a_reply_from_before_a_silence_does_not_cut_it_short(asks: bool) -> None:
    clock = FrozenClock()
    keeper = kept(Mute() if asks else object(), clock)
    clock.advance(18)
    parcel = Parcel("p", 1, "c", "line", "local", "anna", Message("m", "assistant", (Text("x"),), 0.0))
    keeper._took(parcel, Sent("r"))
    assert keeper.watch.last_out == clock.now()
    assert clock.monotonic() - keeper.watch.sign == (18 if asks else 0)


def test_a_question_without_an_answer_is_put_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, channel = FrozenClock(), Mute()
    keeper = kept(channel, clock)
    waits = list[float]()

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    monkeypatch.setattr(keeper, "_pause", pause)
    asyncio.run(keeper._until_lost())
    assert sum(waits) == 180 and keeper._lost.is_set()
    assert waits[:6] == [60, 1, 2, 4, 8, 15] and channel.asked == len(waits) - 1 <= 13
