"""Background tasks, the bus and telemetry."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from kith.core.clock import SystemClock
from kith.core.errors import Broken, Invalid, NotFound, Refused, Unavailable
from kith.core.events import FlowReloaded, MessageReceived
from kith.core.ids import Ids
from kith.runtime import telemetry
from kith.runtime.bus import Bus
from kith.runtime.tasks import Tasks, contained


class FastClock(SystemClock):
    """A minute of monotonic time passes with every look."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 60.0
        return self._now


def test_tasks_run_retry_and_give_up() -> None:
    async def scene() -> None:
        tasks = Tasks(FastClock(), Ids(SystemClock()), attempts=3)
        seen: list[str] = []
        done = asyncio.Event()

        async def flaky(payload: Mapping[str, Any]) -> None:
            seen.append(payload["name"])
            if payload["name"] == "refused":
                raise Refused("no")
            if payload["name"] == "last":
                done.set()
                return
            raise ValueError("bug") if payload["name"] == "bug" else Unavailable("later")

        tasks.handle("work", flaky)
        tasks.start()
        for name in ("refused", "bug", "flaky"):
            await tasks.add("work", {"name": name})
        async with asyncio.timeout(90):
            while len(seen) < 7:
                await asyncio.sleep(0)
            await tasks.add("work", {"name": "last"}, delay=1.0)
            await done.wait()
        await tasks.stop()
        assert {name: seen.count(name) for name in seen} == {"refused": 1, "bug": 3, "flaky": 3, "last": 1}

    asyncio.run(scene())


def test_a_full_queue_pushes_back() -> None:
    async def scene() -> None:
        tasks = Tasks(SystemClock(), Ids(SystemClock()), limit=2)

        async def nothing(_: Mapping[str, Any]) -> None:
            return

        with pytest.raises(NotFound):
            await tasks.add("work", {})
        tasks.handle("work", nothing)
        await tasks.add("work", {})
        await tasks.add("work", {})
        with pytest.raises(Unavailable, match="too much work"):
            await tasks.add("work", {})

    asyncio.run(scene())


def test_the_unexpected_becomes_broken() -> None:
    async def bug() -> None:
        raise ZeroDivisionError

    async def refusal() -> None:
        raise Invalid("no")

    with pytest.raises(Broken):
        asyncio.run(contained(bug()))
    with pytest.raises(Invalid):
        asyncio.run(contained(refusal()))


def test_the_bus_delivers_by_type_and_survives_a_failing_subscriber() -> None:
    async def scene() -> None:
        bus = Bus()
        seen: list[str] = []
        done = asyncio.Event()

        async def handler(event: FlowReloaded) -> None:
            seen.append(event.path)
            if event.path == "a":
                raise Unavailable("not now")
            done.set()

        bus.subscribe(FlowReloaded, handler)
        bus.publish(MessageReceived("m", "c", "x"))
        bus.publish(FlowReloaded("a"))
        bus.publish(FlowReloaded("b"))
        async with asyncio.timeout(90):
            await done.wait()
        for _ in range(5000):
            bus.publish(FlowReloaded("c"))
        await bus.close()
        assert seen == ["a", "b"]

    asyncio.run(scene())


def test_telemetry_reaches_an_exporter_while_attached() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.seen: list[tuple[str, ...]] = []

        def measure(self, metric: telemetry.Metric, value: float, labels: Mapping[str, str]) -> None:
            self.seen.append(("measure", metric.name, str(value), *labels.values()))

        def entered(self, name: str) -> None:
            self.seen.append(("entered", name))

        def traced(self, name: str, seconds: float, attributes: Mapping[str, Any]) -> None:
            assert seconds >= 0
            self.seen.append(("traced", name, *attributes.values()))

    recorder = Recorder()
    counter = telemetry.counter("kith_test_total", "Test.", ("kind",))
    detach = telemetry.attach(recorder)
    counter.add(2, kind="a")
    with pytest.raises(ValueError, match="x"), telemetry.span("work", part="b"):
        raise ValueError("x")
    detach()
    counter.add(1, kind="a")
    assert recorder.seen == [
        ("measure", "kith_test_total", "2", "a"),
        ("entered", "work"),
        ("traced", "work", "b"),
    ]
