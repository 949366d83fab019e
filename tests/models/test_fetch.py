"""Getting model files: names of places, interrupted downloads, wrong files, and the register."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.models import ModelSettings, Shelf
from kith.models.fetch import Digests, download
from kith.models.formats import inspect
from kith.models.shelf import Shelved, judge
from kith.models.sources import parse_source
from kith.models.versions import digest
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

            async def get(place: str, **digests: str) -> tuple[Path, str]:
                return await download(client, endpoint.url + place, folder, digests=Digests(**digests))

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
        endpoint.files["good.gguf"] = data
        for wrong, title in (({"sha256": "0" * 64}, "SHA-256"), ({"md5": "0" * 32}, "MD5")):
            with pytest.raises(Invalid, match=title):
                await get("/files/good.gguf", **wrong)
        assert list(tmp_path.iterdir()) == []
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        part, _ = await get("/files/good.gguf", md5=md5.upper(), sha256=digest(tiny_gguf).upper())
        part.unlink()
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


@pytest.mark.server
def test_a_server_announces_digests(tmp_path: Path, tiny_gguf: Path) -> None:
    data = tiny_gguf.read_bytes()
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
    wrong = base64.b64encode(bytes(16)).decode()
    google = {"X-Goog-Hash": f"crc32c=AAAAAA==,md5={md5}"}

    async def body(endpoint: Endpoint, get: Callable[..., Awaitable[tuple[Path, str]]]) -> None:
        endpoint.files["m.gguf"] = data
        right = ({"Content-MD5": md5}, google, {"Repr-Digest": f"sha-256=:{sha256}:"})
        for headers in (*right, {"Content-MD5": "nonsense"}, {"Repr-Digest": "sha-256=:????:"}):
            endpoint.file_headers = headers
            await get("/files/m.gguf")
        for headers in ({"Content-MD5": wrong}, {"X-Goog-Hash": f"md5={wrong}"}):
            endpoint.file_headers = headers
            with pytest.raises(Invalid, match="MD5"):
                await get("/files/m.gguf")

    run(tmp_path, body)


def test_the_register(tmp_path: Path, tiny_gguf: Path) -> None:
    shelf = Shelf(tmp_path / "models")
    assert shelf.entries() == []
    version = shelf.store("小", [tiny_gguf], copy=True)
    shelf.enter(ModelSettings(name="小", path="-"), version)
    assert shelf.settings()[0].name == "小"
    assert shelf.verify("小") == version
    file = shelf.versions("小").file(version.version)
    file.write_bytes(tiny_gguf.read_bytes().replace(b"synthetic", b"cynthetic"))
    with pytest.raises(Invalid, match="has changed"):
        shelf.verify("小")
    shelf.remove("小")
    assert not file.exists()
    with pytest.raises(NotFound):
        shelf.remove("小")
    assert tiny_gguf.exists()


def test_the_register_reaches_the_service(tmp_path: Path, tiny_gguf: Path) -> None:
    shelf = Shelf(tmp_path)

    async def body() -> None:
        async with opened(tmp_path) as house:
            assert list(house.service.cards()) == []
            version = shelf.store("tiny", [tiny_gguf])
            shelf.enter(ModelSettings(name="tiny", path="-"), version)
            assert await house.service.refresh() == ["tiny"]
            assert await house.service.refresh() == []
            (card,) = house.service.cards()
            assert (card.version, card.digest, card.format) == (version.version, digest(tiny_gguf), "gguf")

    asyncio.run(body())


def test_a_model_of_the_first_form_of_the_register(tmp_path: Path, tiny_gguf: Path) -> None:
    """A file right in the folder, without versions, goes on working."""
    shelf = Shelf(tmp_path)
    (tmp_path / "flat.gguf").symlink_to(tiny_gguf)
    shelf.put(Shelved(settings=ModelSettings(name="flat", path="flat.gguf"), sha256=digest(tiny_gguf)))

    async def body() -> None:
        async with opened(tmp_path) as house:
            assert house.service.flaws() == {}
            with pytest.raises(Refused, match="no versions"):
                await house.service.swap("flat")

    asyncio.run(body())


def test_whether_it_fits(tiny_gguf: Path) -> None:
    verdict = judge(inspect(tiny_gguf), ModelSettings(name="x", path="x"))
    assert verdict.fits
    assert 0 < verdict.need < verdict.total
