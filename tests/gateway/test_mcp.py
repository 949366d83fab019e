"""``/mcp`` as its official client and as a stranger find it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from kith.core.memory import Fact
from kith.core.people import Principal
from kith.core.turn import Passage

HEADERS = {"accept": "application/json, text/event-stream"}


class Library:
    async def recall(self, query: str, person: str, locale: str, limit: int) -> Sequence[Passage]:
        found = [Passage("Say /help.", "start.md", 1.0, "Start"), Passage("知识", "b.md", 0.5)]
        return found[:limit] if query != "none" else []


class Diary:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []

    async def remember(self, principal: Principal, text: str) -> Fact:
        self.kept.append((principal.id, text))
        return Fact("f_1", "p_1", "note", text, text, "note", 1.0)


def furnished(build: Any) -> Any:
    house = build()
    object.__setattr__(house.ports, "knowledge", Library())
    object.__setattr__(house.ports, "memory", Diary())
    return house


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story, 200))


@contextlib.asynccontextmanager
async def official(house: Any, mode: Any) -> AsyncGenerator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        address, token = await stack.enter_async_context(house.serving())
        bearer = {"Authorization": f"Bearer {token}"}
        client = await stack.enter_async_context(httpx2.AsyncClient(headers=bearer))
        transport = streamable_http_client(f"{address}/mcp", http_client=client)
        yield await stack.enter_async_context(Client(transport, mode=mode))


def text(result: Any) -> str:
    return "".join(piece.text for piece in result.content)


@pytest.mark.server
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_uses_every_tool(build: Any, mode: str) -> None:
    async def story() -> None:
        house = furnished(build)
        async with official(house, mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert list(tools) == ["ask", "search", "send", "remember"]
            assert tools["ask"].input_schema["required"] == ["text"] and tools["ask"].annotations.read_only_hint
            answer = await client.call_tool("ask", {"text": "good day"})
            assert text(answer) == "good day \n\nSources: handbook" and not answer.is_error
            found = text(await client.call_tool("search", {"query": "help", "limit": 1}))
            assert found == "[start.md] Start\nSay /help."
            assert text(await client.call_tool("search", {"query": "none"})) == "Nothing was found."
            assert "Remembered: 我住在上海" in text(await client.call_tool("remember", {"text": "我住在上海"}))
            for again in (False, True):
                sent = text(await client.call_tool("send", {"text": "hi", "id": "k1", "conversation": "home"}))
                assert ("left before" in sent) is again
            assert len(house.talk.heard) == 1 and house.talk.envelopes[-1].conversation == "home"
            for name, given, reason in (
                ("ask", {}, "text: is required"),
                ("ask", {"text": 3}, "text: has to be text"),
                ("ask", {"text": "x", "system": "y"}, "system: is not an argument"),
                ("search", {"query": "x", "limit": 99}, "limit: has to be between"),
                ("search", {"query": "x", "limit": True}, "limit: has to be between"),
                ("format_disk", {}, "there is no tool"),
                ("ask", {"text": "bug"}, "something went wrong inside Kith"),
                ("ask", {"text": "busy"}, "too many messages"),
            ):
                refused = await client.call_tool(name, given)
                assert refused.is_error and reason in text(refused), (name, text(refused))
                assert "secret" not in text(refused)

    run(story())


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def post(client: httpx.AsyncClient, body: Any) -> httpx.Response:
    return await client.post("/mcp", json=body, headers=HEADERS)


def test_only_what_is_there_is_offered_and_each_speaks_for_itself(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("guest") as client:
            listed = (await post(client, message("tools/list"))).json()
            assert [tool["name"] for tool in listed["result"]["tools"]] == ["ask", "send"]
            said = (await post(client, message("tools/call", name="ask", arguments={"text": "hello"}))).json()
            assert said["result"]["content"][0]["text"].startswith("hello")
            assert house.talk.envelopes[0].sender.startswith("t_")
            client.headers.pop("authorization")
            assert (await post(client, message("tools/list"))).status_code == 401
        await house.gateway.stop()

    run(story())


def test_hostile_messages_are_refused_and_the_next_is_served(build: Any) -> None:
    bodies = [b"", b"{", b"\xff", b"[]", b"null", b"[" * 50_000, b'{"jsonrpc": "2.0"}', b'{"id": 1, "method": 3}']
    bodies += [b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask","arguments":"x"}}']
    bodies += [b'{"jsonrpc":"2.0","id":1,"method":"no/such","params":{}}', b"x" * 100_000]

    async def story() -> None:
        house = build(max_body=65536)
        async with house.client() as client:
            for body in bodies:
                answer = await client.post(
                    "/mcp", content=body, headers={**HEADERS, "content-type": "application/json"}
                )
                assert answer.status_code < 500, (body[:50], answer.text)
                assert answer.status_code >= 400 or "error" in answer.json(), (body[:50], answer.text)
            assert (await client.get("/mcp", headers=HEADERS)).status_code == 405
            assert (await post(client, message("ping"))).json()["result"] == {}
        await house.gateway.stop()

    run(story())


def test_leaving_stops_what_was_asked(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), httpx.AsyncClient(base_url=address) as client:
            client.headers["authorization"] = f"Bearer {token}"
            body = message("tools/call", name="ask", arguments={"text": "then wait"})
            asked = asyncio.create_task(post(client, body))
            await house.voice.began.wait()
            asked.cancel()
            await asyncio.wait_for(house.voice.closed.wait(), 90)

    run(story())
