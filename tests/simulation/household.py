"""One process of a household over the shared disk: the real engine, manager, sender and ledger, between fakes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kith.channels import ChannelManager, ChannelPorts, ChannelsSettings
from kith.core.errors import KithError, Unavailable
from kith.core.events import TurnFinished
from kith.core.ids import Ids
from kith.core.manifest import Manifest
from kith.core.message import Delta, Envelope, Part
from kith.core.model import ChatRequest, ModelCard, ToolSpec
from kith.core.people import Principal
from kith.core.ports import Release
from kith.core.turn import Passage
from kith.dialogue import DialogueSettings, Engine, FlowBook, Ports, load_persona
from kith.runtime.bus import Bus
from kith.runtime.health import Health
from kith.runtime.streams import Streams
from kith.storage import Storage, StorageSettings
from kith.storage.ledger import build
from tests.simulation.faults import Disk, Faulty, Weather
from tests.simulation.loop import CURRENT, Process, VirtualLoop
from tests.simulation.platform import CHANNEL, Door, Platform


class SimClock:
    """The loop's time. `wall` is the error of the wall clock, in a list because all processes of a machine share it."""

    def __init__(self, loop: VirtualLoop, wall: list[float]) -> None:
        self._loop, self._wall, self._start = loop, wall, loop.now

    def now(self) -> float:
        return 1_800_000_000.0 + self._loop.now + self._wall[0]

    def monotonic(self) -> float:
        return self._loop.now - self._start

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimModels:
    """A model that is slow, fails, is cut off in the middle of a word, hangs, or has a bug."""

    def __init__(self, rng: random.Random, weather: Weather) -> None:
        self._rng, self._weather = rng, weather

    def cards(self) -> Sequence[ModelCard]:
        return (ModelCard("sim", "llm", "sim", context=2048, capabilities=("chat",)),)

    async def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        if self._rng.random() < self._weather.model_fail:
            raise Unavailable("the model's process is gone", code="model_gone")
        for number in range(self._rng.randint(1, 6)):
            await asyncio.sleep(self._rng.random())
            if self._rng.random() < self._weather.model_cut / 3:
                raise Unavailable("the stream broke", code="model_gone")
            if self._rng.random() < self._weather.model_bug / 3:
                raise RuntimeError("a bug")
            if self._rng.random() < self._weather.model_hang:
                await asyncio.sleep(100_000)
            yield Delta(f"word{number} ", model="sim")
        yield Delta(finish="stop", model="sim")

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        raise Unavailable("this model does not embed")

    async def count(self, text: str, model: str = "") -> int:
        return len(text) // 3 + 1


class _Nothing:
    """Nothing is recalled, sensed or done here, and everybody may speak."""

    async def recall(self, query: str, person: str, locale: str, limit: int) -> Sequence[Passage]:
        return ()

    async def sense(self, part: Part) -> Sequence[Part]:
        return (part,)

    def offered(self, principal: Principal) -> Sequence[ToolSpec]:
        return ()

    async def admit(self, envelope: Envelope) -> Principal:
        return Principal(envelope.sender, envelope.sender)

    def release(self, envelope: Envelope, known: Sequence[str] = ()) -> Release:
        return self

    def feed(self, text: str) -> str:
        return text

    def finish(self) -> str:
        return ""

    async def judge(self, text: str) -> dict[str, float]:
        return {}


class _Registry:
    """One channel: the door to the simulated platform."""

    def __init__(self, door: Door, policy: str) -> None:
        self._door, self._policy = door, policy

    def manifests(self) -> Mapping[str, Manifest]:
        details = {"default": True, "delivery": self._policy}
        return {CHANNEL: Manifest(CHANNEL, "channel", {}, "", "", Path(), details=details)}

    def settings(self, name: str) -> None:
        return None

    def load(self, name: str) -> Callable[..., Door]:
        return lambda settings, kit: self._door


class Household:
    """Starts when made. A start that fails is tried again, as a service manager would."""

    def __init__(self, name: str, loop: VirtualLoop, disk: Disk, platform: Platform, flows: FlowBook) -> None:
        self.process = Process(name)
        self.boots: set[str] = set()
        self._loop, self._disk, self._platform, self._flows = loop, disk, platform, flows
        self.engine: Engine | None = None

    def start(self, wall: list[float], alive: Callable[[str], bool], freshness: float) -> None:
        """Begin, in the context of this process."""
        work = self._live(wall, alive, freshness)
        self._loop.create_task(work, context=self.process.context)

    async def _live(self, wall: list[float], alive: Callable[[str], bool], freshness: float) -> None:
        assert CURRENT.get() is self.process
        rng = self._disk.rng
        clock = SimClock(self._loop, wall)
        ids = Ids(clock, rng)
        while True:
            try:
                storage = await self._open(clock, ids, alive)
                break
            except KithError:
                await asyncio.sleep(2.0)
        health, streams, bus, nothing = Health(), Streams(), Bus(), _Nothing()
        settings = DialogueSettings(freshness=freshness)
        given: dict[str, Any] = {"guard": nothing, "senses": nothing, "knowledge": nothing, "tools": nothing}
        ports = Ports(
            **given,
            store=storage.store,
            inbox=storage.inbox,
            flows=self._flows,
            models=SimModels(rng, self._disk.weather),
            persona=load_persona(None),
            settings=settings,
            bus=bus,
            clock=clock,
            ids=ids,
            records=storage.records,
            people=storage.people,
        )
        engine = Engine(ports, streams, health, worker=ids.new("w"))
        door = Door(self._platform, self.process)
        sides = ChannelPorts(engine, storage.outbox, storage.store, streams, health, bus, waiting=storage.inbox)
        registry: Any = _Registry(door, self._platform.policy)
        manager = ChannelManager(sides, ChannelsSettings(), clock, ids, registry, rng)

        async def nudge(_: TurnFinished) -> None:
            manager.nudge()

        bus.subscribe(TurnFinished, nudge)
        await engine.start()
        await manager.start()
        self.engine = engine

    async def _open(self, clock: SimClock, ids: Ids, alive: Callable[[str], bool]) -> Storage:
        boot = ids.new("boot")
        self.boots.add(boot)
        return await build(Faulty(boot, self._disk, alive), StorageSettings(), clock, ids, spare_used=False)
