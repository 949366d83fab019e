"""The live hub: resumable, and bounded for readers that do not keep up."""

import asyncio

from kith.runtime.streams import Streams


def test_a_reader_sees_what_is_published_and_can_resume() -> None:
    async def scene() -> None:
        hub = Streams()
        reader = hub.subscribe("c")
        first = hub.publish("c", "delta", {"text": "a"})
        hub.publish("other", "delta", {"text": "x"})
        hub.publish("c", "delta", {"text": "b"})
        reader.close()
        assert [event.data["text"] async for event in reader] == ["a", "b"]
        again = hub.subscribe("c", after=first)
        assert not again.gap
        again.close()
        assert [event.data["text"] async for event in again] == ["b"]

    asyncio.run(scene())


def test_a_slow_reader_costs_a_bounded_memory_and_is_told() -> None:
    async def scene() -> None:
        hub = Streams()
        reader = hub.subscribe("c")
        for _ in range(1000):
            hub.publish("c", "delta", {"text": "x" * 1000})
        assert reader.lagged
        assert sum([event.size async for event in reader]) <= 64 * 1024

    asyncio.run(scene())


def test_events_that_are_no_longer_kept_leave_a_gap() -> None:
    async def scene() -> None:
        hub = Streams()
        first = hub.publish("c", "delta", {"text": "a"})
        for _ in range(100):
            hub.publish("c", "delta", {"text": "x" * 1000})
        assert hub.subscribe("c", after=first).gap
        assert hub.subscribe("c", after=10_000).gap
        assert Streams().subscribe("c", after=7).gap

    asyncio.run(scene())


def test_only_the_topics_used_last_are_kept() -> None:
    async def scene() -> None:
        hub = Streams()
        first = hub.publish("c0", "delta", {})
        for number in range(2000):
            hub.publish(f"c{number}", "delta", {})
        assert hub.subscribe("c0", after=first).gap

    asyncio.run(scene())
