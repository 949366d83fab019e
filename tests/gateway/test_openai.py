"""``/v1`` without a network: shapes, mistakes, and what reaches the household."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kith.core.ids import person_id
from kith.core.message import Delta, Logprob, Usage
from kith.core.model import ModelCard

CHAT = "/v1/chat/completions"


def ask(text: str = "good day", model: str = "kith", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def test_models_are_listed_and_described(build: Any) -> None:
    async def story() -> None:
        async with build().client() as client:
            listed = (await client.get("/v1/models")).json()
            assert listed["object"] == "list" and [model["id"] for model in listed["data"]] == [
                "kith",
                "small",
                "org/vec",
            ]
            assert (await client.get("/v1/models/small")).json()["object"] == "model"
            assert (await client.get("/v1/models/org/vec")).json()["kith"]["kind"] == "embed"
            for name in ("none", "..%2f..%2fetc"):
                answer = await client.get(f"/v1/models/{name}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")

    asyncio.run(story())


def test_a_reply_at_once(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            answer = await client.post(CHAT, json=ask())
        body = answer.json()
        assert answer.status_code == 200 and body["object"] == "chat.completion" and body["model"] == "kith"
        choice = body["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": "good day ", "refusal": None}
        assert choice["finish_reason"] == "stop"
        assert body["usage"] == {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2},
        }
        assert body["kith"] == {"model": "small", "sources": ["handbook"], "fallback": False}
        assert house.voice.closed.is_set()

    asyncio.run(story())


def test_a_reply_as_a_stream(build: Any, events: Any) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.post(CHAT, json=ask(stream=True, stream_options={"include_usage": True}))
        assert answer.headers["content-type"] == "text/event-stream"
        chunks = [data for _, _, data in events(answer.text)]
        assert chunks[-1] == "[DONE]" and chunks[-2]["choices"] == [] and chunks[-2]["usage"]["total_tokens"] == 10
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "good "}
        assert chunks[1]["choices"][0]["delta"] == {"content": "day "} and chunks[1]["usage"] is None
        assert chunks[-3]["choices"][0]["finish_reason"] == "stop"
        assert len({chunk["id"] for chunk in chunks[:-1]}) == 1

    asyncio.run(story())


def test_the_house_gets_the_last_message_and_what_came_before(build: Any) -> None:
    async def story() -> None:
        house = build()
        said = [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "再见"},
        ]
        async with house.client("member") as client:
            await client.post(CHAT, json={"model": "kith", "messages": said, "unknown": {"x": 1}, "user": "u1"})
        envelope, history = house.talk.envelopes[0], house.talk.histories[0]
        assert (envelope.channel, envelope.message.text) == ("api", "再见") and envelope.sender.startswith("t_")
        assert [(m.role, m.text) for m in history] == [
            ("system", "be brief"),
            ("user", "hi\nthere"),
            ("assistant", "hello"),
        ]

    asyncio.run(story())


def test_a_raw_model_gets_sampling_and_tools_and_its_calls_come_back(build: Any, events: Any) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    more = {"max_tokens": 5, "temperature": 0, "top_p": 0.5, "seed": 3, "stop": "x", "response_format": form}

    async def story() -> None:
        house = build()
        async with house.client() as client:
            answer = (await client.post(CHAT, json=ask("tool", "small", tools=[tool], **more))).json()
            stream = await client.post(CHAT, json=ask("tool", "small", tools=[tool], stream=True))
        request = house.models.asked[0]
        assert (
            request.person == person_id("api", "owner", "owner")
            and request.tools[0].name == "weather"
            and request.tools[0].schema == schema
        )
        wanted = request.sampling
        assert (wanted.max_tokens, wanted.temperature, wanted.top_p, wanted.seed) == (5, 0, 0.5, 3)
        assert (wanted.stop, wanted.schema) == (("x",), schema)
        choice = answer["choices"][0]
        assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
        assert choice["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"上海"}'}
        first = events(stream.text)[0][2]["choices"][0]["delta"]["tool_calls"][0]
        assert (first["index"], first["id"], first["type"]) == (0, "call_1", "function")

    asyncio.run(story())


def test_a_conversation_with_tool_results_reaches_the_model(build: Any) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "user", "content": "so?"},
    ]

    async def story() -> None:
        house = build()
        async with house.client() as client:
            await client.post(CHAT, json={"model": "small", "messages": said})
        parts = [message.parts[0] for message in house.models.asked[0].messages]
        assert (parts[1].call, parts[1].name, parts[2].text) == ("call_1", "weather", "rain")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["model", "messages"]),
        ({"model": 3, "messages": "x", "temperature": "hot"}, ["model", "messages", "temperature"]),
        (ask(temperature=9, n="2", stream=1), ["stream", "temperature", "n"]),
        ({"model": "kith", "messages": []}, ["messages"]),
        ({"model": "kith", "messages": [{"role": "king", "content": 1}]}, ["messages[0].role", "messages[0].content"]),
        ({"model": "kith", "messages": [{"content": "x"}]}, ["messages[0].role"]),
        ({"model": "kith", "messages": [{"role": "user"}]}, ["messages[0].content"]),
        (ask(n=2, top_logprobs=3), ["n", "top_logprobs"]),
        (ask(logprobs=True, top_logprobs=21), ["top_logprobs"]),
        (ask(logprobs=True), ["logprobs"]),
        (ask(logprobs=True, model="small"), ["logprobs"]),
        (ask(stream_options={"include_usage": True}), ["stream_options"]),
        (ask([{"type": "image_url", "image_url": {"url": "data:"}}]), ["messages[0].content[0].image_url.url"]),
        (ask([{"type": "input_audio", "input_audio": {}}]), ["messages[0].content[0]"]),
        ({"model": "kith", "messages": [{"role": "assistant", "content": "x"}]}, ["messages[0].role"]),
        (ask(tools=[{"type": "function", "function": {"name": "f"}}]), ["tools"]),
        (ask(tools=[{"function": {}}], model="small"), ["tools[0].function.name"]),
    ],
)
def test_every_mistake_is_named(build: Any, body: Any, places: list[str]) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.post(CHAT, json=body)
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["type"] == "invalid_request_error" and error["param"] == places[0]
        assert set(error) == {"message", "type", "param", "code"}
        for place in places:
            assert f"{place}: " in error["message"]

    asyncio.run(story())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"model": "\xff", "messages": []}',
        b"[" * 100_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"model": "kith", "messages": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"null",
        b'"x"',
        b'{"model": "kith", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b"9" * 5000,
        b'{"model": "kith", "seed": ' + b"9" * 400 + b', "messages": [{"role": "user", "content": "x"}]}',
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/api/messages", "/api/ask"])
def test_hostile_bodies_are_refused_and_the_next_request_works(build: Any, raw: bytes, path: str) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.post(path, content=raw)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]["message"]
            assert (await client.post(CHAT, json=ask())).status_code == 200

    asyncio.run(story())


@pytest.mark.parametrize(
    ("text", "status", "kind", "code", "wait"),
    [
        ("toolong", 400, "invalid_request_error", "context_length_exceeded", None),
        ("busy", 429, "rate_limit_error", "rate_limited", "3"),
        ("away", 503, "server_error", "model_loading", "3"),
        ("bug", 500, "server_error", "broken", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["kith", "small"])
def test_errors_before_the_first_word_have_a_status(
    build: Any, text: str, status: int, kind: str, code: str, wait: str | None, stream: bool, model: str
) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.post(CHAT, json=ask(text, model, stream=stream))
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (status, kind, code)
        assert answer.headers.get("retry-after") == wait
        assert "secret" not in answer.text

    asyncio.run(story())


def test_an_error_inside_a_stream_is_told_and_the_stream_is_not_called_done(build: Any, events: Any) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.post(CHAT, json=ask("start late", stream=True))
        chunks = [data for _, _, data in events(answer.text)]
        assert chunks[-1]["error"]["code"] == "model_loading" and "[DONE]" not in chunks

    asyncio.run(story())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/none", 404, "route_not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_wrong_addresses_answer_in_the_dialect(build: Any, method: str, path: str, status: int, code: str) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert "param" in answer.json()["error"]

    asyncio.run(story())


def test_a_body_above_the_limit_is_refused_by_its_announced_and_by_its_real_size(build: Any) -> None:
    async def drip() -> Any:
        for _ in range(30):
            yield b"x" * 100

    async def story() -> None:
        async with build(max_body=2048).client() as client:
            for content in (b"x" * 3000, drip()):
                answer = await client.post(CHAT, content=content)
                assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
            assert (await client.post(CHAT, content=json.dumps(ask()).encode())).status_code == 200

    asyncio.run(story())


def test_log_probabilities_are_told_as_openai_tells_them(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()

        async def say(text: str, model: str) -> Any:
            del text
            yield Delta("好", logprobs=(Logprob("好", -0.5, (("好", -0.5), ("坏", -1.0))),), model=model)
            yield Delta(finish="stop", usage=Usage(1, 1), model=model)

        house.voice.say = say
        house.models.cards = lambda: (ModelCard("small", "chat", "echo", capabilities=("chat", "logprobs")),)
        expected = {"token": "好", "logprob": -0.5, "bytes": list("好".encode())}
        other = {"token": "坏", "logprob": -1.0, "bytes": list("坏".encode())}
        async with house.client() as client:
            body = ask(model="small", logprobs=True, top_logprobs=2)
            whole = (await client.post("/v1/chat/completions", json=body)).json()
            content = [{**expected, "top_logprobs": [expected, other]}]
            assert whole["choices"][0]["logprobs"] == {"content": content, "refusal": None}
            assert house.models.asked[-1].sampling.logprobs == 2
            stream = await client.post("/v1/chat/completions", json={**body, "stream": True})
            told = [data["choices"][0]["logprobs"] for _, _, data in events(stream.text) if data != "[DONE]"]
            assert [one["content"] for one in told if one] == [content]

    asyncio.run(story())
