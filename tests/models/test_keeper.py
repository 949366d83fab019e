"""What stays in memory, what goes, what is replaced, and how many copies there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import Unavailable
from kith.core.message import Delta, Message, Text
from kith.core.model import ChatRequest
from kith.models import ModelSettings, ServingSettings
from kith.models.keeper import Keeper, Senses
from kith.models.maker import Entry, Maker
from kith.models.memory import LeakWatch, Tenant, evictions, idle
from kith.models.power import profile
from kith.models.replicas import Load, Scaler
from kith.models.traffic import opening
from kith.runtime.http import http_client
from kith.runtime.supervisor import Supervisor
from tests.models.house import until

MIB = 1 << 20


@dataclass
class Machine(Senses):
    """A machine of 1,000 MiB in which each loaded copy has a process, by its number."""

    sizes: dict[int, int] = field(default_factory=dict)
    use: float = 0.0
    whole: float = 0.0

    def __post_init__(self) -> None:
        self.resident = lambda pid: self.sizes.get(pid, 0)
        self.total = lambda: 1000 * MIB

    def cpu(self, pid: int) -> float:
        del pid
        return self.use

    def machine(self) -> float:
        return self.whole


@dataclass
class Home:
    """A keeper with echoes that have process numbers and sizes."""

    entries: dict[str, Entry]
    keeper: Keeper
    machine: Machine
    clock: FrozenClock

    def up(self, name: str) -> list[bool]:
        pool = self.entries[name].pool
        assert pool is not None
        return [replica.loaded for replica in pool.live]

    async def load(self, name: str) -> None:
        pool = self.entries[name].pool
        assert pool is not None
        async with pool.seat() as (replica, _):
            await self.keeper.ready(self.entries[name], replica)


@asynccontextmanager
async def home(folder: Path, serving: ServingSettings, *models: ModelSettings) -> AsyncGenerator[Home]:
    clock, machine = FrozenClock(), Machine()
    supervisor = Supervisor(clock)
    numbers = iter(range(1, 1000))
    async with http_client() as client:
        maker = Maker(clock, supervisor, client, folder, serving, lambda *_: None)
        build = maker.backend

        def made(settings: ModelSettings, *, silent: bool = False, plain: bool = False) -> object:
            backend = build(settings, silent=silent, plain=plain)
            backend.pid = next(numbers)
            machine.sizes[backend.pid] = 300 * MIB
            return backend

        maker.backend = made
        entries = {settings.name: maker.entry(settings) for settings in models}
        keeper = Keeper(entries, maker, clock, serving, machine)
        try:
            yield Home(entries, keeper, machine, clock)
        finally:
            await keeper.stop()
            await supervisor.close()


def run(
    folder: Path,
    body: Callable[[Home], Awaitable[None]],
    *models: ModelSettings,
    serving: ServingSettings | None = None,
) -> None:
    async def whole() -> None:
        async with home(folder, serving or ServingSettings(), *models) as it:
            await body(it)

    asyncio.run(whole())


def echo(name: str, **more: int) -> ModelSettings:
    return ModelSettings(name=name, backend="echo", parallel=1, **more)


def test_the_longest_unused_makes_room(tmp_path: Path) -> None:
    async def body(it: Home) -> None:
        for name in ("a", "b"):
            await it.load(name)
            it.clock.advance(1)
        await it.load("a")
        it.clock.advance(1)
        await it.load("c")  # 300 MiB each under a ceiling of 800; card.memory of an echo is 0
        await it.keeper.tend()
        assert (it.up("a"), it.up("b"), it.up("c")) == ([True], [False], [True])
        await it.load("b")
        await it.keeper.tend()
        assert it.up("a") == [False]

    run(tmp_path, body, echo("a"), echo("b"), echo("c"))


def test_what_is_at_work_stays(tmp_path: Path) -> None:
    async def body(it: Home) -> None:
        pool = it.entries["a"].pool
        assert pool is not None
        async with pool.seat() as (replica, _):
            await it.keeper.ready(it.entries["a"], replica)
            it.machine.sizes[replica.pid] = 900 * MIB
            with pytest.raises(Unavailable) as caught:
                await it.load("b")
            assert caught.value.code == "no_memory"
            assert it.up("a") == [True]
        await it.load("b")
        assert it.up("a") == [False]

    run(tmp_path, body, echo("a"), echo("b"))


def test_the_idle_leave(tmp_path: Path) -> None:
    async def body(it: Home) -> None:
        await it.load("a")
        it.clock.advance(59)
        await it.keeper.tend()
        assert it.up("a") == [True]
        it.clock.advance(2)
        await it.keeper.tend()
        assert it.up("a") == [False]
        await it.load("a")
        assert it.up("a") == [True]

    run(tmp_path, body, echo("a"), serving=ServingSettings(idle=60))


@pytest.mark.parametrize("room", [1000, 500])
def test_a_growing_process_is_replaced_unnoticed(tmp_path: Path, room: int) -> None:
    async def body(it: Home) -> None:
        it.machine.total = lambda: room * MIB
        pool = it.entries["a"].pool
        assert pool is not None
        for _ in range(8):
            await it.load("a")
        old = pool.live[0]
        await it.keeper.tend()
        it.machine.sizes[old.pid] = 600 * MIB  # with 500 MiB of room, two copies never fit
        async with pool.seat():
            for _ in range(4):
                await it.keeper.tend()
                await asyncio.sleep(0)
            late = asyncio.create_task(it.load("a"))
            await asyncio.sleep(0)
        await late
        await until(lambda: not it.entries["a"].tending)
        assert it.up("a") == [True]
        if room == 1000:
            assert pool.live[0] is not old
            assert pool.replicas == (pool.live[0],)

    run(tmp_path, body, echo("a"))


def test_a_new_copy_has_read_how_conversations_begin(tmp_path: Path) -> None:
    async def body(it: Home) -> None:
        entry, heard = it.entries["a"], list[str]()
        assert entry.pool is not None
        replica = entry.pool.live[0]

        class Reader:
            async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta]:
                heard.extend(message.text for message in request.messages)
                yield Delta(finish="length")

        replica.backend = Reader()
        await it.keeper.warm(entry, replica)
        assert heard == []
        talk = (Message("s", "system", (Text("You are Kith."),), 0.0), Message("u", "user", (Text("secret"),), 0.0))
        entry.opening = opening(ChatRequest(talk))
        await it.keeper.warm(entry, replica)
        assert heard == ["You are Kith.", "."]

    run(tmp_path, body, echo("a"))


def test_copies_come_and_go(tmp_path: Path) -> None:
    async def body(it: Home) -> None:
        pool = it.entries["a"].pool
        assert pool is not None
        it.machine.use, it.machine.total = 8.0, lambda: 10_000 * MIB
        async with pool.seat() as (replica, _):
            await it.keeper.ready(it.entries["a"], replica)
            waiting = asyncio.create_task(it.load("a"))
            await asyncio.sleep(0)
            await it.keeper.tend()
            await waiting
            assert it.up("a") == [True, True]
        it.machine.use = 0.0
        await it.keeper.tend()
        it.clock.advance(301)
        await it.keeper.tend()
        await until(lambda: it.up("a") == [True])

    run(tmp_path, body, echo("a", replicas_max=3), serving=ServingSettings(idle=0))


def test_evictions() -> None:
    rows = [Tenant("old", 100, 1.0), Tenant("new", 100, 2.0), Tenant("busy", 100, 0.0, busy=True)]
    assert evictions(100, rows, 400) == []
    assert evictions(100, rows, 300) == ["old"]
    assert evictions(100, rows, 200) == ["old", "new"]
    assert evictions(100, rows, 199) is None
    assert evictions(0, [], 0) == []
    assert idle(rows, 100.0, 99.0) == ["old"]
    assert idle(rows, 100.0, 0.0) == []


def test_a_leak_is_not_a_cache_that_fills() -> None:
    watch = LeakWatch(growth=0.5)
    for size in (100, 300, 500):
        assert not watch.look(size * MIB, served=3)
    assert not watch.look(600 * MIB, served=8)  # its size
    assert not any(watch.look(890 * MIB, served=100) for _ in range(10))
    assert [watch.look(910 * MIB, served=100) for _ in range(3)] == [False, False, True]
    assert not watch.look(700 * MIB, served=100)


def test_scaling_is_slow_to_give_up() -> None:
    scaler = Scaler(1, 4)
    assert scaler.decide(Load(1, 1.0, 0.5, waiting=3), 0) == 2
    assert scaler.decide(Load(1, 1.0, 0.5, waiting=0), 0) == 1
    assert scaler.decide(Load(1, 1.0, 0.95, waiting=3), 0) == 1
    assert scaler.decide(Load(2, 0.75, 0.5, waiting=3), 0) == 2  # within the tolerance
    assert scaler.decide(Load(4, 1.0, 0.5, waiting=3), 0) == 4
    assert scaler.decide(Load(3, 0.1, 0.1), 10) == 3
    assert scaler.decide(Load(3, 0.1, 0.1), 200) == 3
    assert scaler.decide(Load(3, 0.9, 0.5, waiting=1), 205) == 4  # busy again: the patience begins anew
    assert scaler.decide(Load(3, 0.1, 0.1), 320) == 3
    assert scaler.decide(Load(3, 0.1, 0.1), 621) == 2
    assert Scaler(2, 4).decide(Load(1, 0.0, 0.0), 0) == 2


def test_power() -> None:
    assert profile("eco", 8).threads == 4
    assert profile("eco", 1).threads == 1
    assert profile("balanced", 8).threads == 0
    assert profile("performance", 8).threads == 7
    assert profile("performance", 8).idle == 0
