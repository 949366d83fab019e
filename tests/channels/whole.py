"""A whole server whose own door, and way out, are cut again and again while visitors talk to it (see `visitors`)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol

from tests.channels.proxy import Proxy
from tests.channels.rig import Outcome, Person, Stage, score
from tests.channels.servers import free_port
from tests.crash.platforms import answered, configure, greeted, kept, life, numbers, word

_APART = 8  # the people whose words stay apart from each other's


async def play_whole(
    folder: Path,
    stage: AbstractAsyncContextManager[Stage],
    *,
    messages: int,
    seconds: float,
    every: float,
    seed: int = 1,
    quiet: float = 45.0,
) -> Outcome:
    """As `rig.play`."""
    home, port = folder / "home", free_port()
    home.mkdir()
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(stage)
        doors = [await stack.enter_async_context(Proxy(port))]
        if scene.port:  # the way out
            doors.append(await stack.enter_async_context(Proxy(scene.port)))
        configure(home, scene, port, doors[-1].port)
        scene.place.door = doors[0]
        serving = asyncio.create_task(life(home, "", "before", 0))
        share, began = messages // len(scene.people), time.monotonic()
        cutter = _Cutter(doors, every, seed)
        cutting = asyncio.create_task(asyncio.sleep(0))
        try:
            await greeted(scene)
            cutting, began = asyncio.create_task(cutter.run()), time.monotonic()
            for one in scene.people:
                getattr(one, "recoveries", []).clear()
            await asyncio.gather(*(speak(one, p, share, seconds) for p, one in enumerate(scene.people)))
            cutting.cancel()
            await answered(scene, [share] * len(scene.people), quiet)
        finally:
            for task in (cutting, serving):
                task.cancel()
            await asyncio.gather(cutting, serving, return_exceptions=True)
        took = time.monotonic() - began
    heard, dead = await kept(home)
    return judged(scene.people, share, [number for number, _ in heard], len(dead), cutter, took)


async def speak(person: Person, place: int, share: int, seconds: float) -> None:
    """Say the words of the person at `place`, evenly within about `seconds`."""
    began = time.monotonic()
    for number in range(share):
        if (wait := began + number * seconds / share - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        await person.say(word(number * _APART + place))


class Cuts(Protocol):
    """How often the connection was broken, and how long until there was one again, in seconds."""

    cuts: int
    recoveries: list[float]


class _Cutter:
    """Cuts at random moments; back again is when somebody has come or gone through a door anew."""

    def __init__(self, doors: Sequence[Proxy], every: float, seed: int) -> None:
        self._doors, self._every, self._chance = doors, every, random.Random(seed)
        self.cuts = 0
        self.recoveries: list[float] = []

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self._every)
            before, began = [door.connections for door in self._doors], time.monotonic()
            cut = [door for door, count in zip(self._doors, before, strict=True) if door.cut() or count]
            if not cut:
                continue
            self.cuts += 1
            while all(door.connections == count for door, count in zip(self._doors, before, strict=True)):
                await asyncio.sleep(0.002)
            self.recoveries.append(time.monotonic() - began)


def judged(people: Sequence[Person], share: int, heard: Sequence[int], dead: int, cutter: Cuts, took: float) -> Outcome:
    """What became of a play, from what people saw and what the house heard."""
    wanted = [[str(number * _APART + place) for number in range(share)] for place in range(len(people))]
    got = [[str(number) for number in heard if number % _APART == place] for place in range(len(people))]
    seen = [[str(number) for number in numbers(one.heard)] for one in people]
    copies = sum(len(getattr(one, "copies", ())) for one in people)
    waits = [wait for one in people for wait in getattr(one, "recoveries", ())] or cutter.recoveries
    found = score(wanted, got), score(got, seen)
    return Outcome(share * len(people), *found, dead, cutter.cuts, waits, took, copies)
