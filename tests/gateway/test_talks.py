"""The routes about dialogues: state, ratings, outcomes, paths, and what is learnt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kith.core.message import Message, Text
from kith.core.turn import Turn

HEARD = Message("m_1", "user", (Text("hello"),), 1.0)


def test_a_reply_is_rated_by_those_who_may_see_it(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as owner:
            good = await owner.post("/api/turns/turn_1/rating", json={"rating": 1, "note": "nice"})
            assert (good.status_code, good.json()) == (200, {"turn": "turn_1", "rating": 1})
            assert house.insight.told == [("turn_1", 1, "nice", "p_1")]
            house.store.said[:] = [Turn(name, "c_1", "p_1", 1.0, HEARD) for name in ("turn_0", "turn_1", "turn_2")]
            told = (await owner.get("/api/conversations/c_1/turns")).json()["turns"]
            assert [(turn["id"], turn["rating"]) for turn in told] == [("turn_0", 0), ("turn_1", 1), ("turn_2", 0)]
            told = (await owner.get("/api/conversations/c_1/turns?limit=1&before=turn_2")).json()["turns"]
            assert [turn["id"] for turn in told] == ["turn_1"]
            assert (await owner.get("/api/conversations/c_1/turns?before=turn_2&after=turn_0")).status_code == 400
            for body in ({"rating": 2}, {"rating": "1"}, {}, {"rating": 1, "note": "x" * 2001}, []):
                assert (await owner.post("/api/turns/turn_1/rating", json=body)).status_code == 400
        async with house.client("guest") as guest:
            hidden = await guest.post("/api/turns/turn_1/rating", json={"rating": -1})
            absent = await guest.post("/api/turns/turn_9/rating", json={"rating": -1})
            assert hidden.status_code == absent.status_code == 404 and hidden.json() == absent.json()
            mine = next(token.id for token in await house.auth.list() if token.role == "guest")
            house.store.join("c_1", mine)
            assert (await guest.post("/api/turns/turn_1/rating", json={"rating": -1})).status_code == 200
        assert len(house.insight.told) == 2

    asyncio.run(story())


def test_where_a_dialogue_stands_is_shown_to_its_own(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as owner:
            found = (await owner.get("/api/conversations/c_1/state")).json()
            assert (found["conversation"], found["state"]) == ("c_1", "start")
        async with house.client("member") as member:
            assert (await member.get("/api/conversations/c_1/state")).status_code == 404

    asyncio.run(story())


@pytest.mark.parametrize("path", ["/api/outcomes", "/api/paths", "/api/unanswered"])
def test_what_all_conversations_show(build: Any, path: str) -> None:
    async def story() -> None:
        house = build()
        async with house.client("admin") as admin:
            assert (await admin.get(path)).json()["days"] == 30
            assert (await admin.get(f"{path}?days=7")).json()["days"] == 7
            assert (await admin.get(f"{path}?days=0")).status_code == 400
        read = [act.name for act in house.log.acts if act.name == "questions.read"]
        assert len(read) == (2 if "unanswered" in path else 0)  # these are words of others

    asyncio.run(story())


def test_use_is_for_admins_and_by_what_there_is(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("admin") as admin, house.client("member") as member:
            assert (await admin.get("/api/use")).json() == {"rows": [], "by": "person", "days": 30}
            assert (await admin.get("/api/use?by=channel&days=7")).json()["by"] == "channel"
            for wrong in ("by=turns", "by=", "days=0", "days=x", "days=99999999999999999999", "by=%00%FF"):
                assert (await admin.get(f"/api/use?{wrong}")).status_code == 400
            assert (await member.get("/api/use")).status_code == 403

    asyncio.run(story())


def test_questions_are_decided_about(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("admin") as admin:
            assert (await admin.post("/api/unanswered/q_1/dismiss")).json()["done"] == "dismiss"
            body = {"intent": "hours", "response": "always"}
            assert (await admin.post("/api/unanswered/q_1/approve", json=body)).status_code == 200
            assert (await admin.post("/api/unanswered/q_9/approve")).status_code == 404
            assert (await admin.post("/api/unanswered/q_1/forget")).status_code == 404
            assert (await admin.post("/api/unanswered/q_1/approve", json={"intent": 3})).status_code == 400
        assert house.insight.told == [("q_1", "dismiss", "", ""), ("q_1", "approve", "hours", "always")]

    asyncio.run(story())
