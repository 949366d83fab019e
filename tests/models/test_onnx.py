"""Encoders in ONNX files: what they compute, how they are batched, and files that are none."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kith.core.clock import SystemClock
from kith.core.errors import Invalid, KithError, NotFound, Unavailable
from kith.models import ModelSettings, ServingSettings
from kith.models.maker import Maker
from kith.models.onnx.batch import Batcher, Expired, Lot
from kith.models.onnx.header import read_onnx
from kith.models.onnx.worker import choose_provider
from kith.runtime.http import http_client
from kith.runtime.supervisor import Supervisor
from kith.runtime.work import Failure
from tests.conftest import script
from tests.models.house import House, opened


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("onnx"), script("make_onnx")
    for kind in source.KINDS:
        source.make(folder / kind, kind)
    return folder


def run(folder: Path, path: Path, body: Callable[[Any, House], Awaitable[None]], kind: str, **more: Any) -> None:
    settings = ModelSettings(name="m", path=str(path / kind / "model.onnx"), type=kind, threads=1, **more)

    async def whole() -> None:
        async with opened(folder, settings) as house:
            assert house.service.flaws() == {}
            async with house.service.using(house.service.cards()[0].kind, "m") as backend:
                await body(backend, house)

    asyncio.run(whole())


@pytest.mark.server
def test_vectors(tmp_path: Path, made: Path) -> None:
    async def body(model: Any, house: House) -> None:
        card = model.card
        assert (card.kind, card.backend, card.context, card.architecture) == ("embed", "onnx", 64, "synthetic")
        assert (card.parameters, card.quantisation) == (31 * 16, "f32")
        same, again, near, far = np.array(await house.service.embed(["red cat", "cat red", "red dog", "天 气"]))
        assert np.allclose(same, again, atol=1e-6)
        assert np.linalg.norm(same) == pytest.approx(1.0, abs=1e-5)
        assert same @ near > same @ far
        assert await model.embed([]) == []
        assert len(await model.embed(["", "\x00", "😀" * 50, "hello " * 500])) == 4
        assert await model.count("hello there 你好") == 4
        several = await asyncio.gather(*(model.embed([f"hello {'cat ' * n}"]) for n in range(40)))
        alone = await model.embed(["hello cat cat cat"])
        assert np.allclose(several[3], alone, atol=1e-5), "company in a batch changes nothing"
        with pytest.raises(Invalid):
            await model.classify(["x"])
        os.kill(model.pid, signal.SIGKILL)
        with pytest.raises(Unavailable):
            await model.embed(["x"])
        await model.start()
        assert await model.embed(["hello cat cat cat"]) == alone

    run(tmp_path, made, body, "embedding")


@pytest.mark.server
def test_labels(tmp_path: Path, made: Path) -> None:
    async def body(model: Any, house: House) -> None:
        one, two = await house.service.classify(["hello there", "good day"])
        assert list(one) == ["yes", "no", "2"]
        assert sum(one.values()) == pytest.approx(1.0, abs=1e-5)
        assert one != two
        with pytest.raises(Invalid) as caught:
            await model.classify(["hello " * 100])
        assert caught.value.code == "context_length_exceeded"

    run(tmp_path, made, body, "classifier", options={"labels": ["yes", "no"], "truncate": False})


@pytest.mark.server
def test_scores(tmp_path: Path, made: Path) -> None:
    async def body(model: Any, house: House) -> None:
        good, bad = await house.service.rank("red cat", ["the cat is red", "hello there"])
        assert 1.0 >= good > bad >= 0.0
        assert await model.rank("x", []) == []

    run(tmp_path, made, body, "rerank")


@pytest.mark.server
def test_a_file_that_only_the_runtime_can_refuse(tmp_path: Path, made: Path) -> None:
    strange = tmp_path / "embedding"
    strange.mkdir()
    for name in ("tokenizer.json", "config.json", "model.onnx"):
        data = (made / "embedding" / name).read_bytes()
        (strange / name).write_bytes(data.replace(b"Gather", b"Gothic"))

    async def whole() -> None:
        settings = ModelSettings(name="m", path=str(strange / "model.onnx"), type="embedding")
        async with opened(tmp_path, settings) as house:
            with pytest.raises(Unavailable, match="cannot load"):
                await house.service.embed(["x"])

    asyncio.run(whole())


def test_files_that_are_none(tmp_path: Path, made: Path) -> None:
    good = (made / "embedding" / "model.onnx").read_bytes()
    wrong = [b"", b"<html>", b"\xff" * 100, good[: len(good) // 2], b"\x3a\xff\xff\xff\xff\x0f", os.urandom(1000)]
    for number, data in enumerate(wrong):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(data)
        with pytest.raises(Invalid) as caught:
            read_onnx(path)
        assert caught.value.code == "broken_model"
    with pytest.raises(Invalid):
        read_onnx(tmp_path)


@pytest.mark.parametrize(
    ("location", "reason"), [("../secret", "outside"), ("/etc/passwd", "outside"), ("w", "not there")]
)
def test_weights_that_lie_elsewhere(tmp_path: Path, location: str, reason: str) -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=1)
    tensor.external_data.add(key="location", value=location)
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor])).SerializeToString())
    with pytest.raises(Invalid, match=reason):
        read_onnx(path)


def test_what_lies_beside_the_file(tmp_path: Path, made: Path) -> None:
    def flaw(**files: bytes) -> KithError:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "model.onnx").write_bytes((made / "embedding" / "model.onnx").read_bytes())
        for name, data in files.items():
            (folder / f"{name}.json").write_bytes(data)

        async def whole() -> KithError:
            settings = ModelSettings(name="m", path=str(folder / "model.onnx"), type="embedding")
            async with opened(tmp_path, settings) as house:
                with pytest.raises(KithError) as caught:
                    await house.service.embed(["x"])
                return caught.value

        return asyncio.run(whole())

    assert isinstance(flaw(), NotFound)
    for broken in (b"{", b"[]", b"\xff\xfe", b"[" * 10_000):
        assert isinstance(flaw(tokenizer=b"{}", config=broken), Invalid)
    assert json.loads((made / "embedding" / "config.json").read_text())["pad_token_id"] == 0


def test_the_provider_is_chosen_by_what_is_there() -> None:
    there = ["CPUExecutionProvider", "CUDAExecutionProvider"]
    assert choose_provider("auto", there) == "CUDAExecutionProvider"
    assert choose_provider("auto", there[:1]) == choose_provider("cpu", there) == "CPUExecutionProvider"
    assert choose_provider("auto", ["AzureExecutionProvider", "CPUExecutionProvider"]) == "CPUExecutionProvider"
    with pytest.raises(Failure, match="onnxruntime-gpu"):
        choose_provider("cuda", there[:1])


class _Log:
    """A computer of lengths that writes down its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, items: list[str]) -> list[int]:
        self.batches.append(items)
        if "bad" in items:
            raise OSError("broken")
        return [len(item) for item in items]


def lot(*items: str, due: float = 10.0) -> Lot[str, int]:
    return Lot(list(items), due, threading.Event(), [None] * len(items), left=len(items))


def test_texts_of_a_length_share_a_batch() -> None:
    log = _Log()
    batcher = Batcher(log, 2, 0.0, len, lambda: 0.0)
    one, two = lot("aaaa", "a"), lot("bb", "bbbbb")
    batcher.round([one, two])
    assert log.batches == [["a", "bb"], ["aaaa", "bbbbb"]]
    assert (one.results, two.results) == ([4, 1], [2, 5])
    assert one.done.is_set()


def test_nobody_computes_for_those_who_left_or_whose_time_is_over() -> None:
    log = _Log()
    batcher = Batcher(log, 8, 0.0, len, lambda: 5.0)
    left, late, good = lot("x"), lot("y", due=1.0), lot("z")
    left.dropped.set()
    batcher.round([left, late, good])
    assert log.batches == [["z"]]
    assert isinstance(left.error, Expired)
    assert isinstance(late.error, Expired)
    assert good.results == [1]


def test_one_failure_ends_one_batch() -> None:
    batcher = Batcher(_Log(), 1, 0.0, len)
    with pytest.raises(OSError, match="broken"):
        batcher.compute(["bad"], 1e12, threading.Event())
    assert batcher.compute(["good", "x"], 1e12, threading.Event()) == [4, 1]
    assert batcher.compute([], 0.0, threading.Event()) == []


@pytest.mark.parametrize(("power", "wait"), [("eco", 0.02), ("balanced", 0.005), ("performance", 0.002)])
def test_a_batch_waits_as_long_as_the_power_profile_says(tmp_path: Path, made: Path, power: Any, wait: float) -> None:
    async def body() -> None:
        clock = SystemClock()
        serving = ServingSettings(power=power)
        async with http_client() as client:
            maker = Maker(clock, Supervisor(clock), client, tmp_path, serving, lambda *_: None)
            for options, expected in (({}, wait), ({"wait": 0.5}, 0.5)):
                path = str(made / "embedding" / "model.onnx")
                settings = ModelSettings(name="m", path=path, type="embedding", options=options)
                backend: Any = maker.backend(settings)
                assert backend._opening()["wait"] == expected

    asyncio.run(body())
