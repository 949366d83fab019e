"""What happens at the same moment: a stop while a channel comes up, a library that gives up, a lease that runs out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kith.channels.calls import tended
from kith.channels.keeper import Keeper
from kith.channels.kit import ChannelSettings, Kit
from kith.channels.replay import Replay
from kith.channels.sender import Route, Sender
from kith.channels.settings import DeliverySettings
from kith.core.clock import FrozenClock, SystemClock
from kith.core.errors import Refused, Unavailable
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Sent
from kith.runtime.health import Health
from tests.channels.test_keeper import Folders, row

Open = Callable[..., Any]


class Script:
    """A channel that does what the test says, at each of its steps. `doing` maps a step to what it does."""

    def __init__(self, kit: Kit, doing: dict[str, Callable[[Script], Awaitable[Any]]]) -> None:
        self.kit, self.doing, self.sent, self.down = kit, doing, list[str](), False
        self.accept: Any = None

    async def _do(self, step: str) -> None:
        if step in self.doing:
            await self.doing[step](self)

    async def start(self, accept: Any) -> None:
        self.accept = accept
        await self._do("start")

    async def send(self, parcel: Parcel) -> Sent:
        await self._do("send")
        self.sent.append(parcel.message.text)
        return Sent(parcel.id)

    async def stop(self) -> None:
        await self._do("stop")
        self.down = True

    async def typing(self, conversation: str) -> None:
        assert not self.down, conversation


class Stage(Folders):
    """A registry with a channel that follows `doing`."""

    def __init__(self, doing: dict[str, Callable[[Script], Awaitable[Any]]], **details: Any) -> None:
        super().__init__(0, **details)
        self.doing = doing

    def load(self, name: str) -> Any:
        def build(settings: ChannelSettings, kit: Kit) -> Any:
            self.made.append(Script(kit, self.doing))  # pyright: ignore
            return self.made[-1]

        return build


def tell(house: Open, doing: dict[str, Callable[[Script], Awaitable[Any]]], story: Callable[..., Any]) -> None:
    async def whole() -> None:
        folders = Stage(doing)
        async with house(folders) as home:
            await home.manager.start("w")
            try:
                async with asyncio.timeout(60):
                    await story(home, folders)
            finally:
                await home.manager.stop()

    asyncio.run(whole())


def said(text: str) -> Envelope:
    return Envelope("line", "local", text, "anna", "main", Message(text, "user", (Text(text),), 1.0))


async def give_up(_: Script) -> None:
    raise asyncio.CancelledError  # what a library lets out that awaits a task it has cancelled


@pytest.mark.parametrize("step", ["start", "stop"])
def test_a_library_that_gives_up_does_not_end_the_keeper(house: Open, step: str) -> None:
    doing = {step: give_up}

    async def story(home: Any, folders: Stage) -> None:
        if step == "stop":
            await home.until(lambda: row(home)["state"] == "ready")
            home.manager._keepers["line"].lost("gone")
        await home.until(lambda: len(folders.made) > 2 or row(home)["restarts"])
        doing.clear()
        await home.until(lambda: row(home)["state"] == "ready" and len(folders.made) > 1)
        await home.commit("after", channel="line")
        await home.until_states(after="sent")

    tell(house, doing, story)


def test_a_reply_whose_library_gives_up_is_sent_again(house: Open) -> None:
    tries = list[int]()

    async def twice(one: Script) -> None:
        tries.append(1)
        if len(tries) < 3:
            await give_up(one)

    async def story(home: Any, folders: Stage) -> None:
        await home.commit("hello", channel="line")
        await home.until_states(hello="sent")
        assert len(tries) == 3

    tell(house, {"send": twice}, story)


def test_a_loop_whose_library_gives_up_is_told() -> None:
    async def story() -> None:
        told = list[str]()

        async def loop() -> None:
            raise asyncio.CancelledError

        await tended("Line", told.append, loop)
        assert told == ["the Line channel's library gave up"]
        task = asyncio.create_task(tended("Line", told.append, asyncio.Event().wait))  # pyright: ignore
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(told) == 1  # it was stopped: nothing is lost

    asyncio.run(story())


def test_a_channel_that_is_stopped_while_it_comes_up_sends_nothing(house: Open) -> None:
    """The grace for a running send is no time to come up in."""
    leave, sending, coming, come = (asyncio.Event() for _ in range(4))

    async def slow(one: Script) -> None:
        sending.set()
        await leave.wait()

    async def begin(one: Script) -> None:
        if sending.is_set():
            coming.set()
            await come.wait()

    async def story(home: Any, folders: Stage) -> None:
        await home.until(lambda: row(home)["state"] == "ready")
        await home.commit("first", channel="line")
        await sending.wait()
        keeper: Keeper = home.manager._keepers["line"]
        keeper.lost("gone")
        await coming.wait()
        stopping = asyncio.create_task(keeper.stop())
        for _ in range(50):
            await asyncio.sleep(0)
        come.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert keeper.route.channel is None
        leave.set()
        await stopping

    tell(house, {"send": slow, "start": begin}, story)


def test_what_is_heard_while_a_channel_stops_leaves_no_task_behind(house: Open) -> None:
    async def last(one: Script) -> None:
        if one.accept is not None:
            await one.accept(said(f"last{id(one)}"))

    async def story(home: Any, folders: Stage) -> None:
        await home.until(lambda: row(home)["state"] == "ready")
        keeper: Keeper = home.manager._keepers["line"]
        await keeper.stop()
        assert not keeper._typist._tasks and not keeper.door._tasks

    tell(house, {"stop": last}, story)


def test_one_that_was_left_behind_proves_nothing_and_ends_nothing(house: Open) -> None:
    async def story(home: Any, folders: Stage) -> None:
        await home.until(lambda: row(home)["state"] == "ready")
        keeper: Keeper = home.manager._keepers["line"]
        keeper.lost("gone")
        await home.until(lambda: row(home)["restarts"] == 1 and row(home)["state"] == "ready")
        old, new = folders.made[-2:]
        keeper.watch.sign = 7.0
        old.kit.alive()
        old.kit.lost("I thawed")
        await asyncio.sleep(0)
        assert keeper.watch.sign == 7.0 and not keeper._lost.is_set()
        new.kit.alive()
        new.kit.lost("I am gone")
        assert keeper.watch.sign != 7.0
        await home.until(lambda: row(home)["restarts"] == 2)

    tell(house, {}, story)


def test_nothing_is_brought_up_after_the_manager_was_stopped(house: Open) -> None:
    leave, leaving = asyncio.Event(), asyncio.Event()

    async def slowly(one: Script) -> None:
        if one.accept is not None:
            leaving.set()
            await leave.wait()

    async def story(home: Any, folders: Stage) -> None:
        await home.until(lambda: row(home)["state"] == "ready")
        changing = asyncio.create_task(home.manager.configure("line", {"names": ["Kith"]}))
        await leaving.wait()
        stopping = asyncio.create_task(home.manager.stop())
        for _ in range(200):
            await asyncio.sleep(0)
        leave.set()
        await asyncio.gather(changing, stopping)
        assert not home.manager._keepers and all(one.down or one.accept is None for one in folders.made)

    tell(house, {"stop": slowly}, story)


def test_a_call_that_was_not_kept_is_welcome_again_however_it_ended() -> None:
    replay = Replay(FrozenClock(1000.0))
    for ended in (Unavailable("no room"), asyncio.CancelledError(), RuntimeError("a bug"), Refused("too many")):
        replay.check(1000.0, "a")
        with pytest.raises(type(ended)), replay.until_kept("a"):
            raise ended
    replay.check(1000.0, "a")
    with replay.until_kept("a"):
        pass
    with pytest.raises(Refused):
        replay.check(1000.0, "a")


class Outbox:
    """One parcel, whose lease runs out while it is being settled, `when` it is taken anew: by the same sender."""

    def __init__(self, when: str) -> None:
        self.when, self.settled, self.fence, self.taken = when, list[Any](), 0, 0
        self.again = asyncio.Event()
        self.broken = 1

    async def take(self, worker: str, limit: int) -> tuple[Parcel, ...]:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("a bug")
        if self.settled or (self.taken and not self.again.is_set()) or self.taken > 1:
            return ()
        self.taken += 1
        self.fence += 1
        told = Message("m", "assistant", (Text("hello"),), 1.0)
        state: Any = "waiting" if self.taken == 1 else "sending"
        return (Parcel("p", 1, "c", "line", "local", "main", told, state=state, fence=self.fence, attempts=self.taken),)

    async def settle(self, parcel: Parcel, outcome: Any) -> None:
        if self.taken == 1:
            self.again.set()
            self.fence += 0 if self.when == "meanwhile" else 1
            while self.when == "meanwhile" and self.taken == 1:
                await asyncio.sleep(0.001)
            raise Refused("another sender has it", code="lease_lost")
        if parcel.fence != self.fence:
            raise Refused("another sender has it", code="lease_lost")
        self.settled.append(outcome)


@pytest.mark.parametrize("when", ["meanwhile", "after"])
def test_a_reply_whose_lease_ran_out_is_not_sent_twice_by_the_same_sender(when: str) -> None:
    async def story() -> None:
        outbox, sent = Outbox(when), list[str]()

        class Line:
            async def send(self, parcel: Parcel) -> Sent:
                sent.append(parcel.id)
                return Sent("r")

        line: Any = Line()
        route = Route("line", "local", "at_least_once", False, channel=line)
        health = Health()
        given = DeliverySettings(poll=0.01, backoff=0.01, grace=1.0)
        sender = Sender(outbox, {"line": route}, given, SystemClock(), health)  # pyright: ignore
        sender.start("w")
        async with asyncio.timeout(60):
            while not outbox.settled:
                await asyncio.sleep(0.005)
        await sender.stop()
        assert sent == ["p"] and outbox.settled == [Sent("r")]
        assert health.snapshot()["outbox"].condition == "ready"  # the bug of the first look ended nothing

    asyncio.run(story())
