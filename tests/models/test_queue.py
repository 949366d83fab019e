"""Who is next: fairness, urgency, deadlines, cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kith.core.clock import FrozenClock, SystemClock
from kith.core.errors import Unavailable
from kith.models.breaker import Breaker
from kith.models.queue import FairQueue


def run(body: Callable[[FairQueue], Awaitable[None]], slots: int = 1, limit: int = 1000) -> None:
    async def whole() -> None:
        queue = FairQueue("tiny", SystemClock(), limit)
        queue.capacity = slots
        await body(queue)
        assert (queue.running, queue.waiting) == (0, 0)

    asyncio.run(whole())


async def order(queue: FairQueue, *who: tuple[str, str]) -> list[str]:
    """In which order these (person, priority) are served, all having come while one ran."""
    served: list[str] = []

    async def one(person: str, priority: str) -> None:
        await queue.enter(person, priority)
        served.append(person)
        await asyncio.sleep(0)
        queue.leave(priority)

    await queue.enter("first")
    tasks = [asyncio.create_task(one(*each)) for each in who]
    await asyncio.sleep(0)
    queue.leave()
    await asyncio.gather(*tasks)
    return served


def test_everybody_in_turn() -> None:
    async def body(queue: FairQueue) -> None:
        crowd = [("greedy", "text")] * 5 + [("shy", "text")] * 2
        served = await order(queue, *crowd)
        assert served == ["greedy", "shy", "greedy", "shy", "greedy", "greedy", "greedy"]

    run(body)


def test_voice_before_text_before_background_and_nobody_for_ever() -> None:
    async def body(queue: FairQueue) -> None:
        served = await order(queue, ("b", "background"), ("t", "text"), ("v", "voice"))
        assert served == ["v", "t", "b"]
        crowd = [("b", "background"), *[(f"v{number}", "voice") for number in range(20)]]
        assert (await order(queue, *crowd)).index("b") <= 9

    run(body)


def test_background_leaves_a_slot_free() -> None:
    async def body(queue: FairQueue) -> None:
        await queue.enter("b1", "background")
        late = asyncio.create_task(queue.enter("b2", "background"))
        await asyncio.sleep(0)
        assert queue.waiting == 1
        await queue.enter("t", "text")
        queue.leave("text")
        queue.leave("background")
        await late
        queue.leave("background")

    run(body, slots=2)


def test_a_cancel_frees_the_place_and_the_slot() -> None:
    async def body(queue: FairQueue) -> None:
        await queue.enter("a")
        waiting = asyncio.create_task(queue.enter("b"))
        behind = asyncio.create_task(queue.enter("c"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        assert queue.waiting == 1
        queue.leave()  # granted to c at this very moment, and c gives up before it wakes
        behind.cancel()
        with pytest.raises(asyncio.CancelledError):
            await behind
        assert queue.running == 0
        assert await queue.enter("d") == 0.0
        queue.leave()

    run(body)


def test_deadlines_and_limits() -> None:
    async def body(queue: FairQueue) -> None:
        now = SystemClock().monotonic
        await queue.enter("a")
        for deadline in (now() - 1, now() + 0.02):
            with pytest.raises(Unavailable) as caught:
                await queue.enter("b", deadline=deadline)
            assert caught.value.code == "deadline"
        tasks = [asyncio.create_task(queue.enter("b")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:  # half of the places for one person
            await queue.enter("b")
        assert caught.value.code == "queue_full"
        assert caught.value.retry_after >= 1
        tasks += [asyncio.create_task(queue.enter(name)) for name in "cd"]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await queue.enter("e")
        queue.leave(seconds=2.0)
        for task in asyncio.as_completed(tasks):
            await task
            queue.leave()

    run(body, limit=4)


def test_a_pause_holds_everybody() -> None:
    async def body(queue: FairQueue) -> None:
        queue.pause()
        task = asyncio.create_task(queue.enter("a"))
        await asyncio.sleep(0)
        assert queue.waiting == 1
        queue.pause(paused=False)
        await task
        queue.leave()

    run(body)


def test_random_crowds_lose_nobody() -> None:
    async def body(queue: FairQueue) -> None:
        async def one(number: int) -> str:
            deadline = SystemClock().monotonic() + 0.01 if number % 7 == 0 else 0.0
            priority = ("voice", "text", "background")[number % 3]
            try:
                await queue.enter(f"p{number % 5}", priority, deadline)
            except Unavailable as error:
                return error.code
            for _ in range(number % 4):
                await asyncio.sleep(0)
            queue.leave(priority)
            return "ok"

        tasks = [asyncio.create_task(one(number)) for number in range(400)]
        for number, task in enumerate(tasks):
            if number % 11 == 0:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result in {"ok", "deadline"} or isinstance(result, asyncio.CancelledError) for result in results)
        assert results.count("ok") > 250

    run(body, slots=3)


def test_a_breaker_opens_and_tries_again() -> None:
    clock = FrozenClock()
    breaker = Breaker(clock, limit=3, pause=10)
    for _ in range(3):
        assert breaker.enter()
        clock.advance(1)
        breaker.failed(clock.monotonic())
        clock.advance(1)
    assert breaker.state == "open"
    assert not breaker.enter()
    clock.advance(breaker.left)
    assert breaker.enter()
    assert not breaker.enter()  # one trial is enough
    breaker.failed(clock.monotonic())
    assert breaker.left == 20
    clock.advance(20)
    assert breaker.enter()
    breaker.succeeded()
    assert breaker.state == "closed"


def test_one_crash_counts_once_for_all_who_were_there() -> None:
    clock = FrozenClock()
    breaker = Breaker(clock, limit=2)
    clock.advance(5)
    for _ in range(10):
        breaker.failed(began=4.0)
    assert breaker.failures == 1
