"""What every backend of models keeps, whatever is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kith.core.errors import Invalid, KithError, Unavailable
from kith.models import ModelSettings
from kith.runtime.registry import Registry
from tests.models.endpoint import serving
from tests.models.house import House, ask, opened, said

BACKENDS = [
    "echo",
    pytest.param("llama_cpp", marks=pytest.mark.server),
    pytest.param("openai_compat", marks=pytest.mark.server),
]


@pytest.fixture(params=BACKENDS)
def under(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[House], Awaitable[None]]], None]:
    """Runs a test with a service that has one model of the backend."""
    name: str = request.param

    def run(body: Callable[[House], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with serving() as endpoint:
                settings = {
                    "echo": lambda: ModelSettings(name="m", backend="echo", context=512),
                    "llama_cpp": lambda: ModelSettings(
                        name="m", path=str(request.getfixturevalue("tiny_gguf")), context=512, parallel=2
                    ),
                    "openai_compat": lambda: ModelSettings(name="m", url=f"{endpoint.url}/v1", model="good"),
                }[name]()
                async with opened(tmp_path, settings) as house:
                    assert house.service.cards()[0].backend == name
                    await body(house)

        asyncio.run(whole())

    return run


Under = Callable[[Callable[[House], Awaitable[None]]], None]


def test_every_backend_is_here() -> None:
    assert {getattr(one, "values", (one,))[0] for one in BACKENDS} == set(Registry("models").manifests())


def test_a_reply_is_text_and_then_an_end(under: Under) -> None:
    async def body(house: House) -> None:
        deltas = await house.say("hello there")
        assert said(deltas)
        assert [bool(delta.finish) for delta in deltas] == [False] * (len(deltas) - 1) + [True]
        assert deltas[-1].finish in {"stop", "length"}
        assert deltas[-1].usage is not None
        assert deltas[-1].usage.prompt > 0
        assert {delta.model for delta in deltas} == {"m"}

    under(body)


def test_many_at_once(under: Under) -> None:
    async def body(house: House) -> None:
        answers = await asyncio.gather(*(house.say(f"number {n}") for n in range(8)))
        assert all(answer[-1].finish for answer in answers)

    under(body)


def test_leaving_early_harms_nobody(under: Under) -> None:
    async def body(house: House) -> None:
        for _ in range(5):
            stream = house.service.chat(ask("hello there my friend", max_tokens=200))
            await anext(stream)
            await stream.aclose()
        task = asyncio.create_task(house.say("hello"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert said(await house.say("hello"))

    under(body)


def test_empty_and_strange_words(under: Under) -> None:
    async def body(house: House) -> None:
        for text in ("", " ", "\x00", "\ud800".encode("utf-8", "replace").decode(), "😀" * 10, "<|im_end|>"):
            try:
                assert (await house.say(text))[-1].finish
            except KithError as error:
                assert isinstance(error, Invalid | Unavailable)

    under(body)


def test_a_count_is_a_count(under: Under) -> None:
    async def body(house: House) -> None:
        await house.say("hello")
        assert await house.service.count("", "m") == 0
        assert 1 <= await house.service.count("hello world", "m") <= 11
        assert await house.service.count("hello " * 100, "m") > await house.service.count("hello", "m")

    under(body)
