"""Servers that speak OpenAI's API and differ: a table of quirks, and answers in several shapes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kith.core.clock import SystemClock
from kith.core.errors import Invalid, NotFound, Unavailable
from kith.core.message import Image, Media, Message, Text, ToolCall
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelSettings
from kith.models.backend import Means
from kith.models.openai_compat.backend import OpenAICompat
from kith.models.openai_compat.profiles import PROFILES, profile_of
from kith.models.openai_compat.settings import OpenAIOptions
from kith.models.openai_compat.wire import Chunks, body
from kith.runtime.supervisor import Supervisor

TALK = (Message("1", "user", (Text("look"), Image("abc", "image/png", "cat.png")), 0.0),)


def asked(profile: str, pictures: dict[str, str] | None = None, **sampling: Any) -> dict[str, Any]:
    request = ChatRequest(TALK, sampling=Sampling(**sampling))
    return body(request, "m", 9, PROFILES[profile], pictures or {})


def test_each_server_gets_its_own_fields() -> None:
    assert asked("openai")["max_completion_tokens"] == 9
    assert asked("plain")["max_tokens"] == 9
    assert asked("vllm", grammar="g")["structured_outputs"] == {"grammar": "g"}
    assert asked("sglang", grammar="g")["ebnf"] == "g"
    assert asked("llamacpp", grammar="g")["grammar"] == "g"
    with pytest.raises(Invalid):
        asked("ollama", grammar="g")


def test_the_address_tells_the_server() -> None:
    assert profile_of("auto", "https://api.openai.com/v1") is PROFILES["openai"]
    assert profile_of("auto", "http://127.0.0.1:11434/v1") is PROFILES["ollama"]
    assert profile_of("auto", "http://host:8000/v1") is PROFILES["plain"]
    assert profile_of("vllm", "http://host:11434/v1") is PROFILES["vllm"]


def test_pictures_are_shown_or_named() -> None:
    (message,) = asked("plain", {"abc": "data:x"})["messages"]
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "data:x"}},
        {"type": "text", "text": "look"},
    ]
    (message,) = asked("plain")["messages"]
    assert message["content"] == "look\n[image: cat.png]"


def fed(*deltas: dict[str, Any], finish: str = "stop") -> Any:
    chunks = Chunks("m")
    for delta in (*deltas, {}):
        chunks.feed(json.dumps({"choices": [{"delta": delta, "finish_reason": None if delta else finish}]}))
    return chunks.last()


def piece(**more: Any) -> dict[str, Any]:
    function = {key: more.pop(key) for key in ("name", "arguments") if key in more}
    return {"tool_calls": [{**more, "function": function}]}


def test_whole_calls_that_all_have_the_index_0() -> None:
    last = fed(
        piece(index=0, id="a", name="one", arguments='{"x": 1}'), piece(index=0, id="b", name="two", arguments="{}")
    )
    assert last.calls == (ToolCall("a", "one", '{"x": 1}'), ToolCall("b", "two", "{}"))
    assert last.finish == "tool_calls", "although the server said stop"


def test_pieces_that_repeat_their_id() -> None:
    last = fed(piece(index=0, id="a", name="one", arguments='{"x"'), piece(index=0, id="a", arguments=": 1}"))
    assert last.calls == (ToolCall("a", "one", '{"x": 1}'),)


def test_thoughts_are_not_said() -> None:
    chunks = Chunks("m")
    assert chunks.feed(json.dumps({"choices": [{"delta": {"reasoning_content": "hm", "content": None}}]})) == ""
    assert chunks.feed(json.dumps({"choices": [{"delta": {"reasoning": "hm", "content": "yes"}}]})) == "yes"


async def fetch(media: Media) -> bytes:
    if media.blob != "abc":
        raise NotFound("gone")
    return b"png"


def run(answer: Any, use: Any, **more: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Uses a backend whose endpoint always gives the same answer; returns what came of it, and what it heard."""
    heard: list[dict[str, Any]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        heard.append({"path": request.url.path, **json.loads(request.content)})
        return httpx.Response(200, json=answer)

    async def whole() -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(serve)) as client:
            clock = SystemClock()
            means = Means(clock, Supervisor(clock), client, Path(), lambda *_: None, fetch)
            profile = more.pop("profile", "auto")
            settings = ModelSettings(name="m", url="http://127.0.0.1:1/v1", **more)
            return await use(OpenAICompat(settings, OpenAIOptions(profile=profile), means))

    return asyncio.run(whole()), heard


@pytest.mark.parametrize("shape", [lambda rows: {"results": rows}, lambda rows: rows])
def test_ranking(shape: Any) -> None:
    rows = [{"index": 1, "relevance_score": 0.1}, {"index": 0, "score": 0.9}]
    found, heard = run(shape(rows), lambda model: model.rank("q", ["a", "b"]), type="rerank", profile="vllm")
    assert found == [0.9, 0.1]
    assert heard == [{"path": "/v1/rerank", "model": "m", "query": "q", "documents": ["a", "b"]}]


@pytest.mark.parametrize("answer", [{}, [], {"results": "no"}, {"results": [{"index": 0}]}, 5])
def test_a_ranking_that_is_none(answer: Any) -> None:
    with pytest.raises(Unavailable) as caught:
        run(answer, lambda model: model.rank("q", ["a"]), type="rerank", profile="vllm")
    assert caught.value.code == "bad_answer"


def test_a_server_that_is_not_known_to_rank() -> None:
    with pytest.raises(Invalid):
        run({}, lambda model: model.rank("q", ["a"]), type="rerank")


def test_only_a_model_that_sees_is_sent_pictures() -> None:
    async def talk(model: OpenAICompat) -> list[Any]:
        return [delta async for delta in model.stream(ChatRequest(TALK))]

    answer = {"choices": [{"message": {"content": "a cat"}, "finish_reason": "stop"}]}
    deltas, heard = run(answer, talk, type="vision")
    assert deltas[0].text == "a cat"
    assert heard[0]["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,cG5n"
    _, heard = run(answer, talk)
    assert isinstance(heard[0]["messages"][0]["content"], str)
