"""The other words of ``/v1`` without a network: responses, messages, vectors, pictures, choices, sentences."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from kith.core.message import Delta, Image, ToolCall, Usage
from kith.core.model import ModelCard
from kith.gateway.sentences import LONGEST, cut, sentences

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
OTHER = {"name": "time", "parameters": {"type": "object"}}


def able(house: Any) -> Any:
    """A household with a model that sees and can be bound to a schema."""
    cards = (*house.models.cards(), ModelCard("seer", "chat", "echo", capabilities=("chat", "vision", "json")))
    house.models.cards = lambda: cards
    return house


async def post(house: Any, path: str, body: Any, **headers: str) -> Any:
    async with house.client(**headers) as client:
        return await client.post(path, json=body)


def chat(content: Any, model: str = "seer", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def faults(answer: Any) -> str:
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]["message"]


def test_a_picture_reaches_a_model_that_sees_and_its_bytes_wait_for_it(build: Any) -> None:
    url = f"data:image/png;base64,{PNG}"

    async def story() -> None:
        house = able(build())
        bodies = [
            ("/v1/chat/completions", chat([{"type": "image_url", "image_url": {"url": url}}])),
            ("/v1/responses", {"model": "seer", "input": [{"role": "user", "content": [
                {"type": "input_image", "image_url": url}]}]}),
            ("/v1/messages", {**chat([{"type": "image", "source": {"type": "base64", "data": PNG,
                "media_type": "image/png"}}]), "max_tokens": 9}),
        ]  # fmt: skip
        for path, body in bodies:
            house.models.asked.clear()
            house.voice.trouble[""] = house.voice.trouble["busy"]
            await post(house, path, body)
            part = house.models.asked[0].messages[-1].parts[0]
            assert isinstance(part, Image) and part.mime == "image/png", path
            assert await house.ports.blobs.fetch(part) == base64.b64decode(PNG)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.org/cat.png", "addresses are not fetched"),
        ("http://169.254.169.254/latest", "addresses are not fetched"),
        ("file:///etc/passwd", "addresses are not fetched"),
        ("data:image/png;base64,???", "is not base 64"),
        ("data:image/png;base64,", "is not a PNG"),
        (f"data:image/svg+xml;base64,{base64.b64encode(b'<svg onload=x>').decode()}", "is not a PNG"),
        ("data:text/html;base64,AAAA", "has to be a data: URL"),
    ],
)
def test_pictures_from_elsewhere_or_that_are_none_are_refused(build: Any, url: str, reason: str) -> None:
    async def story() -> None:
        body = chat([{"type": "image_url", "image_url": {"url": url}}])
        assert reason in faults(await post(able(build()), "/v1/chat/completions", body))

    asyncio.run(story())


def test_who_cannot_see_is_not_shown_pictures(build: Any) -> None:
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]

    async def story() -> None:
        house = able(build())
        assert "cannot see" in faults(await post(house, "/v1/chat/completions", chat(content, "small")))
        assert "reads text" in faults(await post(house, "/v1/chat/completions", chat(content, "kith")))

    asyncio.run(story())


def saying(house: Any, *deltas: Delta) -> None:
    """Let every model of the house say this."""

    async def say(text: str, model: str) -> AsyncGenerator[Delta]:
        for delta in deltas:
            yield delta

    house.voice.say = say


CHOICES = [
    ("/v1/chat/completions", {"tools": [{"type": "function", "function": f} for f in (TOOL, OTHER)]},
     [("required", 2), ({"type": "function", "function": {"name": "weather"}}, 1)]),
    ("/v1/responses", {"tools": [{"type": "function", **f} for f in (TOOL, OTHER)]},
     [("required", 2), ({"type": "function", "name": "weather"}, 1)]),
    ("/v1/messages", {"tools": [{"name": f["name"], "input_schema": f["parameters"]} for f in (TOOL, OTHER)],
     "max_tokens": 50}, [({"type": "any"}, 2), ({"type": "tool", "name": "weather"}, 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more", "choices"), CHOICES)
def test_a_tool_that_has_to_be_called_binds_the_models_answer(
    build: Any, path: str, more: dict[str, Any], choices: list[Any]
) -> None:
    async def story() -> None:
        house = able(build())
        written = '{"name":"weather","arguments":{"city":"上海"}}'
        saying(house, Delta(written[:9]), Delta(written[9:]), Delta(finish="stop", usage=Usage(4, 2)))
        for choice, offered in choices:
            body: Any = {"model": "seer", **more, "tool_choice": choice}
            body |= {"input": "so?"} if "responses" in path else chat("so?")
            answer = await post(house, path, {**body, **more})
            assert answer.status_code == 200 and "上海" in answer.text and "weather" in answer.text, answer.text
            asked = house.models.asked[-1]
            assert asked.tools == () and len(asked.sampling.schema.get("anyOf", [1])) == offered
            assert asked.messages[0].role == "system" and "weather" in asked.messages[0].text
            wrong = await post(house, path, {**body, **more, "model": "small"})
            assert "cannot be bound" in wrong.text and wrong.status_code == 400

    asyncio.run(story())


def test_a_call_that_was_not_finished_is_an_error_and_no_text(build: Any) -> None:
    async def story() -> None:
        house = able(build())
        tools = [{"type": "function", "function": TOOL}]
        for said in ('{"name": "wea', "hello", "[1]", '{"name": "weather"}'):
            saying(house, Delta(said), Delta(finish="length"))
            answer = await post(house, "/v1/chat/completions", chat("x", tools=tools, tool_choice="required"))
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_call")

    asyncio.run(story())


def test_a_choice_of_no_tool_is_named(build: Any) -> None:
    async def story() -> None:
        house, wanted = able(build()), {"type": "function", "function": {"name": "none"}}
        tools = [{"type": "function", "function": TOOL}]
        assert "tool_choice" in faults(await post(house, "/v1/chat/completions", chat("x", tool_choice="required")))
        answer = await post(house, "/v1/chat/completions", chat("x", tools=tools, tool_choice=wanted))
        assert "is not one of the tools" in faults(answer)

    asyncio.run(story())


def test_a_response_whole_and_as_events(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        body = {"model": "kith", "input": "good day", "instructions": "be brief", "metadata": {"a": "b"}}
        whole = (await post(house, "/v1/responses", body)).json()
        assert (whole["status"], whole["object"], whole["metadata"]) == ("completed", "response", {"a": "b"})
        assert whole["output"][0]["content"] == [{"type": "output_text", "text": "good day ", "annotations": []}]
        assert (whole["usage"]["input_tokens"], whole["usage"]["total_tokens"]) == (7, 10)
        assert [m.text for m in house.talk.histories[0]] == ["be brief"] and whole["kith"]["sources"] == ["handbook"]
        stream = events((await post(house, "/v1/responses", {**body, "stream": True})).text)
        kinds = [kind for _, kind, _ in stream]
        assert kinds[:4] == [f"response.{k}" for k in
            ("created", "in_progress", "output_item.added", "content_part.added")]  # fmt: skip
        assert kinds[-1] == "response.completed" and kinds.count("response.output_text.delta") == 2
        assert [data["sequence_number"] for _, _, data in stream] == list(range(len(stream)))
        assert all(kind == data["type"] for _, kind, data in stream)
        assert stream[-1][2]["response"]["output"][0]["content"][0]["text"] == "good day "

    asyncio.run(story())


def test_calls_and_their_results_travel_both_ways(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        items = [
            {"role": "user", "content": "weather?"},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
            {"role": "user", "content": [{"type": "input_text", "text": "tool"}]},
        ]
        tools = [{"type": "function", **TOOL}]
        whole = (await post(house, "/v1/responses", {"model": "small", "input": items, "tools": tools})).json()
        parts = [m.parts[0] for m in house.models.asked[0].messages]
        assert (parts[1].call, parts[2].text, house.models.asked[0].tools[0].name) == ("c1", "rain", "weather")
        item = whole["output"][0]
        assert (item["type"], item["call_id"], item["name"]) == ("function_call", "call_1", "weather")
        body = {"model": "small", "input": items, "tools": tools, "stream": True}
        kinds = [kind for _, kind, _ in events((await post(house, "/v1/responses", body)).text)]
        assert "response.function_call_arguments.done" in kinds and "response.output_text.done" not in kinds

    asyncio.run(story())


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": [{"type": "message"}]}, "input[0].role"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "x"}]}, "input[0].call_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"input": []}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"max_output_tokens": 0, "temperature": 3}, "max_output_tokens"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
    ],
)
def test_what_a_response_cannot_be_is_named(build: Any, more: dict[str, Any], place: str) -> None:
    async def story() -> None:
        answer = await post(build(), "/v1/responses", {"model": "small", "input": "x", **more})
        assert f"{place}" in faults(answer)

    asyncio.run(story())


def test_a_message_in_anthropics_words(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        body = chat("good day", "kith", max_tokens=9, system=[{"type": "text", "text": "be brief"}])
        whole = (await post(house, "/v1/messages", body)).json()
        assert (whole["type"], whole["role"], whole["stop_reason"]) == ("message", "assistant", "end_turn")
        assert whole["content"] == [{"type": "text", "text": "good day "}]
        assert (whole["usage"]["input_tokens"], whole["usage"]["cache_read_input_tokens"]) == (5, 2)
        assert [m.role for m in house.talk.histories[0]] == ["system"]
        stream = events((await post(house, "/v1/messages", {**body, "stream": True})).text)
        assert [kind for _, kind, _ in stream] == ["message_start", "content_block_start", "content_block_delta",
            "content_block_delta", "content_block_stop", "message_delta", "message_stop"]  # fmt: skip
        assert stream[-2][2]["delta"]["stop_reason"] == "end_turn"

    asyncio.run(story())


def test_anthropics_tools_travel_both_ways(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        said = [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "u1", "name": "weather", "input": {"city": "上海"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "u1", "is_error": True, "content": "no"},
                {"type": "text", "text": "tool"}]},
        ]  # fmt: skip
        tools = [{"name": "weather", "input_schema": TOOL["parameters"]}]
        body = {"model": "small", "messages": said, "max_tokens": 9, "tools": tools, "stop_sequences": ["x"]}
        whole = (await post(house, "/v1/messages", body)).json()
        asked = house.models.asked[0]
        assert [m.role for m in asked.messages] == ["user", "assistant", "tool", "user"]
        assert asked.messages[1].parts[0].arguments == '{"city":"上海"}' and asked.messages[2].parts[0].failed
        assert asked.sampling.stop == ("x",) and asked.sampling.max_tokens == 9
        assert whole["stop_reason"] == "tool_use" and whole["content"][0]["input"] == {"city": "上海"}
        stream = events((await post(house, "/v1/messages", {**body, "stream": True})).text)
        pieces = [data["delta"]["partial_json"] for _, kind, data in stream if kind == "content_block_delta"]
        assert json.loads("".join(pieces)) == {"city": "上海"}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}]},
         "messages[0].content[0].source"),
        ({"tools": [{"name": "bash", "type": "bash_20250124"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "tool", "name": "none"}}, "tool_choice.name"),
        ({"temperature": 2}, "temperature"),
    ],
)  # fmt: skip
def test_anthropics_mistakes_are_named_in_its_own_shape(build: Any, more: dict[str, Any], place: str) -> None:
    async def story() -> None:
        body = {key: value for key, value in {**chat("x", "small", max_tokens=5), **more}.items() if value is not None}
        answer = await post(build(), "/v1/messages", body)
        told = answer.json()
        assert (answer.status_code, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
        assert place in told["error"]["message"]

    asyncio.run(story())


def test_anthropics_errors_and_its_key_and_its_list(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        body = chat("away", "small", max_tokens=5)
        away = await post(house, "/v1/messages", body)
        assert (away.status_code, away.json()["error"]["type"]) == (503, "overloaded_error")
        late = await post(house, "/v1/messages", chat("start late", "small", max_tokens=5, stream=True))
        assert events(late.text)[-1][1:] == ("error", {"type": "error", "error": {"type": "overloaded_error",
            "message": "the model is being loaded", "code": "model_loading"}})  # fmt: skip
        async with house.client() as client:
            token = client.headers.pop("authorization").removeprefix("Bearer ")
            told = (await client.post("/v1/messages", json=body)).json()
            assert told["error"]["type"] == "authentication_error"
            known = {"x-api-key": token, "anthropic-version": "2023-06-01"}
            listed = (await client.get("/v1/models", headers=known)).json()
            assert [m["id"] for m in listed["data"]] == ["kith", "small", "org/vec"] and not listed["has_more"]
            counted = await client.post("/v1/messages/count_tokens", json=chat("12345", "small"), headers=known)
            assert counted.json() == {"input_tokens": 5}

    asyncio.run(story())


def test_vectors(build: Any) -> None:
    async def story() -> None:
        house = build()

        async def embed(texts: Any, model: str = "") -> Any:
            assert model == "org/vec"
            return [[float(len(text)), 0.5] for text in texts]

        house.models.embed = embed
        whole = (await post(house, "/v1/embeddings", {"model": "org/vec", "input": ["a", "你好"]})).json()
        assert [row["embedding"] for row in whole["data"]] == [[1.0, 0.5], [2.0, 0.5]]
        assert whole["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
        body = {"model": "org/vec", "input": "a", "encoding_format": "base64"}
        packed = (await post(house, "/v1/embeddings", body)).json()["data"][0]["embedding"]
        assert struct.unpack("<2f", base64.b64decode(packed)) == (1.0, 0.5)
        assert "dimensions" in faults(await post(house, "/v1/embeddings", {**body, "dimensions": 7}))
        for wrong in ({"input": ""}, {"input": []}, {"input": [1, 2]}, {"input": ["x"] * 2049}, {"input": None}):
            assert "input" in faults(await post(house, "/v1/embeddings", {**body, **wrong}))
        assert (await post(house, "/v1/embeddings", {**body, "model": "small"})).status_code == 404

    asyncio.run(story())


class FakeJudge:
    async def judge(self, text: str) -> dict[str, float]:
        return {"violence": 0.9 if "kill" in text else 0.1}


def test_moderations_come_from_the_houses_filter(build: Any) -> None:
    async def story() -> None:
        house = build()
        absent = await post(house, "/v1/moderations", {"input": "x"})
        assert (absent.status_code, absent.json()["error"]["code"]) == (501, "not_served")
        object.__setattr__(house.ports, "judge", FakeJudge())
        found = (await post(house, "/v1/moderations", {"input": ["kill", "hello"]})).json()["results"]
        assert [result["flagged"] for result in found] == [True, False]
        assert found[0]["category_scores"] == {"violence": 0.9}

    asyncio.run(story())


@pytest.mark.parametrize("path", ["audio/speech", "audio/transcriptions", "images/generations", "images/edits"])
def test_what_is_not_served_says_so(build: Any, path: str) -> None:
    async def story() -> None:
        async with build().client() as client:
            for content in (b"{}", b"\xff" * 100):
                answer = await client.post(f"/v1/{path}", content=content)
                assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_served")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("你好。你叫什么？我", ["你好。", "你叫什么？", "我"]),
        ("Hello there. How are you? Fine", ["Hello there. ", "How are you? ", "Fine"]),
        ("It is 3.14, see kith.yaml. Yes", ["It is 3.14, see kith.yaml. ", "Yes"]),
        ("Dr. Who met Mr. Bean. Ok", ["Dr. Who met Mr. Bean. ", "Ok"]),
        ("J. K. Rowling wrote. Well", ["J. K. Rowling wrote. ", "Well"]),
        ("1. one\n2. two\n", ["1. one\n", "2. two\n"]),
        ("“走吧！”他说。“好”", ["“走吧！”", "他说。", "“好”"]),
        ("Really?! Yes", ["Really?! ", "Yes"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_a_reply_in_sentences(text: str, pieces: list[str]) -> None:
    async def letters() -> AsyncGenerator[Delta]:
        for letter in text:
            yield Delta(letter)

    async def story() -> list[str]:
        return [delta.text async for delta in sentences(letters())]

    found = asyncio.run(story())
    assert [piece.strip() for piece in found if piece.strip()] == [piece.strip() for piece in pieces]
    assert "".join(found) == text


def test_a_sentence_without_end_is_cut_at_a_pause_and_nothing_is_lost() -> None:
    assert cut("a" * (LONGEST - 1)) == 0 and cut("a" * LONGEST) == LONGEST
    assert cut("word " * 100) == LONGEST and cut("一二三，" * 200) == LONGEST

    async def story() -> list[Delta]:
        async def deltas() -> AsyncGenerator[Delta]:
            yield Delta("half a", model="m")
            yield Delta(calls=(ToolCall("1", "x", "{}"),))
            yield Delta(" rest")
            yield Delta(finish="stop")

        return [delta async for delta in sentences(deltas())]

    found = asyncio.run(story())
    assert [d.text for d in found] == ["half a", " rest"] and found[0].calls and found[1].finish == "stop"


def test_every_dialect_can_speak_in_sentences(build: Any, events: Any) -> None:
    async def story() -> None:
        house = build()
        saying(house, *(Delta(letter) for letter in "Good day. How are you?"), Delta(finish="stop"))
        cases: list[tuple[str, Any, Any]] = [
            ("/v1/chat/completions", chat("x", "small"), lambda d: d["choices"][0]["delta"].get("content")),
            (
                "/v1/responses",
                {"model": "small", "input": "x"},
                lambda d: d["type"].endswith("text.delta") and d["delta"],
            ),
            ("/v1/messages", chat("x", "small", max_tokens=9), lambda d: d.get("delta", {}).get("text")),
            ("/api/ask", {"text": "x"}, lambda d: d.get("text")),
        ]
        for path, body, pick in cases:
            answer = await post(
                house, path, {**body, "stream": True, "chunks": "sentences"}, accept="text/event-stream"
            )
            said = [text for _, _, data in events(answer.text) if data != "[DONE]" and (text := pick(data))]
            assert said == ["Good day. ", "How are you?"], (path, said)
            assert (await post(house, path, {**body, "chunks": "words"})).status_code == 400

    asyncio.run(story())


def test_every_operation_of_the_description_has_a_name_of_its_own(build: Any) -> None:
    async def story() -> None:
        async with build().client() as client:
            paths = (await client.get("/openapi.json")).json()["paths"]
        operations = [operation for methods in paths.values() for operation in methods.values()]
        names = [operation["operationId"] for operation in operations]
        assert len(set(names)) == len(names)
        assert "501" in paths["/v1/audio/speech"]["post"]["responses"]

    asyncio.run(story())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_an_answer_says_that_another_model_gave_it(build: Any, path: str) -> None:
    async def story() -> None:
        house = build()
        saying(house, Delta("hello", model="other", fallback=True), Delta(finish="stop", model="other", fallback=True))
        said = {"input": "x"} if path.endswith("responses") else {"messages": [{"role": "user", "content": "x"}]}
        body = (await post(house, path, {"model": "small", "max_tokens": 9, **said})).json()
        assert body["kith"] == {"model": "other", "fallback": True, "sources": []}

    asyncio.run(story())
