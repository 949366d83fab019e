"""A household with one channel on a real server, whose connection is cut again and again while people talk to it.

`people` are ordinary clients of the same server, connected past the proxy. Each says numbered messages; Kith answers
``re N``; what was heard and what was answered is compared with what was said.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kith.core.message import Message, Text
from kith.core.people import Parcel
from kith.core.turn import Done, Turn
from tests.channels.conftest import House, open_house
from tests.channels.proxy import Proxy

DELIVERY = {"poll": 0.05, "backoff": 0.1, "backoff_limit": 0.5, "grace": 1.0, "attempts": 1000}


class Person(Protocol):
    """Somebody on the platform."""

    heard: list[str]

    async def say(self, text: str) -> None:
        """Returns when the platform has taken the message for Kith."""
        ...


@dataclass(slots=True)
class Stage:
    """A platform ready for a play: `settings` makes the channel's settings for a port (the proxy's)."""

    name: str
    port: int
    settings: Callable[[int], dict[str, Any]]
    people: Sequence[Person]
    also: Proxy | None = None  # a second connection that is cut with the first
    mends: bool = False  # the library connects again by itself: recovered is when there is a connection
    place: Any = None  # for people who come to Kith's own door: where that is


@dataclass(slots=True)
class Score:
    """What became of the messages one way."""

    lost: int = 0
    doubled: int = 0
    misordered: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.misordered)


@dataclass(slots=True)
class Outcome:
    """What became of a play. `recoveries` are seconds from a cut until the channel was up again; `copies` are second
    deliveries of a reply that the platform's key let the receiver recognise; `away` how long a house that was killed
    was not there itself."""

    said: int
    inwards: Score
    outwards: Score
    dead: int
    cuts: int
    recoveries: list[float] = field(default_factory=list)
    seconds: float = 0.0
    copies: int = 0
    away: list[float] = field(default_factory=list)


def score(wanted: Sequence[Sequence[str]], got: Sequence[Sequence[str]]) -> Score:
    """Compare by conversation; a message's first appearance counts for the order."""
    found = Score()
    for said, heard in zip(wanted, got, strict=True):
        counts, places = Counter(heard), {text: place for place, text in enumerate(said)}
        found.lost += sum(text not in counts for text in said)
        found.doubled += sum(count - 1 for count in counts.values())
        order = [places[text] for text in dict.fromkeys(heard) if text in places]
        found.misordered += sum(later < earlier for earlier, later in itertools.pairwise(order))
    return found


class Echo:
    """Answers what the inbox holds, as the dialogue would, and keeps what it was told, by conversation."""

    def __init__(self, home: House) -> None:
        self._home = home
        self.heard: dict[str, list[str]] = {}

    async def run(self) -> None:
        while True:
            async with self._home.answering:  # what a test answers itself is not for us
                claims = await self._home.storage.inbox.claim("echo", 100)
            for claim in claims:
                await self._answer(claim)
            if not claims:
                await asyncio.sleep(0.02)

    async def _answer(self, claim: Any) -> None:
        envelope, home = claim.envelope, self._home
        self.heard.setdefault(envelope.conversation, []).append(envelope.message.text)
        person, conversation = await home.storage.store.resolve(envelope)
        said = Message(home.ids.new("m"), "assistant", (Text(f"re {envelope.message.text}"),), home.clock.now())
        parcel = Parcel(
            said.id, 0, conversation.id, envelope.channel, envelope.account, envelope.conversation, said,
            reply_to=envelope.platform_id,
        )  # fmt: skip
        turn = Turn(claim.id, conversation.id, person.id, home.clock.now(), envelope.message, (said,), model="echo")
        await home.storage.inbox.settle(claim, Done(turn, {}, (parcel,)))
        home.manager.nudge()


@contextlib.asynccontextmanager
async def household(
    folder: Path, name: str, settings: dict[str, Any], **more: Any
) -> AsyncIterator[tuple[House, Echo]]:
    """A household with the channel `name`, answering."""
    async with open_house(folder, delivery={**DELIVERY, **more}, **{name: settings}) as home:
        echo = Echo(home)
        task = asyncio.create_task(echo.run())
        await home.manager.start("w")
        try:
            await up(home, name)
            yield home, echo
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await home.manager.stop()


async def up(home: House, name: str, seconds: float = 90.0) -> None:
    """Wait until the channel is connected."""
    async with asyncio.timeout(seconds):
        while (state := home.health.snapshot().get(f"channel:{name}")) is None or state.condition != "ready":
            if state is not None and state.condition == "failed":
                raise AssertionError(state.detail)
            await asyncio.sleep(0.005)


async def until(condition: Callable[[], Any], seconds: float = 90.0) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Cutter:
    """Cuts every connection at random moments, `every` seconds apart on average."""

    def __init__(self, home: House, stage: Stage, proxy: Proxy, every: float, seed: int) -> None:
        self._home, self._name, self._proxy, self._every, self._also = home, stage.name, proxy, every, stage.also
        self._mends = stage.mends
        self._rng = random.Random(seed)
        self.recoveries: list[float] = []
        self.cuts = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self._every)
            await self.once()

    async def once(self) -> None:
        """One cut, and how long it took until the channel was connected again."""
        keeper = self._home.manager._keepers[self._name]
        restarts, began = keeper.watch.restarts, time.monotonic()
        connections = self._proxy.connections
        if self._also is not None:
            self._also.cut()
        if not self._proxy.cut():
            return
        self.cuts += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while keeper.route.channel is None or (
                    self._proxy.connections == connections if self._mends else keeper.watch.restarts == restarts
                ):
                    await asyncio.sleep(0.002)
                self.recoveries.append(time.monotonic() - began)


async def play(
    folder: Path,
    stage: AbstractAsyncContextManager[Stage],
    *,
    messages: int,
    seconds: float,
    every: float,
    seed: int = 1,
    quiet: float = 45.0,
) -> Outcome:
    """Everybody says their share of `messages` within about `seconds`; waits until nothing more comes for `quiet`."""
    async with stage as scene, Proxy(scene.port) as proxy:
        given = scene.settings(proxy.port)
        async with household(folder, scene.name, given) as (home, echo):
            cutter = Cutter(home, scene, proxy, every, seed)
            began, share = time.monotonic(), messages // len(scene.people)
            texts = [[f"{place}.{number}" for number in range(share)] for place in range(len(scene.people))]
            await asyncio.gather(*(one.joined() for one in scene.people if hasattr(one, "joined")))
            cutting = asyncio.create_task(cutter.run())
            try:
                await asyncio.gather(*(_speak(one, own, seconds) for one, own in zip(scene.people, texts, strict=True)))
                cutting.cancel()
                await _settled(home, scene.people, texts, quiet)
            finally:
                cutting.cancel()
                await asyncio.gather(cutting, return_exceptions=True)
            dead = len(await home.storage.outbox.find("dead", 10_000))
            heard = [
                [t for told in echo.heard.values() for t in told if t.startswith(f"{p}.")] for p in range(len(texts))
            ]
            answers = [[f"re {text}" for text in own] for own in heard]
            answered = [[text for text in one.heard if text.startswith("re ")] for one in scene.people]
            return Outcome(
                share * len(texts), score(texts, heard), score(answers, answered), dead, cutter.cuts,
                cutter.recoveries, time.monotonic() - began,
                sum(len(getattr(one, "copies", ())) for one in scene.people),
            )  # fmt: skip


async def _speak(person: Person, texts: Sequence[str], seconds: float) -> None:
    pace, began = seconds / max(1, len(texts)), time.monotonic()
    for number, text in enumerate(texts):
        if (wait := began + number * pace - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        await person.say(text)


async def _settled(home: House, people: Sequence[Person], texts: Sequence[Sequence[str]], quiet: float) -> None:
    """Until everything is answered, or nothing has come for `quiet` seconds, a fifth of that when nothing waits to be
    sent: what is missing then was lost on its way here."""
    latest, since = -1, time.monotonic()
    while time.monotonic() - since < quiet:
        now = [len(set(one.heard)) for one in people]
        if all(count >= len(own) for count, own in zip(now, texts, strict=True)):
            await asyncio.sleep(0.5)  # what comes twice comes now
            return
        if sum(now) != latest:
            latest, since = sum(now), time.monotonic()
        if time.monotonic() - since > quiet / 5 and not await _waiting(home):
            return
        await asyncio.sleep(0.05)


async def _waiting(home: House) -> bool:
    return bool(await home.storage.outbox.find("waiting") or await home.storage.outbox.find("sending"))
