"""What is remembered, over HTTP: one's own only; and people, for admins."""

from __future__ import annotations

import asyncio
from typing import Any

from kith.core.audit import Act
from kith.core.clock import SystemClock
from kith.core.ids import Ids, person_id
from kith.core.message import Envelope, Message, Text
from kith.dialogue.memory import Memory, Modelless
from kith.dialogue.mind import Bill, Mind
from kith.storage import Storage, StorageSettings, open_storage


class Key:
    """A cipher for tests."""

    def key(self, purpose: str) -> bytes:
        return b"k" * 32


async def furnished(build: Any) -> tuple[Any, Storage, Mind]:
    """A household whose memory is real."""
    house, clock = build(), SystemClock()
    storage = await open_storage(StorageSettings(backend="memory"), clock, Ids(clock), Key())
    memory = Memory(storage, Modelless(), clock, Ids(clock), local=("api", "web"))
    mind = Mind(memory)
    for name, value in (
        ("memory", memory),
        ("prompts", mind),
        ("journal", storage.journal),
    ):
        object.__setattr__(house.ports, name, value)
    return house, storage, mind


async def meet(storage: Storage, channel: str, who: str) -> str:
    envelope = Envelope(channel, "local", f"k{who}", who, who, Message("m", "user", (Text("hi"),), 1.0))
    return (await storage.store.resolve(envelope))[0].id


def test_facts_are_ones_own(build: Any) -> None:
    async def story() -> None:
        house, storage, mind = await furnished(build)
        async with house.client("guest") as client, house.client("owner") as owner:
            told = await client.post("/api/me/memory", json={"text": "I live in Bern"})
            assert told.status_code == 201
            fact = told.json()
            assert (fact["text"], fact["kind"], fact["replaced"]) == ("Lives in Bern", "home", "")
            assert fact["told"] == {"conversation": "", "turn": ""}
            for body in ({"text": ""}, {"text": "x" * 501}, {}, {"text": 7}):
                assert (await client.post("/api/me/memory", json=body)).status_code == 400
            assert (await owner.get("/api/me/memory")).json() == {"facts": []}
            assert (await owner.put(f"/api/me/memory/{fact['id']}", json={"text": "x y"})).status_code == 404
            assert (await owner.delete(f"/api/me/memory/{fact['id']}")).status_code == 404
            await client.post("/api/me/memory", json={"text": "I live in Oslo"})
            assert [row["text"] for row in (await client.get("/api/me/memory")).json()["facts"]] == ["Lives in Oslo"]
            history = (await client.get("/api/me/memory?history=1")).json()["facts"]
            assert [bool(row["replaced"]) for row in history] == [True, False]
            changed = (await client.put(f"/api/me/memory/{history[1]['id']}", json={"text": "I live in Ulm"})).json()
            assert "Ulm" in (await client.get("/api/me/export")).text
            assert "Oslo" not in (await client.get("/api/me/export")).text
            assert (await client.delete(f"/api/me/memory/{changed['id']}")).json() == {"forgotten": 1}
            assert (await client.delete("/api/me/memory")).json() == {"forgotten": 0}
            mine = await mind.memory.mine((await house.auth.list())[0].id)
            mind.note(Bill("t_1", "c", tuple(mine), "small", (("persona", "You are"), ("message", "hi"))))
            prompt = (await client.get("/api/turns/t_1/prompt")).json()
            assert (prompt["tokens"], prompt["overhead"]) == (9, 7)
            assert [part["part"] for part in prompt["parts"]] == ["persona", "message"]
            assert (await owner.get("/api/turns/t_1/prompt")).status_code == 404
        await storage.close()

    asyncio.run(story())


def test_people_are_for_admins(build: Any) -> None:
    async def story() -> None:
        house, storage, _ = await furnished(build)
        one, two = await meet(storage, "web", "u_1"), await meet(storage, "chat", "x")
        async with house.client("admin") as client:
            rows = (await client.get("/api/people")).json()["people"]
            assert {row["id"] for row in rows} == {one, two}
            assert set(rows[0]) == {"id", "kind", "name", "handles", "locale", "timezone", "turns", "seen"}
            changed = await client.put(f"/api/people/{one}", json={"name": "Ann", "timezone": "Asia/Shanghai"})
            assert changed.json()["name"] == "Ann"
            assert (await client.put("/api/people/p_none", json={"name": "x"})).status_code == 404
            assert (await client.post(f"/api/people/{one}/link", json={"with": one})).status_code == 400
            assert (await client.post(f"/api/people/{one}/link", json={"with": two})).json()["handles"] == {
                "chat": "x",
                "web": "u_1",
            }
            assert (await client.get(f"/api/people/{one}/export")).json()["people"][0]["name"] == "Ann"
            assert (await client.get("/api/people/p_none/export")).status_code == 404
            assert (await client.delete(f"/api/people/{one}")).json() == {"id": one, "done": "erase"}
            assert (await client.delete(f"/api/people/{one}")).status_code == 404
            assert (await client.get("/api/people")).json() == {"people": []}
        acts: list[Act] = [entry.act for entry in await storage.journal.entries()]
        assert [act.name for act in acts] == ["person.change", "person.link", "person.export", "person.erase"]
        assert person_id("web", "local", "u_1") == one
        await storage.close()

    asyncio.run(story())


def test_a_household_without_memory_says_so(build: Any) -> None:
    async def story() -> None:
        async with build().client("owner") as client:
            for path in ("/api/me/memory", "/api/me/export", "/api/people", "/api/turns/t/prompt"):
                assert (await client.get(path)).status_code == 404

    asyncio.run(story())
