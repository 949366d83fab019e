"""``/api/start`` and ``/api/sessions``: has the house an owner, and which browsers are signed in."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from kith.core.audit import By

ORIGIN = {"Origin": "http://127.0.0.1:8787"}


def test_a_browser_signs_in_sees_the_others_and_ends_one(build: Any) -> None:
    async def story() -> None:
        house = build()
        transport = httpx.ASGITransport(house.gateway.app)
        here = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787", headers=ORIGIN)
        there = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787", headers=ORIGIN)
        async with here, there:
            assert (await here.get("/api/start")).json() == {"claimed": False}
            code = await house.auth.claim()
            assert (await here.post("/api/session", json={"code": code, "password": "three old words"})).is_success
            assert (await there.get("/api/start")).json() == {"claimed": True}
            house.clock.advance(5)
            entered = await there.post("/api/session", json={"name": "owner", "password": "three old words"})
            assert entered.is_success
            seen = (await here.get("/api/sessions")).json()["sessions"]
            assert [one["here"] for one in seen] == [False, True]
            assert "kith=" not in str(seen)
            assert "session_" not in str(seen)
            assert (await here.delete(f"/api/sessions/{seen[0]['id']}")).json()["done"] == "sign out"
            assert (await here.delete(f"/api/sessions/{seen[0]['id']}")).status_code == 404
            assert (await there.get("/api/sessions")).status_code == 401
            assert (await here.get("/api/sessions")).is_success

    asyncio.run(story())


def test_nobody_sees_or_ends_the_sessions_of_others(build: Any) -> None:
    async def story() -> None:
        house = build()
        code = await house.auth.claim()
        await house.auth.enter({"code": code, "password": "three old words"}, By("owner", "test"))
        [owners] = await house.auth.visits("owner")
        async with house.client("admin") as client:
            assert (await client.get("/api/sessions")).json() == {"sessions": []}
            assert (await client.delete(f"/api/sessions/{owners['id']}")).status_code == 404
        assert await house.auth.visits("owner")
        house.clock.advance(400 * 86400)
        assert await house.auth.visits("owner") == []

    asyncio.run(story())
