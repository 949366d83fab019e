"""Which model answers, what is tried again, and what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kith.core.errors import Invalid, KithError, Missing, NotFound, Refused, Unavailable
from kith.models import ModelSettings
from kith.models.service import estimate
from tests.models.house import House, ask, opened, said


def echo(name: str = "echo", **options: Any) -> ModelSettings:
    return ModelSettings(name=name, backend="echo", options=options)


def remote(**more: Any) -> ModelSettings:
    return ModelSettings(name="cloud", url="https://example.com/v1", **more)


def run(folder: Path, body: Callable[[House], Awaitable[None]], *models: ModelSettings) -> None:
    async def whole() -> None:
        async with opened(folder, *models) as house:
            await body(house)

    asyncio.run(whole())


def test_the_first_that_talks_answers(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        deltas = await house.say("hello 世界")
        assert said(deltas) == "hello 世界"
        assert deltas[-1].finish == "stop"
        assert deltas[-1].usage is not None
        assert deltas[0].model == "one"
        assert said(await house.say("hi", model="two")) == "other"

    run(tmp_path, body, echo("one"), echo("two", reply="other"))


def test_the_echo_refuses_a_form_that_it_would_not_keep_to(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        for form in ({"schema": {"type": "object"}}, {"grammar": 'root ::= "yes"'}):
            with pytest.raises(Invalid) as caught:
                await house.say("hi", model="one", **form)
            assert caught.value.code == "unsupported"
            assert said(await house.say("hi", model="two", **form)) == "{}"

    run(tmp_path, body, echo("one"), echo("two", reply="{}"))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(NotFound, match="there are: one, two") as caught:
            await house.say(model="three")
        assert caught.value.code == "model_not_found"

    run(tmp_path, body, echo("one"), echo("two"))


def test_no_model_at_all(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        assert list(house.service.cards()) == []
        with pytest.raises(NotFound, match="no model"):
            await house.say()
        assert await house.service.count("hello") > 0

    run(tmp_path, body)


def test_private_words_stay_here(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        for model in ("", "cloud"):
            with pytest.raises(Refused, match=r"example\.com") as caught:
                await house.say(model=model)
            assert caught.value.code == "private"

    run(tmp_path, body, remote())


def test_the_default_skips_what_may_not_see_the_words(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        assert said(await house.say("hi")) == "hi"

    run(tmp_path, body, remote(), echo())


def test_one_retry_before_the_first_word(tmp_path: Path) -> None:
    async def once(house: House) -> None:
        assert said(await house.say("hi")) == "hi"

    async def always(house: House) -> None:
        with pytest.raises(Unavailable):
            await house.say("hi")

    run(tmp_path, once, echo(fail="before", failures=1))
    run(tmp_path, always, echo(fail="before", failures=2))


def test_no_retry_after_the_first_word(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        heard: list[str] = []
        with pytest.raises(Unavailable):
            async for delta in house.service.chat(ask("one two three four")):
                heard.append(delta.text)  # noqa: PERF401 - what was heard before the error counts
        assert heard == ["one", " two"]

    run(tmp_path, body, echo(fail="middle", failures=1))


def test_a_model_that_is_wrong_stops_nobody(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    wrong = [
        (ModelSettings(name="gone", path="nowhere.gguf"), NotFound),
        (ModelSettings(name="broken", path=str(broken)), Invalid),
        (ModelSettings(name="strange", path="model.strange"), Missing),
        (ModelSettings(name="painter", path="model.safetensors", type="diffusion"), Missing),
        (ModelSettings(name="unheard", backend="nothing"), NotFound),
        (ModelSettings(name="mistaken", backend="echo", options={"dealy": 1}), Invalid),
    ]

    async def body(house: House) -> None:
        assert said(await house.say("hi")) == "hi"
        assert set(house.service.flaws()) == {settings.name for settings, _ in wrong}
        assert len(house.service.cards()) == 7
        for settings, error in wrong:
            if settings.type == "llama":
                with pytest.raises(error):
                    await house.say(model=settings.name)

    run(tmp_path, body, *(settings for settings, _ in wrong), echo())


def test_deadlines(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(Unavailable) as caught:
            await house.say("a b c", deadline=time.monotonic() + 0.05)
        assert caught.value.code == "deadline"

    run(tmp_path, body, echo(delay=30))


def test_adding_and_replacing_while_running(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        card = await house.service.add_model(echo("late", reply="first"))
        assert card.name == "late"
        assert said(await house.say(model="late")) == "first"
        await house.service.add_model(echo("late", reply="second"))
        assert said(await house.say(model="late")) == "second"

    run(tmp_path, body, echo())


def test_vectors(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        one, two = await house.service.embed(["the cat", "the cat"])
        assert one == two
        assert abs(sum(value * value for value in one) - 1) < 1e-9
        with pytest.raises(NotFound):
            await house.service.embed(["x"], "nobody")

    run(tmp_path, body, ModelSettings(name="vectors", backend="echo", type="embedding"), echo())


def test_too_long(tmp_path: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(Invalid) as caught:
            await house.say("word " * 5000)
        assert caught.value.code == "context_length_exceeded"

    run(tmp_path, body, echo())


def test_a_broken_register_is_told_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text("{", "utf-8")

    async def body(house: House) -> None:
        assert said(await house.say("hi")) == "hi"

    run(tmp_path, body, echo())


def test_estimates() -> None:
    assert estimate("") == 0
    assert estimate("Hello, world!") >= 4
    assert estimate("你好，世界") >= 5
    for text in ("a" * 100, "字" * 100, "😀" * 10, "1234567890", " \n\n\t"):
        assert estimate(text) <= len(text.encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x"},
        {"name": "x", "path": "a.gguf", "url": "http://localhost/v1"},
        {"name": "x", "path": "a.gguf", "resolution": "big"},
        {"name": "x", "path": "a.gguf", "max_tokens": 0},
        {"name": "x", "url": "ftp://x"},
        {"name": "x", "path": "a.gguf", "type": "telepathy"},
        {"name": "x", "path": "a.gguf", "colour": "red"},
    ],
)
def test_settings_that_are_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelSettings(**wrong)


def test_the_key_is_never_shown() -> None:
    assert "secret" not in repr(ModelSettings(name="x", url="http://localhost/v1", api_key="secret"))


def test_errors_are_ours() -> None:
    assert issubclass(Missing, KithError)
