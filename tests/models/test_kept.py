"""What a model has read is kept over a restart: sealed, bounded, and never believed when it is not ours."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kith.core.clock import SystemClock
from kith.models import ModelService, ModelSettings, ServingSettings
from kith.models.prefixes import FOLDER, Prefixes
from kith.models.settings import PrefixSettings
from kith.runtime.supervisor import Supervisor
from tests.models.house import House, until

WORDS = "the lighthouse keeper counts ships " * 12


class Key:
    """The port `Cipher` for tests."""

    def __init__(self, byte: int = 7) -> None:
        self.byte = byte

    def key(self, purpose: str) -> bytes:
        del purpose
        return bytes([self.byte]) * 32


@asynccontextmanager
async def lived(folder: Path, model: Path, key: Key | None, **settings: Any) -> AsyncGenerator[House]:
    """One life of a service with one model."""
    clock = SystemClock()
    supervisor = Supervisor(clock)
    options = {"context": 2048, "parallel": 2, **settings.pop("model", {})}
    serving = ServingSettings.model_validate({"prefixes": settings})
    one = ModelSettings(name="tiny", path=str(model), **options)
    service = ModelService([one], clock, supervisor, folder, serving=serving, cipher=key)
    await service.start()
    try:
        yield House(service, supervisor)
    finally:
        await service.stop()
        await supervisor.close()


async def cached(folder: Path, model: Path, key: Key | None, **settings: Any) -> int:
    """Tokens of the prompt that a new life need not read."""
    async with lived(folder, model, key, **settings) as house:
        usage = (await house.say(WORDS, max_tokens=1))[-1].usage
        assert usage is not None
        return usage.cached


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / FOLDER).rglob("*") if path.is_file())


@pytest.mark.server
def test_a_restart_remembers(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body() -> None:
        assert await cached(tmp_path, tiny_gguf, Key()) == 0
        assert await cached(tmp_path, tiny_gguf, Key()) > 200
        (kept,) = files(tmp_path)
        assert kept.stat().st_mode & 0o777 == 0o600
        assert kept.parent.stat().st_mode & 0o777 == 0o700
        assert b"lighthouse" not in kept.read_bytes()

    asyncio.run(body())


@pytest.mark.server
@pytest.mark.parametrize(
    "damage", ["flip", "cut", "empty", "text", "huge", "other key", "other settings", "other file"]
)
def test_what_is_not_ours_is_not_used(tmp_path: Path, tiny_gguf: Path, damage: str) -> None:
    model = tmp_path / "model.gguf"
    shutil.copy(tiny_gguf, model)

    async def body() -> None:
        await cached(tmp_path, model, Key())
        (kept,) = files(tmp_path)
        raw, key, more = kept.read_bytes(), Key(), {}
        match damage:
            case "flip":
                kept.write_bytes(raw[:200] + bytes([raw[200] ^ 1]) + raw[201:])
            case "cut":
                kept.write_bytes(raw[:-1])
            case "empty":
                kept.write_bytes(b"")
            case "text":
                kept.write_bytes("不是".encode("gb18030") * 100)
            case "huge":
                kept.write_bytes(raw + os.urandom(3 << 20))
            case "other key":
                key = Key(8)
            case "context":
                more = {"model": {"context": 1024}}
            case _:
                os.utime(model, (1, 1))
        assert await cached(tmp_path, model, key, **more) == 0
        assert await cached(tmp_path, model, key, **more) > 200, "and what came after it is kept"

    asyncio.run(body())


@pytest.mark.server
def test_nothing_is_kept_without_a_key_or_room(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body() -> None:
        await cached(tmp_path, tiny_gguf, None)
        await cached(tmp_path, tiny_gguf, Key(), size=0)
        assert not files(tmp_path)
        async with lived(tmp_path, tiny_gguf, Key()) as house:
            await house.say("hi", max_tokens=1)
        assert not files(tmp_path), "a few words are not worth a file"

    asyncio.run(body())


@pytest.mark.server
def test_a_killed_process_finds_what_was_kept_before(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body() -> None:
        async with lived(tmp_path, tiny_gguf, Key()) as house:
            await house.say(WORDS, max_tokens=1)
            async with house.service.using("chat", "tiny") as found:
                backend: Any = found
            assert await backend.keep() > 0
            assert await backend.keep() == 0, "nothing new"
            house.child.kill("for a test")
            await until(lambda: house.child.restarts == 1 and house.child.state == "ready")
            assert house.child.hello["restored"] > 200

    asyncio.run(body())


def test_the_folder_is_bounded(tmp_path: Path) -> None:
    kept = Prefixes(tmp_path, Key(), PrefixSettings(size=1, lifetime=1000.0))
    folder = tmp_path / FOLDER / "one"
    folder.mkdir(parents=True)
    for number in range(5):
        path = folder / f"{number}.kv"
        path.write_bytes(bytes(400_000))
        os.utime(path, (path.stat().st_mtime - 100 * number,) * 2)
    old = folder / "9.kv"
    old.write_bytes(b"x")
    os.utime(old, (1, 1))
    assert kept.tidy() == 4
    assert [path.name for path in files(tmp_path)] == ["0.kv", "1.kv"]
    kept.forget()
    assert not files(tmp_path)
