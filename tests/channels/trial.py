"""One channel against an emulator of its platform: what the tests of all of them begin with."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from kith.channels.kit import Kit
from kith.core.clock import FrozenClock, SystemClock
from kith.core.errors import KithError, Unavailable
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Part, Text
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Accepted
from kith.runtime.streams import Streams
from tests.channels.conftest import House
from tests.channels.proxy import Proxy
from tests.channels.rig import Stage, household, until, up


class Startable(Protocol):
    """What is tried of a channel."""

    async def start(self, accept: Accept) -> None: ...
    async def stop(self) -> None: ...


C = TypeVar("C", bound=Startable)
P = TypeVar("P")
Story = Callable[[C, P, list[Envelope]], Awaitable[None]]


class Shifted(SystemClock):
    """The machine's clock, moved."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


def kit(clock: Any = None, **more: Any) -> Kit:
    """A kit without a house."""
    clock = clock or SystemClock()
    return Kit(None, Streams(), clock, Ids(clock), lambda turn: None, **more)  # pyright: ignore


def reply(channel: str, target: str, text: str, parts: Sequence[Part] = (), *, name: str = "p", **more: Any) -> Parcel:
    """A parcel for `target`, whose id is the same for a text of the same length."""
    said = Message("m", "assistant", (*((Text(text),) if text else ()), *parts), more.pop("at", 0.0))
    return Parcel(f"{name}{len(text)}", 1, "c", channel, "local", target, said, **more)


async def welcome(envelope: Envelope) -> Accepted:
    """An inbox with room for everything."""
    return Accepted("t", "c")


def ear(heard: list[Envelope], door: Callable[[Envelope], None] = lambda _: None) -> Accept:
    """An inbox that keeps what it is told in `heard`, unless `door` raises."""

    async def accept(envelope: Envelope) -> Accepted:
        door(envelope)
        heard.append(envelope)
        return Accepted("t", "c")

    return accept


def full(tried: list[Envelope]) -> Callable[[Envelope], None]:
    """A door behind which there is no room; `tried` is who came."""

    def door(envelope: Envelope) -> None:
        tried.append(envelope)
        raise Unavailable("no room", retry_after=60.0)

    return door


def once(check: Callable[[], Any]) -> Callable[[Envelope], None]:
    """A door at which ``busy`` finds no room the first time; then `check` has to hold: nothing was acknowledged."""
    busy = [True]

    def door(envelope: Envelope) -> None:
        if envelope.message.text == "busy" and busy[0]:
            busy[0] = False
            assert check()
            raise Unavailable("no room", retry_after=0.01)

    return door


def trial(
    site: Callable[[], AbstractAsyncContextManager[P]],
    make: Callable[[P, Kit], C],
    story: Story[C, P],
    *,
    shelf: Kit | None = None,
    ready: Callable[[P], None] = lambda _: None,
    door: Callable[[P], Callable[[Envelope], None]] = lambda _: lambda _: None,
) -> None:
    """Tell `story` of the channel that `make` makes for the platform that `site` opens, `ready` for it."""

    async def whole() -> None:
        async with site() as platform:
            heard = list[Envelope]()
            ready(platform)
            channel = make(platform, shelf or kit())
            try:
                await channel.start(ear(heard, door(platform)))
                await story(channel, platform, heard)
            finally:
                await channel.stop()

    asyncio.run(whole())


class Sessions(Protocol):
    """A platform with sessions that are taken up again."""

    begun: int
    resumed: list[int]

    async def hear(self, text: str) -> Any: ...


def kept_for_the_next_process(
    site: Callable[[], AbstractAsyncContextManager[Sessions]], make: Callable[[Any, Kit], Startable]
) -> None:
    """What found no room, and all after it, is heard by the next channel, in order and in the same session."""

    async def story() -> None:
        async with site() as platform:
            shelf, tried, heard = kit(), list[str](), list[Envelope]()

            def full(envelope: Envelope) -> None:
                tried.append(envelope.message.text)
                if envelope.message.text == "second":
                    raise Unavailable("no room", retry_after=60.0)

            first = make(platform, shelf)
            await first.start(ear([], full))
            for text in ("first", "second", "third"):
                await platform.hear(text)
            await until(lambda: tried == ["first", "second"])
            await first.stop()
            await platform.hear("meanwhile")
            second = make(platform, shelf)
            await second.start(ear(heard))
            await until(lambda: len(heard) == 3)
            assert [one.message.text for one in heard] == ["second", "third", "meanwhile"]
            assert platform.begun == 1 and platform.resumed == [2]
            await second.stop()

    asyncio.run(story())


async def into_the_void(home: House, name: str, proxy: Proxy, say: Callable[[], Awaitable[Any]]) -> None:
    """A session that falls silent is left within the bound of the channel's liveness; what is said meanwhile (`say`)
    is for the test to look for afterwards."""
    keeper = home.manager._keepers[name]
    keeper.liveness = 1.0
    keeper.watch.sign -= 100
    keeper._lost.set()  # the keeper looks at the new bound from the next connection on
    await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
    proxy.blackhole()
    await say()
    await until(lambda: keeper.watch.restarts >= 2)
    proxy.heal()
    await up(home, name)


def silence_noticed(folder: Path, stage: AbstractAsyncContextManager[Stage]) -> None:
    """A line that falls silent is left within the bound of the channel's liveness, and there is a new one."""

    async def story() -> None:
        async with (
            stage as scene,
            Proxy(scene.port) as proxy,
            household(folder, scene.name, scene.settings(proxy.port)) as (home, _),
        ):
            keeper = home.manager._keepers[scene.name]
            keeper.liveness = 1.0
            proxy.cut()
            await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
            proxy.blackhole()
            await until(lambda: keeper.watch.restarts >= 2)
            proxy.heal()
            await up(home, scene.name)

    asyncio.run(story())


@asynccontextmanager
async def suite(script: str, *arguments: str, **environment: str) -> AsyncIterator[asyncio.StreamReader]:
    """A vendor's own SDK in a process of its own (`script` in the folder of the emulators); what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", str(Path(__file__).parent / "emulators" / script), *arguments,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(240):
            yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def ends(sending: Awaitable[Any], kind: type[KithError], after: float | None) -> None:
    """What a platform's answer means to somebody who sends: an error of `kind`, to be tried again `after` seconds."""
    with pytest.raises(kind) as caught:
        await sending
    assert getattr(caught.value, "retry_after", None) == after


def token_renewed(tell: Callable[..., Any], parcel: Callable[..., Parcel]) -> None:
    """A token that lives two hours is renewed five minutes before it ends, and at once when it is stale."""
    clock = FrozenClock()

    async def story(channel: Any, platform: Any, heard: list[Envelope]) -> None:
        for later, tokens in ((6800, 1), (200, 2)):
            clock.advance(later)
            await channel.send(parcel("a", name=f"a{tokens}"))
            assert platform.tokens == tokens
        platform.expire()
        await channel.send(parcel("c", name="c"))
        assert (platform.tokens, len(platform.said)) == (3, 3)

    tell(story, clock)


def cannot_work(tell: Callable[..., Any], kind: type[KithError], said: str, platform: Any = None, **wrong: Any) -> None:
    """A channel that cannot work does not start, and says why; `platform` are attributes of the emulator."""

    async def story(*_: Any) -> None:
        raise AssertionError

    def ready(found: Any) -> None:
        for key, value in (platform or {}).items():
            setattr(found, key, value)

    with pytest.raises(kind, match=said):
        tell(story, ready, **wrong)
