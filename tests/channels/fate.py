"""A house that is killed again and again, told to stop, or cut off, while people at terminals talk to it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

from tests.channels.proxy import Proxy
from tests.channels.rig import Outcome, Stage
from tests.channels.servers import free_port
from tests.channels.visitors import Place
from tests.channels.whole import judged, speak
from tests.crash.platforms import answered, configure, greeted, kept, life


async def play_killed(
    folder: Path,
    stage: AbstractAsyncContextManager[Stage],
    *,
    messages: int,
    seconds: float,
    every: float,
    seed: int = 1,
    quiet: float = 45.0,
    most: int = 10_000,
) -> Outcome:
    """As `rig.play`, with a house that is killed, told to stop, or cut off, `every` seconds after it was up again, at
    `most` so many times: a machine may be so slow that nobody gets a word in between."""
    home = folder / "home"
    home.mkdir()
    async with stage as scene, Proxy(free_port()) as door:
        configure(home, scene)
        living = asyncio.create_task(_lives(home))
        fate = _Fate(scene.place, scene.people, door, every, seed, most)
        striking, share, took = asyncio.create_task(asyncio.sleep(0)), messages // len(scene.people), 0.0
        try:
            await greeted(scene)
            striking, began = asyncio.create_task(fate.run()), time.monotonic()
            await asyncio.gather(*(speak(one, p, share, seconds) for p, one in enumerate(scene.people)))
            striking.cancel()
            await answered(scene, [share] * len(scene.people), quiet)
            took = time.monotonic() - began
            for one in scene.people:
                status = await one.close()  # pyright: ignore
                assert not status, getattr(one, "told", [])[-5:]
        finally:
            for task in (striking, living):
                task.cancel()
            await asyncio.gather(striking, living, return_exceptions=True)
    heard, dead = await kept(home)
    found = judged(scene.people, share, [number for number, _ in heard], len(dead), fate, took)
    found.away = fate.away
    return found


async def _lives(home: Path) -> None:
    """One after the other."""
    while True:
        await life(home, "", "before", 0)


class _Fate:
    """Strikes at random moments. Whoever is at a terminal notes how long it took until it was connected again."""

    def __init__(self, place: Place, people: Sequence[object], door: Proxy, every: float, seed: int, most: int) -> None:
        self._place, self._people, self._door = place, people, door
        self._every, self._chance, self._most = every, random.Random(seed), most
        self.cuts = 0
        self.recoveries: list[float] = []
        self.away: list[float] = []

    async def run(self) -> None:
        while self.cuts < self._most:
            while not await asyncio.to_thread(self._place.alive):
                await asyncio.sleep(0.02)
            await self._stand_in()
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self._every)
            how = self._chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, None))
            began, pid = time.monotonic(), self._place.pid()
            if not pid:
                continue
            for one in self._people:
                one.lost = began  # pyright: ignore
            if how is not None:
                os.kill(pid, how)
            elif not self._door.cut():
                continue
            self.cuts += 1
            while how is not None and (self._place.pid() in (0, pid) or not await asyncio.to_thread(self._place.alive)):
                await asyncio.sleep(0.02)
            if how is not None:
                self.away.append(time.monotonic() - began)

    async def _stand_in(self) -> None:
        """From now on whoever looks for the house comes to the door, so that it can be cut."""
        note = json.loads((file := self._place.home / "run" / "server.json").read_text("utf-8"))
        port = int(urlsplit(note["url"]).port or 0)
        if port == self._door.port:
            return
        self._door.lead(port)
        note["url"] = f"http://127.0.0.1:{self._door.port}"
        fresh = file.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(json.dumps(note), "utf-8")
        fresh.replace(file)
