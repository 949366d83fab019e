"""Endpoints that speak OpenAI's API: well, badly, and not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Logprob, Message, Text, ToolCall, ToolResult, Usage
from kith.core.model import ChatRequest, Sampling, ToolSpec
from kith.models import ModelSettings
from tests.models.endpoint import Endpoint, serving
from tests.models.house import House, ask, opened, said

pytestmark = pytest.mark.server


def run(folder: Path, model: str, body: Callable[[House, Endpoint], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with serving() as endpoint:
            settings = ModelSettings(name="far", url=f"{endpoint.url}/v1", model=model, **more)
            async with opened(folder, settings) as house:
                await body(house, endpoint)

    asyncio.run(whole())


def test_it_streams(tmp_path: Path) -> None:
    async def body(house: House, endpoint: Endpoint) -> None:
        deltas = await house.say("hi", temperature=0.5, stop=("x",), schema={"type": "object"})
        assert said(deltas) == "Hello 世界"
        assert deltas[-1].finish == "stop"
        assert deltas[-1].usage == Usage(5, 3, 2)
        asked = endpoint.heard[0]
        assert asked["messages"] == [{"role": "user", "content": "hi"}]
        assert asked["stream_options"] == {"include_usage": True}
        assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}
        assert (asked["temperature"], asked["stop"], asked["max_tokens"]) == (0.5, ["x"], 20)
        assert endpoint.keys == ["Bearer secret"]

    run(tmp_path, "good", body, api_key="secret")


def test_it_passes_on_how_likely_tokens_were(tmp_path: Path) -> None:
    async def body(house: House, endpoint: Endpoint) -> None:
        deltas = await house.say("hi", logprobs=1)
        assert (endpoint.heard[0]["logprobs"], endpoint.heard[0]["top_logprobs"]) == (True, 1)
        assert [delta.logprobs for delta in deltas if delta.text] == [(Logprob("a", -0.1, (("a", -0.1),)),), ()]
        await house.say("hi")
        assert "logprobs" not in endpoint.heard[1]

    run(tmp_path, "likely", body)


def test_tools(tmp_path: Path) -> None:
    request = ChatRequest(
        (
            Message("1", "user", (Text("weather?"),), 0.0),
            Message("2", "assistant", (ToolCall("c0", "weather", "{}"),), 0.0),
            Message("3", "tool", (ToolResult("c0", "rain"),), 0.0),
        ),
        tools=(ToolSpec("weather", "tells it", {"type": "object"}),),
        sampling=Sampling(),
    )

    async def body(house: House, endpoint: Endpoint) -> None:
        deltas = [delta async for delta in house.service.chat(request)]
        assert deltas[-1].finish == "tool_calls"
        assert deltas[-1].calls == (ToolCall("c1", "weather", '{"city":"上海"}'), ToolCall("c2", "clock", "{}"))
        _, called, result = endpoint.heard[0]["messages"]
        assert called["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}
        assert result == {"role": "tool", "tool_call_id": "c0", "content": "rain"}
        assert endpoint.heard[0]["tools"][0]["function"]["name"] == "weather"

    run(tmp_path, "tools", body)


def test_an_endpoint_that_does_not_stream(tmp_path: Path) -> None:
    async def body(house: House, endpoint: Endpoint) -> None:
        assert said(await house.say()) == "whole"

    run(tmp_path, "json", body)


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("401", Refused, "upstream_key"),
        ("404", NotFound, "model_not_found"),
        ("400", Invalid, "upstream_refused"),
        ("422", Invalid, "context_length_exceeded"),
        ("429", Unavailable, "rate_limited"),
        ("500", Unavailable, "upstream_failed"),
        ("html", Unavailable, "worker_lost"),
        ("nonsense", Unavailable, "bad_answer"),
        ("list", Unavailable, "bad_answer"),
        ("types", Unavailable, "bad_answer"),
        ("types2", Unavailable, "bad_answer"),
        ("late error", Unavailable, "upstream_failed"),
        ("halfway", Unavailable, "worker_lost"),
        ("line", Unavailable, "bad_answer"),
        ("silent", Unavailable, "deadline"),
    ],
)
def test_what_goes_wrong_there(tmp_path: Path, model: str, kind: type[KithError], code: str) -> None:
    async def body(house: House, endpoint: Endpoint) -> None:
        with pytest.raises(kind) as caught:
            await house.say()
        assert caught.value.code == code
        assert "secret" not in str(caught.value)
        if isinstance(caught.value, Unavailable) and model in {"429", "500"}:
            assert caught.value.retry_after == 7.0

    run(tmp_path, model, body, api_key="secret", options={"timeout": 1.0 if model == "silent" else 60.0})


def test_leaving_stops_the_endpoint(tmp_path: Path) -> None:
    async def body(house: House, endpoint: Endpoint) -> None:
        stream = house.service.chat(ask())
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(90):
            await endpoint.ended.wait()

    run(tmp_path, "endless", body)


def test_nobody_there(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, ModelSettings(name="far", url="http://127.0.0.1:9/v1")) as house:
            with pytest.raises(Unavailable) as caught:
                await house.say()
            assert caught.value.code == "unreachable"

    asyncio.run(body())


def test_vectors(tmp_path: Path) -> None:
    async def body(house: House, endpoint: Endpoint) -> None:
        assert await house.service.embed(["a", "bb"]) == [[1.0, 1.0], [2.0, 1.0]]

    run(tmp_path, "good", body, type="embedding")
