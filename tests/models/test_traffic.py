"""Requests on their way: stand-ins, breakers, fair turns, remembered replies, copies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kith.core.clock import FrozenClock, SystemClock
from kith.core.errors import Invalid, KithError, Unavailable
from kith.core.model import Scope
from kith.models import ModelService, ModelSettings, ServingSettings
from kith.models.pool import Pool
from kith.models.tune import Trial, Tuned, Tuner, Tuning, machine
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import Metric, attach
from tests.models.house import House, ask, said


def echo(name: str = "echo", parallel: int = 0, fallback: tuple[str, ...] = (), **options: Any) -> ModelSettings:
    return ModelSettings(name=name, backend="echo", parallel=parallel, fallback=list(fallback), options=options)


def run(folder: Path, body: Callable[[House], Awaitable[None]], *models: ModelSettings, **serving: Any) -> None:
    async def whole() -> None:
        clock = SystemClock()
        supervisor = Supervisor(clock)
        service = ModelService(models, clock, supervisor, folder, serving=ServingSettings.model_validate(serving))
        await service.start()
        try:
            await body(House(service, supervisor))
        finally:
            await service.stop()
            await supervisor.close()

    asyncio.run(whole())


def test_a_stand_in_answers_and_says_so(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        deltas = await house.say("hi", model="ill")
        assert said(deltas) == "well"
        assert {delta.model for delta in deltas} == {"well"}
        assert all(delta.fallback for delta in deltas)
        deltas = await house.say("hi", model="well")
        assert not any(delta.fallback for delta in deltas)

    run(tmp_path, body, echo("ill", fail="before", fallback=("well",)), echo("well", reply="well"))


@pytest.mark.parametrize("fail", ["start", "before", "full"])
def test_whatever_fails_before_the_first_word(tmp_path: Path, fail: str) -> None:
    async def body(house: House) -> None:
        assert said(await house.say("hi")) == "well"

    run(tmp_path, body, echo("ill", fail=fail), echo("well", reply="well"))


def test_nothing_replaces_what_has_begun_to_speak(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(Unavailable):
            await house.say("one two three four")

    run(tmp_path, body, echo("ill", fail="middle"), echo("well"))


def test_when_all_fail_the_first_says_why(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(Unavailable, match="told to fail at start"):
            await house.say("hi")

    run(tmp_path, body, echo("a", fail="start"), echo("b", fail="before"))


def test_what_is_wrong_with_the_request_is_told_at_once(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(Unavailable) as caught:
            await house.say("hi", deadline=-1.0)
        assert caught.value.code == "deadline"

    run(tmp_path, body, echo("a"), echo("b"))


def test_what_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        codes: list[str] = []
        for _ in range(4):
            try:
                await house.say("hi")
            except KithError as error:
                codes.append(error.code)
        assert codes == ["worker_failed", "worker_failed", "worker_failed", "circuit_open"]

    run(tmp_path, body, echo(fail="start"), trips=3)


def test_an_open_breaker_sends_people_elsewhere_at_once(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        for _ in range(3):
            assert said(await house.say("hi")) == "well"
        assert house.service.route(ask()).steps[0].model == "well"

    run(tmp_path, body, echo("ill", fail="start"), echo("well", reply="well"), trips=2)


def test_one_slot_is_shared_fairly_and_freed_by_a_cancel(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        started, order = asyncio.Event(), list[str]()

        async def one(person: str) -> None:
            request = replace(ask("a b c"), person=person)
            async with aclosing(house.service.chat(request)) as deltas:
                async for delta in deltas:
                    started.set()
                    if delta.finish:
                        order.append(person)

        hog = asyncio.create_task(one("hog"))
        await started.wait()
        crowd = [asyncio.create_task(one(name)) for name in ("a", "a", "a", "b")]
        await asyncio.sleep(0)
        hog.cancel()
        await asyncio.gather(*crowd)
        assert order == ["a", "b", "a", "a"]

    run(tmp_path, body, echo(parallel=1, delay=0.001))


def test_a_remembered_reply_costs_nothing(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        request = replace(ask("What is Kith?"), scope=Scope(person="ann"))
        for _ in range(2):
            deltas = [delta async for delta in house.service.chat(request)]
            assert said(deltas) == "What is Kith?"
        assert deltas[-1].usage is not None
        assert deltas[-1].usage.completion == 0
        assert deltas[-1].finish == "stop"
        assert house.service.cache.figures.exact == 1
        await house.service.add_model(echo(reply="changed"))
        assert said([delta async for delta in house.service.chat(request)]) == "changed"

    run(tmp_path, body, echo())


def test_a_stand_ins_reply_is_not_remembered(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        request = replace(ask("hi"), scope=Scope())
        async for _ in house.service.chat(request):
            pass
        assert len(house.service.cache) == 0

    run(tmp_path, body, echo("ill", fail="start"), echo("well"))


def test_who_waits_is_served_by_the_new_model(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        tasks = [asyncio.create_task(house.say("a b c d")) for _ in range(4)]
        await asyncio.sleep(0.005)
        await house.service.add_model(echo(parallel=1, reply="new"))
        texts = [said(await task) for task in tasks]
        assert texts[0] in {"a b c d", "new"}
        assert texts[-1] == "new"

    run(tmp_path, body, echo(parallel=1, delay=0.05))


def test_a_conversation_stays_with_its_copy() -> None:
    class Copy:
        slots = 2

    async def body() -> None:
        pool = Pool("m", Copy(), FrozenClock())
        pool.add(Copy())
        async with pool.seat(place="ann") as (first, _), pool.seat(place="bob") as (second, _):
            assert first is not second
        for _ in range(3):
            async with pool.seat(place="bob") as (again, _):
                assert again is second
        old = await pool.exchange(Copy())
        assert old == [first, second]
        assert len(pool.replicas) == 1
        async with pool.seat(place="bob") as (third, _):
            assert third not in old

    asyncio.run(body())


def test_running_requests_finish_on_the_old_copy() -> None:
    class Copy:
        slots = 1

    async def body() -> None:
        pool = Pool("m", Copy(), FrozenClock())
        outcomes: list[KithError | None] = []
        detach = pool.watch(lambda _, error: outcomes.append(error))
        async with pool.seat() as (replica, _):
            (old,) = await pool.exchange(Copy())
            async with pool.seat() as (fresh, _):
                assert fresh is not replica
            assert pool.queue.capacity == 2
        await old.drained()
        assert pool.queue.capacity == 1
        with pytest.raises(Unavailable):
            async with pool.seat():
                raise Unavailable("no")
        detach()
        assert [type(error) for error in outcomes] == [type(None), type(None), Unavailable]

    asyncio.run(body())


def test_measurements_have_the_names_of_the_conventions(tmp_path: Path) -> None:
    seen: dict[str, float] = {}

    class Exporter:
        def measure(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
            assert set(labels) <= set(metric.labels), metric.name
            seen[metric.name] = seen.get(metric.name, 0) + value

        def entered(self, name: str) -> None: ...

        def traced(self, name: str, seconds: float, attributes: Mapping[str, Any]) -> None: ...

    async def body(house: House) -> None:
        await house.say("one two three")

    detach = attach(Exporter())
    try:
        run(tmp_path, body, echo())
    finally:
        detach()
    assert seen["gen_ai_client_token_usage_total"] == 6
    assert {"gen_ai_server_time_to_first_token_seconds", "gen_ai_server_request_duration_seconds"} <= set(seen)
    assert {"kith_model_request_queue_time_seconds", "kith_model_requests_total", "kith_model_loads_total"} <= set(seen)


def test_tuning_keeps_only_what_brings_something() -> None:
    speeds = {0: 10.0, 1: 10.1, 3: 20.0, 4: 5.0}

    async def measure(threads: int, options: Mapping[str, Any]) -> tuple[float, float]:
        if options.get("flash") == "on":
            raise Invalid("this cannot be", code="unsupported")
        gain = 1.5 if options.get("batch") == 256 else 1.01
        return speeds[threads] * 10 * gain, speeds[threads] * gain

    heard: list[Trial] = []
    tuner = Tuner(measure, {"batch": [256, 1024], "flash": ["on"]}, [1, 3, 4], heard.append)
    first, best = asyncio.run(tuner.run())
    assert first.threads == 0
    assert (best.threads, best.options) == (3, {"batch": 256})
    assert heard[-1].flaw == "this cannot be"

    async def never(threads: int, options: Mapping[str, Any]) -> tuple[float, float]:
        raise Invalid("no")

    with pytest.raises(Invalid, match="cannot be measured"):
        asyncio.run(Tuner(never, {}, []).run())


def test_tuning_is_kept_for_this_file_on_this_machine(tmp_path: Path) -> None:
    settings = ModelSettings(name="m", path="m.gguf")
    (tmp_path / "m.gguf").write_bytes(b"x" * 10)
    store = Tuned(tmp_path)
    assert store.find(settings, tmp_path) == Tuning()
    store.put("m", Tuning(threads=3, machine=machine(), size=10))
    store.put("n", Tuning(threads=2, machine="another", size=10))
    assert store.find(settings, tmp_path).threads == 3
    (tmp_path / "m.gguf").write_bytes(b"x" * 11)
    assert store.find(settings, tmp_path).threads == 0
    (tmp_path / "tuned.json").write_text("{", "utf-8")
    assert store.all() == {}
