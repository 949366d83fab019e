"""The official clients of OpenAI and Anthropic, unchanged, against a real port: what is newer than chat completions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from kith.core.message import Delta
from kith.core.model import ModelCard

pytestmark = pytest.mark.server
TOOLS: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]
HELLO: Any = [{"role": "user", "content": "good day"}]


@contextlib.asynccontextmanager
async def openais(house: Any) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with contextlib.AsyncExitStack() as stack:
        address, token = await stack.enter_async_context(house.serving())
        made = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0)
        yield await stack.enter_async_context(made)


@contextlib.asynccontextmanager
async def anthropics(house: Any, key: str = "") -> AsyncGenerator[anthropic.AsyncAnthropic]:
    async with contextlib.AsyncExitStack() as stack:
        address, token = await stack.enter_async_context(house.serving())
        made = anthropic.AsyncAnthropic(base_url=address, api_key=key or token, max_retries=0)
        yield await stack.enter_async_context(made)


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story, 200))


def saying(house: Any, text: str) -> None:
    async def say(_: str, model: str) -> Any:
        yield Delta(text, model=model)
        yield Delta(finish="stop")

    house.voice.say = say


class Weather(BaseModel):
    city: str
    degrees: int


def test_openais_responses(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with openais(house) as client:
            whole = await client.responses.create(model="kith", input="good day", instructions="be brief")
            assert whole.output_text == "good day " and whole.usage and whole.usage.total_tokens == 10
            called = await client.responses.create(model="small", input="tool", tools=TOOLS)
            assert called.output[0].type == "function_call" and called.output[0].call_id == "call_1"
            async with client.responses.stream(model="small", input="good day") as stream:
                kinds = [event.type async for event in stream]
                final = await stream.get_final_response()
            assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
            assert final.output_text == "good day "
            async with client.responses.stream(model="small", input="tool", tools=TOOLS) as stream:
                assert "response.function_call_arguments.done" in [event.type async for event in stream]
            saying(house, '{"city": "上海", "degrees": 7}')
            parsed = await client.responses.parse(model="small", input="x", text_format=Weather)
            assert parsed.output_parsed == Weather(city="上海", degrees=7)
            assert house.models.asked[-1].sampling.schema["properties"]["city"]
            with pytest.raises(openai.BadRequestError, match="not kept"):
                await client.responses.create(model="small", input="x", previous_response_id="resp_1")

    run(story())


def test_openais_other_apis(build: Any) -> None:
    async def story() -> None:
        house = build()

        async def embed(texts: Any, model: str = "") -> Any:
            return [[float(len(text)), 0.5] for text in texts]

        house.models.embed = embed
        async with openais(house) as client:
            vectors = await client.embeddings.create(model="org/vec", input=["a", "你好"])
            assert [row.embedding for row in vectors.data] == [[1.0, 0.5], [2.0, 0.5]]
            for absent in (
                client.audio.speech.create(model="tts", voice="x", input="hello"),
                client.audio.transcriptions.create(model="asr", file=("x.wav", b"RIFF")),
                client.images.generate(model="draw", prompt="a cat"),
                client.moderations.create(input="hello"),
            ):
                with pytest.raises(openai.InternalServerError) as caught:
                    await absent
                assert (caught.value.status_code, caught.value.code) == (501, "not_served")
            house.models.cards = lambda: (ModelCard("seer", "chat", "echo", capabilities=("chat", "json")),)
            saying(house, '{"name": "weather", "arguments": {"city": "上海"}}')
            tool: Any = {"type": "function", "function": {"name": "weather"}}
            forced = await client.chat.completions.create(
                model="seer", messages=HELLO, tools=[tool], tool_choice=tool, stream=True
            )
            calls = [c for chunk in [c async for c in forced] for c in chunk.choices[0].delta.tool_calls or ()]
            assert calls[0].function and calls[0].function.arguments == '{"city":"上海"}'

    run(story())


def test_anthropics_messages(build: Any) -> None:
    tool: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}

    async def story() -> None:
        house = build()
        async with anthropics(house) as client:
            assert [model.id async for model in await client.models.list()] == ["kith", "small", "org/vec"]
            for model in ("kith", "small"):
                whole = await client.messages.create(model=model, max_tokens=9, messages=HELLO, system="be brief")
                assert whole.content[0].type == "text" and whole.content[0].text == "good day "
                async with client.messages.stream(model=model, max_tokens=9, messages=HELLO) as stream:
                    assert "".join([text async for text in stream.text_stream]) == "good day "
                    final = await stream.get_final_message()
                assert final.stop_reason == "end_turn" and final.usage.output_tokens == 3
            said: Any = [{"role": "user", "content": "tool"}]
            async with client.messages.stream(model="small", max_tokens=9, messages=said, tools=[tool]) as stream:
                final = await stream.get_final_message()
            assert final.stop_reason == "tool_use" and final.content[0].type == "tool_use"
            assert final.content[0].input == {"city": "上海"}
            counted = await client.messages.count_tokens(model="small", messages=HELLO)
            assert counted.input_tokens == 8

    run(story())


def test_anthropics_client_gets_its_own_exceptions(build: Any) -> None:
    expected = [
        ("small", "toolong", anthropic.BadRequestError),
        ("none", "hello", anthropic.NotFoundError),
        ("kith", "busy", anthropic.RateLimitError),
        ("kith", "away", anthropic.InternalServerError),
        ("kith", "bug", anthropic.InternalServerError),
    ]

    async def story() -> None:
        house = build()
        async with anthropics(house) as client:
            for model, text, kind in expected:
                said: Any = [{"role": "user", "content": text}]
                for stream in (False, True):
                    with pytest.raises(kind):
                        await client.messages.create(model=model, max_tokens=9, messages=said, stream=stream)
        async with anthropics(build(), "kith_wrong") as stranger:
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.create(model="kith", max_tokens=9, messages=HELLO)

    run(story())
