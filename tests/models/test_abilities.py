"""What llama.cpp can do besides talking, with synthetic models: calling, seeing, ranking, wearing an adapter."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Invalid, KithError, NotFound
from kith.core.message import Delta, Image, Media, Message, Part, Text, ToolCall, ToolResult
from kith.core.model import ChatRequest, Sampling, ToolSpec
from kith.models import ModelSettings
from kith.models.backend import Means
from kith.runtime.registry import Registry
from tests.conftest import script
from tests.models.house import opened as household
from tests.models.house import said

pytestmark = pytest.mark.server
WEATHER = ToolSpec(
    "weather",
    "tells the weather",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
)
SAYS = ["Let me", " see. ", "<tool_call>", '"', "上海", '"}}', "\n</tool_call>"]


def png(red: int, green: int, blue: int, size: int = 28) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes((red, green, blue)) * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURES = {"red": png(255, 0, 0), "blue": png(0, 0, 255), "broken": b"no picture"}


async def fetch(media: Media) -> bytes:
    if media.blob not in PICTURES:
        raise NotFound("gone")
    return PICTURES[media.blob]


def run(folder: Path, body: Callable[[Any], Awaitable[None]], path: Path, **more: Any) -> None:
    """Opens one model as the service would, and stops it."""

    async def whole() -> None:
        async with household(folder) as house:
            registry, options = Registry("models"), more.pop("options", {})
            settings = ModelSettings(
                **{"name": "m", "path": str(path), "context": 512, "parallel": 1, **more}, options=options
            )
            means = Means(house.service._clock, house.supervisor, None, folder, lambda *_: None, fetch)
            cls = registry.settings("llama_cpp")
            assert cls is not None
            await body(registry.load("llama_cpp")(settings, cls.model_validate(options), means))

    asyncio.run(whole())


def request(*parts: Part, tools: tuple[ToolSpec, ...] = (), **sampling: Any) -> ChatRequest:
    chosen = Sampling(**{"max_tokens": 12, "temperature": 0.0, **sampling})
    return ChatRequest((Message("1", "user", parts, 0.0),), sampling=chosen, tools=tools)


async def heard(model: Any, asked: ChatRequest) -> list[Delta]:
    return [delta async for delta in model.stream(asked)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("abilities"), script("make_gguf")
    knows = source.CHATML.replace("{% for m", "{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}{% for m", 1)
    source.scripted(folder / "caller.gguf", SAYS, knows)
    source.scripted(folder / "plain.gguf", SAYS)
    source.ranker(folder / "ranker.gguf")
    source.projector(folder / "eyes.gguf")
    source.adapter(folder / "lora.gguf")
    return folder


@pytest.mark.parametrize(("file", "tools"), [("caller.gguf", "auto"), ("plain.gguf", "prompt")])
def test_it_calls_a_tool(tmp_path: Path, made: Path, file: str, tools: str) -> None:
    async def body(model: Any) -> None:
        assert "tools" in model.card.capabilities
        deltas = await heard(model, request(Text("rain?"), tools=(WEATHER,), max_tokens=200))
        assert said(deltas) == "Let me see. "
        assert deltas[-1].calls == (ToolCall("call_0", "weather", '{"city": "上海"}'),)
        assert deltas[-1].finish == "tool_calls"
        without = await heard(model, request(Text("rain?"), max_tokens=200))
        assert "".join(SAYS) == said(without)
        talk = (
            Message("1", "user", (Text("rain?"),), 0.0),
            Message("2", "assistant", (ToolCall("c", "weather", "{}"),), 0.0),
            Message("3", "tool", (ToolResult("c", "no rain"),), 0.0),
        )
        assert await heard(model, ChatRequest(talk, tools=(WEATHER,), sampling=Sampling(max_tokens=5)))

    run(tmp_path, body, made / file, options={"tools": tools})


def test_a_template_without_tools_offers_none(tmp_path: Path, made: Path) -> None:
    async def body(model: Any) -> None:
        assert "tools" not in model.card.capabilities
        deltas = await heard(model, request(Text("rain?"), tools=(WEATHER,), max_tokens=200))
        assert deltas[-1].calls == ()

    run(tmp_path, body, made / "plain.gguf")


def test_it_keeps_to_a_grammar(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(model: Any) -> None:
        assert said(await heard(model, request(Text("?"), grammar='root ::= "yes" | "no"'))) in {"yes", "no"}
        for wrong in ("root ::= (((", 'root ::= root "a"', "nothing", "x" * 100_000):
            with pytest.raises(Invalid):
                await heard(model, request(Text("?"), grammar=wrong))
        assert said(await heard(model, request(Text("?"))))

    run(tmp_path, body, tiny_gguf)


def test_it_sees(tmp_path: Path, made: Path, tiny_gguf: Path) -> None:
    async def body(model: Any) -> None:
        assert "vision" in model.card.capabilities

        async def look(blob: str) -> str:
            return said(await heard(model, request(Text("what is <__media__> it"), Image(blob, "image/png"))))

        red, blue = await look("red"), await look("blue")
        assert red == await look("red")
        assert red != blue
        with pytest.raises(Invalid):
            await look("broken")
        assert await look("gone"), "a picture that is not kept is named instead"
        stream = model.stream(request(Image("red", "image/png"), max_tokens=400))
        await anext(stream)
        await stream.aclose()
        assert await look("blue") == blue

    run(tmp_path, body, tiny_gguf, options={"projector": str(made / "eyes.gguf")})


def test_it_ranks(tmp_path: Path, made: Path) -> None:
    async def body(model: Any) -> None:
        assert (model.card.kind, model.card.capabilities) == ("rerank", ("rerank",))
        one, other, same = await model.rank("hello", ["hello there", "something", "hello there"])
        assert one == pytest.approx(same, abs=1e-3)
        assert one != pytest.approx(other, abs=1e-3)
        assert await model.rank("hello", []) == []
        with pytest.raises(Invalid):
            await model.embed(["x"])

    run(tmp_path, body, made / "ranker.gguf", type="rerank")


def test_it_wears_an_adapter(tmp_path: Path, made: Path, tiny_gguf: Path) -> None:
    replies: list[str] = []

    async def body(model: Any) -> None:
        replies.append(said(await heard(model, request(Text("hello")))))

    for scale in (0.0, 1.0):
        options = {"lora": [{"path": str(made / "lora.gguf"), "scale": scale}]}
        run(tmp_path, body, tiny_gguf, options=options)
    run(tmp_path, body, tiny_gguf, options={"flash": "off", "split": [1.0, 1.0], "split_mode": "row", "gpu_layers": 0})
    assert replies[0] == replies[2] != replies[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": [{"path": "nowhere.gguf"}]}, "no such file"),
        ({"lora": [{"path": "{tiny}"}]}, "is no lora"),
        ({"projector": "{tiny}"}, "is no projector"),
        ({"kv_type": "q8_0"}, "multiple of 32"),
    ],
)
def test_what_does_not_fit_is_told_before_loading(
    tmp_path: Path, tiny_gguf: Path, options: dict[str, Any], message: str
) -> None:
    wanted = eval(repr(options).replace("{tiny}", str(tiny_gguf)))

    async def body(model: Any) -> None: ...

    with pytest.raises(KithError, match=message):
        run(tmp_path, body, tiny_gguf, options=wanted)
