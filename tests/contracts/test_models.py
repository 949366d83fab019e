"""What every backend of models keeps, whatever is behind it."""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from kith.core.errors import Invalid, KithError, Missing, Unavailable
from kith.models import ModelSettings
from kith.runtime.registry import Registry
from tests.conftest import script
from tests.models.endpoint import serving
from tests.models.house import House, ask, opened, said

BACKENDS = [
    "echo",
    pytest.param("llama_cpp", marks=pytest.mark.server),
    pytest.param("openai_compat", marks=pytest.mark.server),
    pytest.param("ctranslate2", marks=pytest.mark.server),
]
ENCODERS = [
    "echo",
    pytest.param("llama_cpp", marks=pytest.mark.server),
    pytest.param("openai_compat", marks=pytest.mark.server),
    pytest.param("onnx", marks=pytest.mark.server),
]
UNTRIED = {"transformers": "transformers", "diffusers": "diffusion"}
"""Folders whose packages are too large for every test run, with the extra that brings them."""


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
                    "ctranslate2": lambda: ModelSettings(
                        name="m",
                        path=str(script("make_ct2").make(tmp_path / "ct2") / "model.bin"),
                        context=512,
                        threads=1,
                    ),
                }[name]()
                async with opened(tmp_path, settings) as house:
                    assert house.service.cards()[0].backend == name
                    await body(house)

        asyncio.run(whole())

    return run


Under = Callable[[Callable[[House], Awaitable[None]]], None]


def test_every_backend_is_here() -> None:
    tried = {getattr(one, "values", (one,))[0] for one in (*BACKENDS, *ENCODERS)}
    assert tried | set(UNTRIED) == set(Registry("models").manifests())


@pytest.mark.parametrize(("name", "extra"), UNTRIED.items())
def test_what_is_not_installed_says_how_to_get_it(name: str, extra: str) -> None:
    if any(importlib.util.find_spec(module) is None for module in Registry("models").manifest(name).requires):
        with pytest.raises(Missing) as caught:
            Registry("models").load(name)
        assert caught.value.hint == f'pip install "kith[{extra}]"'


def alike(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine. Company in a batch may change the last digits of a half-precision model."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.hypot(*one) / math.hypot(*other)


@pytest.mark.parametrize("name", ENCODERS)
def test_vectors_of_equal_length_in_order(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving() as endpoint:
            more = {
                "echo": lambda: {"backend": "echo"},
                "llama_cpp": lambda: {"path": str(request.getfixturevalue("tiny_gguf")), "context": 512},
                "openai_compat": lambda: {"url": f"{endpoint.url}/v1", "model": "good"},
                "onnx": lambda: {"path": str(script("make_onnx").make(tmp_path / "onnx"))},
            }[name]()
            async with opened(tmp_path, ModelSettings(name="m", type="embedding", threads=1, **more)) as house:
                one, two, three = await house.service.embed(["hello", "hello there cat", "hello"], "m")
                assert len(one) == len(two) == len(three) > 0
                assert alike(one, three) > 0.98
                assert list(one) != pytest.approx(list(two), abs=1e-3)
                both = await asyncio.gather(
                    *(house.service.embed([text], "m") for text in ("hello", "hello there cat"))
                )
                assert all(alike(rows[0], row) > 0.98 for rows, row in zip(both, (one, two), strict=True))

    asyncio.run(body())


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
