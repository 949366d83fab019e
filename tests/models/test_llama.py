"""The real runtime, in its own process, with a synthetic model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from kith.core.errors import Invalid, Unavailable
from kith.models import ModelSettings
from tests.conftest import script
from tests.models.house import House, ask, opened, said, until

pytestmark = pytest.mark.server


def tiny(path: Path, **more: Any) -> ModelSettings:
    return ModelSettings(name="tiny", path=str(path), **{"context": 2048, "parallel": 2, **more})


def run(folder: Path, body: Callable[[House], Awaitable[None]], *models: ModelSettings) -> None:
    async def whole() -> None:
        async with opened(folder, *models) as house:
            await body(house)

    asyncio.run(whole())


def test_it_tells_how_likely_its_tokens_were(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        deltas = await house.say("hello", max_tokens=8, logprobs=3)
        told = [one for delta in deltas for one in delta.logprobs]
        assert len(told) >= 4 and all(one.logprob <= 0 and len(one.top) == 3 for one in told)
        assert all(list(one.top) == sorted(one.top, key=lambda other: -other[1]) for one in told)
        bare = await house.say("hello", max_tokens=4, logprobs=0)
        assert [one.top for delta in bare for one in delta.logprobs][:1] == [()]
        assert not any(delta.logprobs for delta in await house.say("hello", max_tokens=4))

    run(tmp_path, body, tiny(tiny_gguf))


def test_it_streams_and_counts(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        assert await house.service.count("hello world", "tiny") > 0, "an estimate before it is loaded"
        deltas = await house.say("hello", max_tokens=30)
        assert len(deltas) > 20
        assert deltas[-1].finish == "length"
        assert deltas[-1].usage is not None
        assert deltas[-1].usage.completion == 30
        assert said(deltas) == said(await house.say("hello", max_tokens=30)), "one seed, one answer"
        assert said(deltas) != said(await house.say("hello", max_tokens=30, seed=2))
        assert await house.service.count("hello world", "tiny") == 8
        assert await house.service.count("", "tiny") == 0
        assert [event.state for event in house.events] == ["ready"]

    run(tmp_path, body, tiny(tiny_gguf))


def test_the_prefix_is_reused(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        await house.say("long " * 200)
        again = await house.say("long " * 200)
        assert again[-1].usage is not None
        assert again[-1].usage.cached > 150

    run(tmp_path, body, tiny(tiny_gguf, parallel=1))


def test_a_schema_is_kept(tmp_path: Path, tiny_gguf: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }

    async def body(house: House) -> None:
        found = json.loads(said(await house.say("json", schema=schema, max_tokens=200)))
        assert isinstance(found["a"], bool)
        for wrong in ({"type": "bogus"}, {"$ref": "#/nope"}, {"properties": 5}, {"pattern": "(("}):
            with pytest.raises(Invalid) as caught:
                await house.say("json", schema=wrong)
            assert caught.value.code == "invalid_schema"

    run(tmp_path, body, tiny(tiny_gguf))


def test_a_stop_word_stops(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        whole = said(await house.say("hello", max_tokens=60))
        word = whole[20:23]
        deltas = await house.say("hello", max_tokens=60, stop=(word,))
        assert deltas[-1].finish == "stop"
        assert said(deltas) == whole[: whole.index(word)]

    run(tmp_path, body, tiny(tiny_gguf))


def test_too_long_a_conversation(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        with pytest.raises(Invalid, match="takes 2048") as caught:
            await house.say("word " * 3000)
        assert caught.value.code == "context_length_exceeded"
        assert await house.say("hi")

    run(tmp_path, body, tiny(tiny_gguf))


def test_leaving_frees_the_slot(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        for _ in range(4):
            stream = house.service.chat(ask("hi", max_tokens=2000))
            assert (await anext(stream)).text
            await stream.aclose()
        waiting = asyncio.create_task(house.say("hi", max_tokens=2000))
        await asyncio.sleep(0)
        waiting.cancel()
        began = time.monotonic()
        assert await house.say("hi", max_tokens=1)
        assert time.monotonic() - began < 60, "only a slot that is never freed fails here"

    run(tmp_path, body, tiny(tiny_gguf, parallel=1))


def test_more_conversations_than_slots(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        answers = await asyncio.gather(*(house.say(f"number {n}") for n in range(12)))
        assert all(answer[-1].finish == "length" for answer in answers)

    run(tmp_path, body, tiny(tiny_gguf))


def test_a_full_queue_says_so(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        await house.say("hi")
        several = [house.say("hi", max_tokens=50) for _ in range(8)]
        results = await asyncio.gather(*several, return_exceptions=True)
        refused = [error for error in results if isinstance(error, Unavailable)]
        assert refused
        assert {error.code for error in refused} == {"queue_full"}

    run(tmp_path, body, tiny(tiny_gguf, parallel=1, options={"queue": 2}))


def test_killed_during_an_answer(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        heard = 0
        with pytest.raises(Unavailable, match="SIGKILL"):
            async for _ in house.service.chat(ask("hi", max_tokens=2000)):
                heard += 1
                if heard == 1:
                    os.kill(house.child.pid, signal.SIGKILL)
        assert heard >= 1
        assert (await house.say("hi"))[-1].finish == "length"
        assert house.child.restarts == 1
        assert [event.state for event in house.events] == ["ready", "failed", "ready"]

    run(tmp_path, body, tiny(tiny_gguf))


def test_killed_before_the_first_word(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        await house.say("hi")
        os.kill(house.child.pid, signal.SIGSTOP)
        asking = asyncio.create_task(house.say("hi"))
        await asyncio.sleep(0.05)
        os.kill(house.child.pid, signal.SIGKILL)
        assert (await asking)[-1].finish == "length", "it was tried once more"

    run(tmp_path, body, tiny(tiny_gguf))


def test_hanging_during_an_answer(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        stream = house.service.chat(ask("hi", max_tokens=2000))
        await anext(stream)
        os.kill(house.child.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="silent"):
            async for _ in stream:
                pass
        assert (await house.say("hi"))[-1].finish == "length"

    run(tmp_path, body, tiny(tiny_gguf))


def test_a_deadline_while_it_hangs(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        await house.say("hi")
        os.kill(house.child.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable) as caught:
            await house.say("hi", deadline=time.monotonic() + 0.2)
        assert caught.value.code == "deadline"

    run(tmp_path, body, tiny(tiny_gguf))


def test_stopping_ends_the_process(tmp_path: Path, tiny_gguf: Path) -> None:
    pids: list[int] = []

    async def body(house: House) -> None:
        await house.say("hi")
        pids.append(house.child.pid)

    run(tmp_path, body, tiny(tiny_gguf))
    assert not psutil.pid_exists(pids[0])


def test_preloading(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        await until(lambda: [event.state for event in house.events] == ["ready"])

    run(tmp_path, body, tiny(tiny_gguf, preload=True))


def test_vectors(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(house: House) -> None:
        one, two, three = await house.service.embed(["hello", "hello", "something else"])
        assert len(one) == 64
        assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-3
        assert list(one) != list(three)

    run(tmp_path, body, tiny(tiny_gguf, type="embedding"))


def test_a_file_that_only_the_runtime_can_refuse(tmp_path: Path, tiny_gguf: Path) -> None:
    path = tmp_path / "strange.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.1.attn_z.weight"))

    async def body(house: House) -> None:
        for _ in range(2):
            with pytest.raises(Unavailable, match="cannot load the model"):
                await house.say("hi")
        assert house.child.restarts == 0

    run(tmp_path, body, tiny(path))


def test_a_hostile_template_costs_nothing(tmp_path: Path) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    path = script("make_gguf").make(tmp_path / "hostile.gguf", template=loop)

    async def body(house: House) -> None:
        assert (await house.say("hi"))[-1].finish == "length"
        assert house.child.restarts == 0

    run(tmp_path, body, tiny(path))
