"""``/api/models``: changing models while they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kith.core.errors import Unavailable


@dataclass
class Done:
    model: str
    version: str
    before: str = "v1"


def test_a_version_is_changed(build: Any) -> None:
    asked: list[tuple[str, str, bool]] = []

    async def swap(name: str, version: str = "", *, drain: bool = False) -> Done:
        asked.append((name, version, drain))
        if version == "bad":
            raise Unavailable("the version bad of small does not work", code="swap_failed")
        return Done(name, version)

    async def refresh() -> Sequence[str]:
        return ["new"]

    async def story() -> None:
        house = build()
        house.models.swap, house.models.refresh = swap, refresh
        async with house.client() as client:
            done = await client.post("/api/models/swap", json={"model": "small", "version": "v2", "drain": "yes"})
            assert (done.status_code, done.json()) == (200, {"model": "small", "version": "v2", "before": "v1"})
            failed = await client.post("/api/models/swap", json={"model": "small", "version": "bad"})
            assert (failed.status_code, failed.json()["error"]["code"]) == (503, "swap_failed")
            assert (await client.post("/api/models/swap", json={"version": "v2"})).status_code == 400
            assert (await client.post("/api/models/refresh")).json() == {"added": ["new"]}
        async with house.client("member") as client:
            for place in ("swap", "refresh"):
                assert (await client.post(f"/api/models/{place}", json={"model": "small"})).status_code == 403
        assert asked == [("small", "v2", True), ("small", "bad", False)]

    asyncio.run(story())


def test_models_that_have_no_versions(build: Any) -> None:
    async def story() -> None:
        async with build().client() as client:
            assert (await client.post("/api/models/swap", json={"model": "small"})).status_code == 404

    asyncio.run(story())
