"""Another version while people talk: nothing fails, what does not work is given up, what does not fit is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Broken, Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Delta, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.models import ModelService, ModelSettings, Shelf
from kith.models.backend import Backend
from kith.models.queue import FairQueue
from tests.models.house import House, ask, opened, said, until
from tests.models.test_versions import other


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody asks, a new version is taken after a second."""
    monkeypatch.setattr("kith.models.swap.PATIENCE", 1.0)


class Copy:
    """A copy of a version: says its version; `gate` holds its streams, `fails` counts what is still to go wrong."""

    def __init__(self, card: ModelCard, version: str) -> None:
        self.card, self.version = card, version
        self.gate = asyncio.Event()
        self.gate.set()
        self.starts = self.stops = self.spoken = 0
        self.trouble: dict[str, KithError] = {}
        self.slots = 4

    async def start(self) -> None:
        self.starts += 1
        if error := self.trouble.get("start"):
            raise error

    async def stop(self) -> None:
        self.stops += 1

    async def count(self, text: str) -> int | None:
        return None

    async def stream(self, request: ChatRequest) -> Any:
        canary = request.messages[0].id == "canary"
        if error := self.trouble.get("canary" if canary else "talk"):
            raise error
        if "mute" not in self.trouble:
            yield Delta(self.version, model=self.card.name)
        if not canary:
            self.spoken += 1
            await self.gate.wait()
        yield Delta(finish="stop", usage=Usage(1, 0 if "mute" in self.trouble else 1))


class Bench:
    """A service whose model `tiny` has the versions old and new, in use is old; copies are made by hand."""

    def __init__(self, house: House, shelf: Shelf) -> None:
        self.house, self.service, self.shelf = house, house.service, shelf
        self.made: list[Copy] = []
        self.trouble: dict[str, dict[str, KithError]] = {"old": {}, "new": {}}
        maker: Any = self.service._maker
        build = maker.backend

        def backend(settings: ModelSettings, *, silent: bool = False) -> Backend:
            version = Path(settings.path).parent.name
            copy = Copy(build(settings, silent=silent).card, version)
            copy.trouble = self.trouble.get(version, {})
            self.made.append(copy)
            return copy

        maker.backend = backend

    @property
    def current(self) -> str:
        return self.shelf.versions("tiny").current

    @property
    def card(self) -> ModelCard:
        return self.service.cards()[0]

    @property
    def queue(self) -> FairQueue:
        pool = self.service._entries["tiny"].pool
        assert pool is not None
        return pool.queue

    @property
    def paused(self) -> bool:
        return self.queue._paused

    def copy(self, version: str) -> Copy:
        return next(copy for copy in reversed(self.made) if copy.version == version)

    async def say(self, **more: Any) -> str:
        return said(await self.house.say(**more))

    async def listeners(self, stop: asyncio.Event, found: list[str]) -> None:
        """Somebody who asks again and again; any failure ends the test."""
        while not stop.is_set():
            found.append(await self.say())
            await asyncio.sleep(0)


def run(folder: Path, gguf: Path, body: Callable[[Bench], Awaitable[None]]) -> None:
    shelf = Shelf(folder / "models")
    for number, name in enumerate(("old", "new")):
        found = shelf.store("tiny", [other(gguf, folder, number)], copy=True)
        versions = shelf.versions("tiny")
        (versions.folder / found.version).rename(versions.folder / name)
        about = versions.folder / name / "about.json"
        about.write_text(
            about.read_text().replace(found.version, name, 1).replace('"added": 0.0', f'"added": {number}')
        )
    shelf.enter(ModelSettings(name="tiny", path="-"), shelf.versions("tiny").get("old"))

    async def whole() -> None:
        async with opened(shelf.folder) as house:
            bench = Bench(house, shelf)
            (settings,) = shelf.settings()
            await house.service.add_model(settings)
            await body(bench)

    asyncio.run(whole())


def test_nobody_notices(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        stop, found = asyncio.Event(), list[str]()
        tasks = [asyncio.create_task(bench.listeners(stop, found)) for _ in range(3)]
        await until(lambda: len(found) > 5)
        done = await bench.service.swap("tiny")
        assert (done.version, done.before, done.proofs) == ("new", "old", 3)
        assert bench.current == "new"
        assert bench.card.version == "new"
        await until(lambda: bench.copy("old").stops > 0)
        stop.set()
        await asyncio.gather(*tasks)
        assert set(found) == {"old", "new"}
        assert found == sorted(found, reverse=True), "nobody met the old one after the new one"
        assert (await bench.service.swap("tiny", "new")).proofs == 0
        assert len(bench.made) == 2, "to change to what is in use changes nothing"

    run(tmp_path, tiny_gguf, body)


def test_what_runs_finishes_where_it_began(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.say()
        old = bench.copy("old")
        old.gate.clear()
        talking = asyncio.create_task(bench.say())
        await until(lambda: old.spoken == 2)
        swapping = asyncio.create_task(bench.service.swap("tiny"))
        await until(lambda: bench.card.version == "new")
        assert [await bench.say() for _ in range(3)] == ["new"] * 3
        await swapping
        assert old.stops == 0
        old.gate.set()
        assert await talking == "old"
        await until(lambda: old.stops == 1)

    run(tmp_path, tiny_gguf, body)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("start", Unavailable("it cannot be loaded", code="worker_failed")),
        ("canary", Unavailable("it died", code="worker_lost")),
        ("canary", Broken("NaN")),
        ("mute", Broken("")),
    ],
)
def test_what_fails_its_probe_never_speaks(tmp_path: Path, tiny_gguf: Path, place: str, error: KithError) -> None:
    async def body(bench: Bench) -> None:
        await bench.say()
        bench.trouble["new"][place] = error
        with pytest.raises(Unavailable, match="the old one goes on") as caught:
            await bench.service.swap("tiny", "new")
        assert caught.value.code == "swap_failed"
        assert (bench.current, bench.card.version, await bench.say()) == ("old", "old", "old")
        assert bench.copy("new").stops == 1
        assert bench.copy("old").stops == 0
        bench.trouble["new"].clear()
        swapping = asyncio.create_task(bench.service.swap("tiny", "new"))
        await until(lambda: bench.card.version == "new")
        assert await bench.say() == "new"
        swapping.cancel()

    run(tmp_path, tiny_gguf, body)


@pytest.mark.parametrize("error", [Unavailable("it died", code="worker_lost"), Broken("it failed")])
def test_failed_first_requests_are_answered_by_the_old_one(tmp_path: Path, tiny_gguf: Path, error: KithError) -> None:
    async def body(bench: Bench) -> None:
        stop, found = asyncio.Event(), list[str]()
        tasks = [asyncio.create_task(bench.listeners(stop, found)) for _ in range(3)]
        await until(lambda: len(found) > 5)
        bench.trouble["new"]["talk"] = error
        with pytest.raises(Unavailable) as caught:
            await bench.service.swap("tiny", "new")
        assert caught.value.code == "swap_failed"
        assert (bench.current, bench.card.version) == ("old", "old")
        count = len(found)
        await until(lambda: len(found) > count + 5)
        stop.set()
        await asyncio.gather(*tasks)
        assert set(found) == {"old"}
        await until(lambda: bench.copy("new").stops == 1)
        assert bench.copy("old").stops == 0

    run(tmp_path, tiny_gguf, body)


def test_the_fault_of_a_request_is_not_the_version_s(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.say()
        bench.trouble["new"]["talk"] = Invalid("too long", code="context_length_exceeded")
        swapping = asyncio.create_task(bench.service.swap("tiny", "new"))
        await until(lambda: bench.card.version == "new")
        for _ in range(3):
            with pytest.raises(Invalid):
                await bench.say()
        assert (await swapping).version == "new"

    run(tmp_path, tiny_gguf, body)


def no_room(bench: Bench) -> None:
    keeper: Any = bench.service._keeper
    keeper._limit = lambda: bench.card.memory * 3 // 2


def test_two_that_do_not_fit(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.say()
        no_room(bench)
        with pytest.raises(Refused, match="do not fit") as caught:
            await bench.service.swap("tiny", "new")
        assert caught.value.code == "no_room"
        assert "--drain" in caught.value.hint
        old = bench.copy("old")
        old.gate.clear()
        talking = asyncio.create_task(bench.say())
        await until(lambda: old.spoken == 2)
        swapping = asyncio.create_task(bench.service.swap("tiny", "new", drain=True))
        await until(lambda: bench.paused)
        waiting = [asyncio.create_task(bench.say()) for _ in range(3)]
        await until(lambda: bench.queue.waiting == 3)
        assert bench.copy("new").starts == 0
        old.gate.set()
        done = await swapping
        assert await talking == "old"
        assert [await one for one in waiting] == ["new"] * 3
        assert done.pause > 0
        assert old.stops > 0
        assert bench.current == "new"

    run(tmp_path, tiny_gguf, body)


@pytest.mark.parametrize("place", ["start", "canary", "talk"])
def test_what_fails_where_two_do_not_fit_is_put_back(tmp_path: Path, tiny_gguf: Path, place: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.say()
        no_room(bench)
        bench.trouble["new"][place] = Unavailable("it died", code="worker_lost")
        old = bench.copy("old")
        old.gate.clear()
        talking = asyncio.create_task(bench.say())
        await until(lambda: old.spoken == 2)
        swapping = asyncio.create_task(bench.service.swap("tiny", "new", drain=True))
        await until(lambda: bench.paused)
        waiting = [asyncio.create_task(bench.say()) for _ in range(3)]
        old.gate.set()
        assert await talking == "old"
        with pytest.raises(Unavailable) as caught:
            await swapping
        assert caught.value.code == "swap_failed"
        assert [await one for one in waiting] == ["old"] * 3
        assert (bench.current, bench.card.version) == ("old", "old")

    run(tmp_path, tiny_gguf, body)


def test_what_cannot_be_changed_to(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        service = bench.service
        await service.add_model(ModelSettings(name="echo", backend="echo"))
        for name, version, code in (
            ("tiny", "v9", "no_version"),
            ("tiny", "../old", "no_version"),
            ("nobody", "", "model_not_found"),
            ("echo", "", "no_versions"),
        ):
            with pytest.raises((NotFound, Refused)) as caught:
                await service.swap(name, version)
            assert caught.value.code == code
        file = bench.shelf.versions("tiny").file("new")
        file.write_bytes(file.read_bytes()[:-500])
        with pytest.raises(Unavailable, match="cut off"):
            await service.swap("tiny", "new")
        assert await bench.say() == "old"

    run(tmp_path, tiny_gguf, body)


def test_one_at_a_time(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.say()
        first = asyncio.create_task(bench.service.swap("tiny", "new"))
        await until(lambda: bench.card.version == "new")
        with pytest.raises(Unavailable) as caught:
            await bench.service.swap("tiny", "old")
        assert caught.value.code == "swapping"
        first.cancel()

    run(tmp_path, tiny_gguf, body)


def test_a_model_that_could_not_run_is_mended(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(bench: Bench) -> None:
        (settings,) = bench.shelf.settings()
        file = bench.shelf.versions("tiny").file("old")
        file.write_bytes(b"GGUF")
        await bench.service.add_model(settings)
        assert "tiny" in bench.service.flaws()
        await bench.service.swap("tiny", "new")
        assert bench.service.flaws() == {}
        assert await bench.say() == "new"
        assert bench.current == "new"

    run(tmp_path, tiny_gguf, body)


@pytest.mark.server
def test_real_processes(tmp_path: Path, tiny_gguf: Path) -> None:
    """Under load, with the real runtime: the new version, then one that is whole and yet cannot be loaded."""
    shelf = Shelf(tmp_path / "models")
    for number in range(2):
        version = shelf.store("tiny", [other(tiny_gguf, tmp_path, number)], copy=True)
        if not number:
            shelf.enter(ModelSettings(name="tiny", path="-", threads=1), version)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))
    bad = shelf.store("tiny", [broken], copy=True)

    async def load(service: ModelService, stop: asyncio.Event, found: list[str]) -> None:
        while not stop.is_set():
            request = replace(ask("go on", "tiny", max_tokens=30), person=str(id(found)))
            found.append(said([delta async for delta in service.chat(request)]))

    async def whole() -> None:
        async with opened(shelf.folder) as house:
            stop, found = asyncio.Event(), list[str]()
            tasks = [asyncio.create_task(load(house.service, stop, found)) for _ in range(3)]
            await until(lambda: len(found) > 3)
            done = await house.service.swap("tiny", version.version)
            assert done.proofs == 3
            with pytest.raises(Unavailable) as caught:
                await house.service.swap("tiny", bad.version)
            assert caught.value.code == "swap_failed"
            count = len(found)
            await until(lambda: len(found) > count + 3)
            stop.set()
            await asyncio.gather(*tasks)
            assert all(found)
            assert house.service.cards()[0].version == version.version
            await until(lambda: len(house.supervisor.children()) == 1)

    asyncio.run(whole())
