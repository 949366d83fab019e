"""The short way to a route answers as the framework's own way does, in every byte but ids."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from kith.gateway import lane

TEXT = {"role": "user", "content": "good day"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "small", "messages": [TEXT]},
    "/v1/responses": {"model": "small", "input": "good day"},
    "/v1/messages": {"model": "small", "max_tokens": 9, "messages": [TEXT]},
    "/v1/embeddings": {"model": "org/vec", "input": "good day"},
}
_ID = re.compile(r"(chatcmpl|resp|msg|m|q|call)_[0-9a-z]{26}")


async def both(client: httpx.AsyncClient, path: str, **given: Any) -> list[tuple[int, dict[str, str], str]]:
    """The same request by the short way, and with a slash behind its path by the long one."""
    found: list[tuple[int, dict[str, str], str]] = []
    for place in (path, f"{path}/"):
        answer = await client.post(place, **given)
        assert answer.status_code != 500
        found.append((answer.status_code, dict(answer.headers), _ID.sub(r"\1", answer.text)))
    return found


def test_the_lanes_are_those_that_are_declared(build: Any) -> None:
    async def story() -> None:
        lanes = build().gateway.app._lanes
        assert set(lanes) == {("POST", path) for path in BODIES}

    asyncio.run(story())


@pytest.mark.parametrize("path", BODIES)
def test_both_ways_answer_the_same(build: Any, path: str) -> None:
    body = BODIES[path]
    asked: list[dict[str, Any]] = [
        {"json": body},
        {"json": {**body, "stream": True}},
        {"json": {**body, "model": "nobody"}},
        {"json": {"model": 7}},
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"content": b"\xff\xfe"},
        {"content": b"x" * 9_000_000},
        {"json": body, "headers": {"Authorization": ""}},
        {"json": body, "headers": {"Authorization": "Bearer kith_no"}},
        {"json": body, "headers": {"Host": "evil.example"}},
        {"json": body, "headers": {"Origin": "https://evil.example"}},
    ]

    async def story() -> None:
        statuses: set[int] = set()
        async with build().client() as client:
            for given in asked:
                short, long = await both(client, path, **given)
                assert short == long, given
                statuses.add(short[0])
            for method in ("GET", "OPTIONS", "DELETE"):
                one, two = [await client.request(method, place) for place in (path, f"{path}/")]
                assert (one.status_code, one.text) == (two.status_code, two.text)
        assert statuses >= {200, 400, 401, 403, 404, 413}

    asyncio.run(story())


def test_a_role_is_asked_of_on_the_short_way(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "declared", lambda _: "owner")

    async def story() -> None:
        async with build().client("member") as client:
            answer = await client.post("/v1/chat/completions", json=BODIES["/v1/chat/completions"])
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_refused")

    asyncio.run(story())
