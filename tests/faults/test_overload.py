"""More than can be answered: what is too much is refused with the time to come back, and what was accepted is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from kith.app import open_household
from kith.runtime.streams import Streams
from kith.settings import Settings

_LIMIT = 8


@pytest.mark.server
def test_a_crowd_is_refused_with_the_time_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    settings = Settings.model_validate(
        {
            "gateway": {"port": 0},
            "storage": {"waiting_limit": _LIMIT},
            "dialogue": {"flow": str(Path(__file__).parents[1] / "simulation" / "flow.json")},
            "models": [{"name": "echo", "backend": "echo", "options": {"delay": 600}}],
        }
    )

    async def story() -> None:
        async with open_household(settings, serve=True) as house:
            assert house.gateway is not None
            headers = {"Authorization": f"Bearer {house.auth.local()}"}
            async with httpx.AsyncClient(base_url=house.gateway.address, headers=headers, timeout=120) as client:

                async def say(number: int) -> httpx.Response:
                    body = {"text": "tell me of the sea", "id": f"{number}", "conversation": f"c{number}"}
                    return await client.post("/api/messages", json=body)

                answers = await asyncio.gather(*(say(number) for number in range(60)))
                assert Counter(answer.status_code for answer in answers) == {202: _LIMIT, 503: 60 - _LIMIT}
                for answer in answers:
                    if answer.status_code == 503:
                        assert int(answer.headers["retry-after"]) > 0
                        assert answer.json()["error"]["code"] == "inbox_full"
                assert (await house.storage.counts()).waiting == _LIMIT
                assert (await client.get("/api/conversations")).status_code == 200
                again = next(number for number, answer in enumerate(answers) if answer.status_code == 202)
                assert (await say(again)).status_code == 503  # nothing is looked at while the house is full

    asyncio.run(story())


@pytest.mark.server
def test_one_who_floods_is_told_when_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    settings = Settings.model_validate(
        {
            "gateway": {"port": 0},
            "security": {"burst": 2, "messages_per_minute": 0.001},
            "models": [{"name": "echo", "backend": "echo"}],
        }
    )

    async def story() -> None:
        async with open_household(settings, serve=True) as house:
            assert house.gateway is not None
            headers = {"Authorization": f"Bearer {house.auth.local()}"}
            async with httpx.AsyncClient(base_url=house.gateway.address, headers=headers, timeout=120) as client:
                body = {"model": "kith", "messages": [{"role": "user", "content": "one two three"}]}
                codes = [(await client.post("/v1/chat/completions", json=body)) for _ in range(4)]
                assert [answer.status_code for answer in codes] == [200, 200, 429, 429]
                assert all(int(answer.headers["retry-after"]) > 0 for answer in codes[2:])

    asyncio.run(story())


def test_a_slow_reader_costs_at_most_64_kib() -> None:
    async def story() -> None:
        streams = Streams()
        slow, quick = streams.subscribe("room"), streams.subscribe("room")
        heard = 0
        for _ in range(400):
            streams.publish("room", "delta", {"text": "x" * 4096})
            heard += bool(await anext(quick))
            assert slow._bytes <= 64 * 1024
        assert heard == 400
        assert slow.lagged
        assert not quick.lagged
        assert sum(event.size for event in slow._waiting) <= 64 * 1024

    asyncio.run(story())
