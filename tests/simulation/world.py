"""One run: a seed, a household of one or two processes, people who write, faults, and at the end the questions."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from kith.dialogue import FlowBook
from tests.simulation.faults import Disk, Weather
from tests.simulation.household import Household
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.platform import Platform

FLOW = Path(__file__).with_name("flow.json")
_HOUR, _YEAR = 3600.0, 31_557_600.0
_QUIET = 3 * _HOUR  # after the last fault, everything has to be answered within this time
_POLICIES = ("idempotent", "idempotent", "idempotent", "reconcile", "at_least_once", "at_most_once")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. `problems` is empty when all is well; `trace` is a digest of everything that happened."""

    seed: int
    problems: tuple[str, ...]
    trace: str
    messages: int
    kills: int
    faults: int
    policy: str


@dataclass
class World:
    """Everything of one seed."""

    seed: int
    flows: FlowBook
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    wall: list[float] = field(default_factory=lambda: [0.0])
    houses: list[Household] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    jumped: bool = False

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.weather = Weather.drawn(self.rng)
        self.policy = self.rng.choice(_POLICIES)
        self.freshness = self.rng.choice((0.0, 86400.0))
        self.size = self.rng.choice((1, 1, 1, 2))
        self.disk = Disk(self.rng, self.weather, self.note)
        self.platform = Platform(self.loop, self.rng, self.weather, self.policy, self.note)
        self.digest = hashlib.sha256()
        self.story: list[str] = []

    def note(self, kind: str, *what: object) -> None:
        """Keep that something happened."""
        line = f"{self.loop.now:.6f} {kind} {' '.join(map(str, what))}"
        self.digest.update(line.encode())
        self.story.append(line)
        self.happened[kind] += 1

    def boot(self) -> None:
        """Start one more process."""
        name = f"p{len(self.houses)}"
        house = Household(name, self.loop, self.disk, self.platform, self.flows)
        self.houses.append(house)
        self.note("start", name)
        house.start(self.wall, self.alive, self.freshness)

    def alive(self, boot: str) -> bool:
        return any(boot in house.boots and not house.process.dead for house in self.houses)

    async def live(self) -> None:
        """People write while things go wrong; then the sky clears, and everything has to come to rest."""
        for _ in range(self.size):
            self.boot()
        writers = [
            asyncio.create_task(self.platform.write(f"c{room}", f"s{room}", number))
            for room in range(self.rng.randint(1, 5))
            for number in range(self.rng.randint(1, 6))
        ]
        trouble = asyncio.create_task(self._trouble())
        await asyncio.sleep(self.rng.uniform(100, 400))
        trouble.cancel()
        self.weather.calm()
        self.disk.out = False
        for house in self.houses:
            if house.process.stopped:
                self.loop.resume(house.process)
        self.note("calm")
        await asyncio.gather(*writers)
        await self._rest()

    async def _trouble(self) -> None:
        weather, rng = self.weather, self.rng
        while True:
            await asyncio.sleep(rng.random() * 4)
            living = [house for house in self.houses if not house.process.dead]
            house = rng.choice(living)
            if rng.random() < weather.kill:
                self.note("kill", house.process.name)
                house.process.kill()
                self.loop.call_later(rng.random() * 10, self.boot)
                await asyncio.sleep(11 if len(living) == 1 else 0)
            elif rng.random() < weather.stop and not house.process.stopped:
                self.note("stop", house.process.name)
                house.process.stopped = True
                self.loop.call_later(rng.random() * 200, self.loop.resume, house.process)
            elif rng.random() < weather.jump:
                self.wall[0] += rng.choice((_HOUR, -_HOUR, _YEAR, -_YEAR))
                self.jumped = True
                self.note("jump", self.wall[0])
            elif rng.random() < weather.outage:
                self.disk.out = not self.disk.out
                self.note("outage", self.disk.out)

    async def _rest(self) -> None:
        """Wait until nothing is left to do."""
        deadline = self.loop.now + _QUIET
        while self.loop.now < deadline:
            await asyncio.sleep(5)
            if not self._left():
                return

    def _left(self) -> list[str]:
        """What has not come to rest."""
        ask = {
            "unanswered": "SELECT count(*) FROM inbox WHERE state = 0",
            "unsent": "SELECT count(*) FROM outbox WHERE state = 0",
            "leases": "SELECT count(*) FROM lanes WHERE worker <> '' OR head IS NOT NULL",
        }
        counts = {name: self.disk.connection.execute(sql).fetchone()[0] for name, sql in ask.items()}
        return [f"{name}={count}" for name, count in counts.items() if count]

    def problems(self) -> list[str]:
        """Everything that is not as it has to be."""
        found = [f"stuck: {line}" for line in self._left()]
        rows = self.disk.connection.execute(
            "SELECT inbox.id, inbox.state, count(turns.seq) FROM inbox LEFT JOIN turns ON turns.id = inbox.id "
            "GROUP BY inbox.id ORDER BY inbox.seq"
        ).fetchall()
        order = {turn: place for place, (turn, _, _) in enumerate(rows)}
        found += [f"dead message {turn}" for turn, state, _ in rows if state == 2]
        found += [f"{turn} was answered {count} times" for turn, state, count in rows if state == 1 and count != 1]
        seen = Counter(name for _, name, _ in self.platform.seen)
        shown = self._shown()
        for name, turn in self.platform.acknowledged.items():
            if turn not in order:
                found.append(f"{name} was acknowledged and is not there")
            elif not seen[name] and name not in shown:
                found.append(f"{name} was never answered")
        if self.policy != "at_least_once":
            found += [f"{name} was answered {count} times" for name, count in seen.items() if count > 1]
        return found + self._disorder(order)

    def _shown(self) -> set[str]:
        """Messages whose reply was kept for a person to see instead of being sent, where that is right."""
        kept = self.disk.connection.execute("SELECT state, body FROM outbox WHERE state IN (2, 3)").fetchall()
        allowed = {3} if self.jumped and self.freshness else set()
        allowed |= {2} if self.policy == "at_most_once" else set()
        names = self.platform.acknowledged
        return {name for state, body in kept if state in allowed for name in names if f'"{name}"'.encode() in body}

    def _disorder(self, order: dict[str, int]) -> list[str]:
        """Answers that came in another order than the messages were accepted in."""
        places: dict[str, list[int]] = defaultdict(list)
        for room, name, _ in self.platform.seen:
            turn = self.platform.acknowledged.get(name)
            if turn in order and (self.policy != "at_least_once" or order[turn] not in places[room]):
                places[room].append(order[turn])
        return [f"{room} was answered out of order" for room, line in places.items() if line != sorted(line)]


def simulate(seed: int, flows: FlowBook) -> tuple[Result, list[str]]:
    """Run one seed: its result, and its story line by line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    world = World(seed, flows)
    asyncio.set_event_loop(world.loop)
    try:
        try:
            world.loop.run_until_complete(world.live())
            problems = world.problems()
        except Stuck as stuck:
            problems = [str(stuck)]
    finally:
        world.loop.bury()
        asyncio.set_event_loop(None)
        world.disk.close()
    happened = world.happened
    faults = sum(happened[kind] for kind in ("disk", "stop", "jump", "outage"))
    trace = world.digest.hexdigest()
    result = Result(seed, tuple(problems), trace, world.platform.sent, happened["kill"], faults, world.policy)
    return result, world.story
