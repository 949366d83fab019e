"""Rates of a manifest, kept for the account and for each chat."""

from __future__ import annotations

import asyncio

import pytest

from kith.channels.pace import Pace, Rate
from kith.core.clock import FrozenClock


def test_a_burst_goes_at_once_and_the_rest_evenly() -> None:
    clock = FrozenClock()
    pace = Pace(Rate(4, 8), Rate(), clock)
    assert [pace.take("a") for _ in range(5)] == [0, 0, 0, 0, 2]
    clock.advance(2)
    assert [pace.take("a"), pace.take("a")] == [0, 2]
    clock.advance(100)
    assert pace.take("b") == 0


def test_one_chat_does_not_use_up_anothers_share() -> None:
    pace = Pace(Rate(100, 1), Rate(1, 60), FrozenClock())
    assert [pace.take("a"), pace.take("b")] == [0, 0]
    assert pace.take("a") == pytest.approx(60.0)
    assert pace.take("c") == 0


def test_whoever_waits_is_let_through_never_faster_than_declared() -> None:
    async def story() -> list[float]:
        clock = FrozenClock()
        pace, sent = Pace(Rate(5, 10), Rate(), clock), list[float]()
        for _ in range(100):
            await pace.wait("a")
            sent.append(clock.monotonic())
        return sent

    sent = asyncio.run(story())
    assert sent[-1] == pytest.approx((100 - 5) * 2)
    for start in sent:
        assert sum(start <= at < start + 10 for at in sent) <= 2 * 5  # a bucket's bound: the burst and what refills


@pytest.mark.parametrize("text", ["x", "1", "0/1", "1/0", "-1/2"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.read(text)


def test_no_limit() -> None:
    pace = Pace(Rate.read(""), Rate.read(""), FrozenClock())
    assert all(pace.take("a") == 0 for _ in range(1000))
