"""``/api`` and ``/health`` without a network."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


def test_a_message_is_kept_once_however_often_it_is_sent(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            body = {"text": "remember the milk", "conversation": "home"}
            first = await client.post("/api/messages", json=body, headers={"Idempotency-Key": "k1"})
            again = await client.post("/api/messages", json={**body, "id": "k1"})
            other = await client.post("/api/messages", json=body)
        assert (first.status_code, first.json()["duplicate"]) == (202, False)
        assert again.json() == {**first.json(), "duplicate": True}
        assert other.json()["id"] != first.json()["id"]
        envelope = house.talk.envelopes[0]
        assert (envelope.channel, envelope.account, envelope.platform_id) == ("api", "owner", "k1")

    asyncio.run(story())


def test_keys_of_two_callers_never_meet(build: Any) -> None:
    async def story() -> None:
        house = build()
        for _ in range(2):
            async with house.client("member") as client:
                answer = await client.post("/api/messages", json={"text": "x", "id": "same"})
                assert answer.json()["duplicate"] is False
        assert len({envelope.account for envelope in house.talk.envelopes}) == 2

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "places"),
    [({}, ["text"]), ({"text": "", "conversation": 5, "id": ""}, ["text", "conversation", "id"])],
)
def test_mistakes_are_named_in_kiths_own_shape(build: Any, body: Any, places: list[str]) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.post("/api/messages", json=body)
        error = answer.json()["error"]
        assert answer.status_code == 400 and set(error) == {"code", "message", "hint", "faults"}
        assert [fault["path"] for fault in error["faults"]] == places

    asyncio.run(story())


def test_asking_answers_as_json_text_or_events(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            body = {"text": "good day", "history": [{"role": "assistant", "text": "hello"}]}
            whole = (await client.post("/api/ask", json=body)).json()
            assert (whole["text"], whole["finish"], whole["sources"]) == ("good day ", "stop", ["handbook"])
            plain = await client.post("/api/ask", json=body, headers={"Accept": "text/plain"})
            assert (plain.text, plain.headers["content-type"]) == ("good day ", "text/plain; charset=utf-8")
            stream = await client.post("/api/ask", json=body, headers={"Accept": "text/event-stream"})
            assert [event for _, event, _ in events(stream.text)] == ["delta", "delta", "done"]
            late = await client.post("/api/ask", json={"text": "start late"}, headers={"Accept": "text/event-stream"})
            assert events(late.text)[-1][1:] == ("error", {**events(late.text)[-1][2], "code": "model_loading"})
        assert [message.text for message in house.talk.histories[0]] == ["hello"]

    asyncio.run(story())


def test_conversations_are_shown_to_whom_they_belong(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as owner:
            listed = (await owner.get("/api/conversations")).json()["conversations"]
            assert [one["id"] for one in listed] == ["c_1", "c_2"] and "state" not in listed[0]
            turns = (await owner.get("/api/conversations/c_1/turns?after=turn_1&limit=1")).json()["turns"]
            assert [turn["id"] for turn in turns] == ["turn_2"]
        async with house.client("member") as member:
            assert (await member.get("/api/conversations")).json()["conversations"] == []
            hidden = await member.get("/api/conversations/c_1/turns")
            absent = await member.get("/api/conversations/c_9/turns")
            assert hidden.status_code == absent.status_code == 404 and hidden.json() == absent.json()
            assert (await member.get("/api/conversations/c_1/events")).status_code == 404
            mine = next(token.id for token in await house.auth.list() if token.role == "member")
            house.store.join("c_1", mine)
            assert (await member.get("/api/conversations/c_1/turns")).status_code == 200

    asyncio.run(story())


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "1e3", "9" * 50, "²"])
def test_a_wrong_limit_is_refused(build: Any, limit: str) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.get("/api/conversations", params={"limit": limit})
        assert (answer.status_code, answer.json()["error"]["faults"][0]["path"]) == (400, "limit")

    asyncio.run(story())


def test_administration_is_for_owner_and_admins(build: Any) -> None:
    acts = [
        ("POST", "/api/flow/reload"),
        ("GET", "/api/outbox"),
        ("POST", "/api/outbox/p_1/drop"),
        ("GET", "/api/tokens"),
        ("POST", "/api/tokens"),
        ("DELETE", "/api/tokens/t_1"),
    ]

    async def story() -> None:
        house = build()
        for role in ("member", "guest"):
            async with house.client(role) as client:
                for method, path in acts:
                    assert (await client.request(method, path)).status_code == 403
                assert (await client.get("/api/flow")).status_code == 200
        assert house.outbox.decided == []

    asyncio.run(story())


def test_the_outbox_is_seen_and_decided(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("admin") as client:
            (dead,) = (await client.get("/api/outbox?state=dead")).json()["parcels"]
            assert (dead["id"], dead["error"]) == ("p_1", "gone")
            assert (await client.get("/api/outbox?state=odd")).status_code == 400
            assert (await client.post("/api/outbox/p_1/retry")).json() == {"id": "p_1", "done": "retry"}
            assert (await client.post("/api/outbox/p_1/burn")).status_code == 404
            assert (await client.post("/api/outbox/p_9/drop")).status_code == 404
        assert house.outbox.decided == [("p_1", "retry")]

    asyncio.run(story())


def test_a_broken_flow_is_refused_with_every_fault(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            assert (await client.post("/api/flow/reload")).json()["name"] == "house"
            house.flows.broken = True
            answer = await client.post("/api/flow/reload")
        fault = {"path": "intents[0].name", "reason": "is required", "line": 3}
        assert answer.status_code == 400 and answer.json()["error"]["faults"] == [fault]

    asyncio.run(story())


def test_tokens_are_made_listed_and_revoked(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            made = await client.post("/api/tokens", json={"name": "phone", "role": "guest"})
            token = made.json()["token"]
            assert made.status_code == 201 and token.startswith("kith_")
            listed = (await client.get("/api/tokens")).json()["tokens"]
            assert token not in str(listed)
            phone = next(one["id"] for one in listed if one["name"] == "phone")
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/v1/models", headers=bearer)).status_code == 200
            assert (await client.delete(f"/api/tokens/{phone}")).status_code == 200
            assert (await client.get("/v1/models", headers=bearer)).status_code == 401
            assert (await client.delete(f"/api/tokens/{phone}")).status_code == 404
        async with house.client("admin") as admin:
            assert (await admin.post("/api/tokens", json={"name": "x", "role": "owner"})).status_code == 403
            owner = next(one.id for one in await house.auth.list() if one.role == "owner")
            assert (await admin.delete(f"/api/tokens/{owner}")).status_code == 403

    asyncio.run(story())


def test_health_names_what_is_not_ready_and_state_says_why(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            house.health.report("storage", "starting", "migrating")
            house.health.report("model:big", "failed", "no file", required=False)
            assert (await client.get("/health/live")).status_code == 200
            for path in ("/health/ready", "/health/start"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["waiting"]) == (503, ["storage"])
                assert "migrating" not in answer.text
            house.health.report("storage", "ready")
            assert (await client.get("/health/ready")).status_code == 200
            assert (await client.get("/health/start")).status_code == 200
            state = (await client.get("/api/state")).json()
            assert state["ready"] is True and state["components"]["model:big"]["detail"] == "no file"

    asyncio.run(story())


async def follow(house: Any, client: Any, read: Any, path: str = "", **headers: str) -> list[tuple[str, str, Any]]:
    """What a follower of c_1 gets until the server stops."""
    task = asyncio.create_task(client.get(f"/api/conversations/c_1/events{path}", headers=headers))
    while not house.streams._topic("c_1").readers and not task.done():
        await asyncio.sleep(0)
    house.streams.publish("c_1", "delta", {"turn": "t", "text": "live"})
    await house.gateway.stop()
    answer = await task
    house.gateway._closing.clear()
    return read(answer.text)


def test_a_follower_resumes_where_it_was(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        for n in range(3):
            house.streams.publish("c_1", "delta", {"turn": "t", "text": str(n)})
        async with house.client() as client:
            first = await follow(house, client, events)
            assert [data["text"] for _, _, data in first] == ["live"]
            epoch = first[0][0].partition("-")[0]
            again = await follow(house, client, events, **{"Last-Event-ID": f"{epoch}-2"})
            assert [data["text"] for _, _, data in again] == ["2", "live", "live"]

    asyncio.run(story())


@pytest.mark.parametrize("last", ["0", "old-3", "-", "x" * 5000, "é", "1; drop", "9" * 30, "-1"])
def test_a_follower_with_an_unknown_place_gets_the_turns(build: Any, events: Any, last: str) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            found = await follow(house, client, events, "?after=turn_1", **{"Last-Event-ID": last.encode("utf-8")})
        assert [(event, data.get("id")) for _, event, data in found] == [
            ("turn", "turn_2"),
            ("turn", "turn_3"),
            ("delta", None),
        ]

    asyncio.run(story())


def test_between_the_receipt_and_the_first_turn_a_conversation_is_empty_not_absent(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("member") as client:
            receipt = (await client.post("/api/messages", json={"text": "hello", "conversation": "new"})).json()
            answer = await client.get(f"/api/conversations/{receipt['conversation']}/turns?after=")
            assert answer.status_code == 200 and answer.json()["conversation"] == receipt["conversation"]
        async with house.client("member") as other:
            assert (await other.get(f"/api/conversations/{receipt['conversation']}/turns")).status_code == 404

    asyncio.run(story())
