"""Models from object storage: a real S3 server on loopback (moto's)."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import S3Store

from kith.core.errors import Invalid, Missing, NotFound, Unavailable
from kith.models.bucket import download_bucket
from kith.models.fetch import Digests, part_of, tag_of

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment that leads to a bucket with one model in it."""
    moto = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    moto.stop()


@pytest.fixture
def store(server: dict[str, str]) -> Any:
    """The bucket, as its owner writes to it."""
    import httpx

    httpx.put(f"{server['AWS_ENDPOINT_URL']}/models", trust_env=False)
    return S3Store(
        "models",
        endpoint=server["AWS_ENDPOINT_URL"],
        region="us-east-1",
        access_key_id="k",
        secret_access_key="s",
        client_options={"allow_http": True},
    )


def get(server: dict[str, str], folder: Path, key: str = "a/m.gguf", **more: Any) -> tuple[Path, str]:
    return asyncio.run(download_bucket(f"s3://models/{key}", folder, environment=server, **more))


def test_a_model_arrives(server: dict[str, str], store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.models.bucket._CHUNK", 1000)
    data, seen = bytes(range(256)) * 20, list[tuple[int, int]]()
    store.put("a/m.gguf", data)
    right = Digests(hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest())
    part, found = get(server, tmp_path, digests=right, progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == data
    assert found == right.sha256
    assert seen[0] == (1000, 5120)
    assert seen[-1] == (5120, 5120)
    assert list(tmp_path.iterdir()) == [part]


def test_it_goes_on_where_it_stopped(
    server: dict[str, str], store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.models.bucket._CHUNK", 1000)
    url, data = "s3://models/a/m.gguf", bytes(5000)
    store.put("a/m.gguf", data)
    part = part_of(tmp_path, url)
    part.write_bytes(data[:3000])
    tag_of(part).write_text(store.head("a/m.gguf")["e_tag"])
    seen = list[int]()
    get(server, tmp_path, progress=lambda done, total: seen.append(done))
    assert seen == [4000, 5000]
    part.write_bytes(b"x" * 3000)
    tag_of(part).write_text('"another"')
    assert get(server, tmp_path)[0].read_bytes() == data


def test_what_is_wrong(server: dict[str, str], store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a/m.gguf", b"data")
    with pytest.raises(NotFound):
        get(server, tmp_path, "none.gguf")
    with pytest.raises(Invalid, match="SHA-256"):
        get(server, tmp_path, digests=Digests("0" * 64))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Invalid):
        asyncio.run(download_bucket("s3://models", tmp_path, environment=server))
    nobody = {**server, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    monkeypatch.setattr("kith.models.bucket._TRIES", 1)
    with pytest.raises(Unavailable):
        get(nobody, tmp_path)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(Missing, match="obstore") as caught:
        asyncio.run(download_bucket("s3://models/a.gguf", tmp_path, environment={}))
    assert caught.value.extra == "s3"
