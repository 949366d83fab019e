"""Getting model files: names of places, interrupted downloads, wrong files, and the register."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kith.core.errors import Invalid, KithError, NotFound, Unavailable
from kith.models import ModelSettings, Shelf
from kith.models.fetch import download, parse_source
from kith.models.gguf import read_gguf
from kith.models.shelf import Shelved, digest, judge
from kith.runtime.http import http_client
from tests.models.endpoint import Endpoint, serving
from tests.models.house import opened


def test_places(tmp_path: Path) -> None:
    hub = parse_source("hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_0.gguf", {})
    assert hub.url == (
        "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct-GGUF/resolve/main/qwen2.5-0.5b-instruct-q4_0.gguf"
    )
    assert hub.name == "qwen2.5-0.5b-instruct-q4_0"
    mirror = parse_source("hf:a/b@v1/sub dir/c.gguf", {"HF_ENDPOINT": "http://localhost:1/"})
    assert mirror.url == "http://localhost:1/a/b/resolve/v1/sub%20dir/c.gguf"
    scope = parse_source("ms:a/b/c.gguf", {})
    assert scope.url == "https://modelscope.cn/models/a/b/resolve/master/c.gguf"
    assert parse_source("https://example.com/x/My%20Model.GGUF?y=1", {}).name == "My-Model"
    local = tmp_path / "m.gguf"
    local.touch()
    assert parse_source(str(local)).path == local


@pytest.mark.parametrize("text", ["hf:only", "ftp://x/y.gguf", "https://example.com/page", "nowhere.gguf", "hf:a/b/"])
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(KithError):
        parse_source(text, {})


def run(folder: Path, body: Callable[[Endpoint, Callable[..., Awaitable[tuple[Path, str]]]], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with serving() as endpoint, http_client() as client:

            async def get(place: str, **more: str) -> tuple[Path, str]:
                return await download(client, endpoint.url + place, folder, **more)  # type: ignore[arg-type]

            await body(endpoint, get)

    asyncio.run(whole())


@pytest.mark.server
def test_a_download_that_breaks_off_goes_on(tmp_path: Path, tiny_gguf: Path) -> None:
    data = tiny_gguf.read_bytes()

    async def body(endpoint: Endpoint, get: Callable[..., Awaitable[tuple[Path, str]]]) -> None:
        endpoint.files["m.gguf"], endpoint.breaks = data, 2
        part, found = await get("/files/m.gguf")
        assert part.read_bytes() == data
        assert found == hashlib.sha256(data).hexdigest()
        assert endpoint.ranges[0] is None
        assert endpoint.ranges[1] is not None
        assert list(tmp_path.iterdir()) == [part]

    run(tmp_path, body)


@pytest.mark.server
def test_wrong_files_do_not_stay(tmp_path: Path, tiny_gguf: Path) -> None:
    data = tiny_gguf.read_bytes()

    async def body(endpoint: Endpoint, get: Callable[..., Awaitable[tuple[Path, str]]]) -> None:
        endpoint.files |= {"good.gguf": data, "bad.gguf": b"<html>", "short.gguf": data[:-100]}
        for place, more in (
            ("/files/bad.gguf", {}),
            ("/files/short.gguf", {}),
            ("/files/good.gguf", {"sha256": "0" * 64}),
        ):
            with pytest.raises(Invalid):
                await get(place, **more)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(NotFound):
            await get("/files/none.gguf")

    run(tmp_path, body)


@pytest.mark.server
def test_a_hub_announces_the_digest(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(endpoint: Endpoint, get: Callable[..., Awaitable[tuple[Path, str]]]) -> None:
        endpoint.files["m.gguf"] = tiny_gguf.read_bytes()
        endpoint.headers = {"X-Linked-Etag": f'"{digest(tiny_gguf)}"'}
        await get("/a/b/resolve/main/m.gguf")
        endpoint.headers = {"X-Linked-Etag": f'"{"1" * 64}"'}
        with pytest.raises(Invalid, match="SHA-256"):
            await get("/a/b/resolve/main/m.gguf")

    run(tmp_path, body)


@pytest.mark.server
def test_a_server_that_always_breaks_off(tmp_path: Path, tiny_gguf: Path) -> None:
    async def body(endpoint: Endpoint, get: Callable[..., Awaitable[tuple[Path, str]]]) -> None:
        endpoint.files["m.gguf"], endpoint.breaks = tiny_gguf.read_bytes(), 1000
        with pytest.raises(Unavailable):
            await get("/files/m.gguf")
        endpoint.breaks = 0
        part, _ = await get("/files/m.gguf")
        assert part.read_bytes() == endpoint.files["m.gguf"]
        assert endpoint.ranges[-1] is not None, "what had arrived was used"

    run(tmp_path, body)


def test_the_register(tmp_path: Path, tiny_gguf: Path) -> None:
    shelf = Shelf(tmp_path / "models")
    assert shelf.entries() == []
    link = shelf.place(tiny_gguf, copy=False)
    assert link.is_symlink()
    copied = shelf.place(tiny_gguf, copy=True)
    assert not copied.is_symlink()
    shelf.put(
        Shelved(settings=ModelSettings(name="小", path=copied.name), source=str(tiny_gguf), sha256=digest(copied))
    )
    assert shelf.settings()[0].name == "小"
    assert shelf.verify("小")["known"]
    copied.write_bytes(tiny_gguf.read_bytes().replace(b"synthetic", b"cynthetic"))
    with pytest.raises(Invalid, match="has changed"):
        shelf.verify("小")
    shelf.remove("小")
    assert not copied.exists()
    with pytest.raises(NotFound):
        shelf.remove("小")
    assert tiny_gguf.exists()


def test_the_register_reaches_the_service(tmp_path: Path, tiny_gguf: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.place(tiny_gguf, copy=False)
    shelf.put(Shelved(settings=ModelSettings(name="tiny", path=tiny_gguf.name)))

    async def body() -> None:
        async with opened(tmp_path) as house:
            assert [card.name for card in house.service.cards()] == ["tiny"]

    asyncio.run(body())


def test_whether_it_fits(tiny_gguf: Path) -> None:
    verdict = judge(read_gguf(tiny_gguf), ModelSettings(name="x", path="x"))
    assert verdict.fits
    assert 0 < verdict.need < verdict.total
