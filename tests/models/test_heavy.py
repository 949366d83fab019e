"""The folders for PyTorch, as far as they can be tried without it: what is checked, asked of it, and sent back."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kith.core.clock import SystemClock
from kith.core.errors import Invalid, NotFound
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelSettings
from kith.models.backend import Means, Picture
from kith.models.diffusers.backend import Diffusion
from kith.models.diffusers.settings import DiffusionOptions
from kith.models.diffusers.worker import Painter
from kith.models.transformers.backend import TransformersModel
from kith.models.transformers.settings import TransformersOptions
from kith.models.transformers.worker import Generator, Mouth, choice
from kith.runtime.supervisor import Supervisor
from kith.runtime.work import Failure, Job, Speech


def means(folder: Path) -> Means:
    clock = SystemClock()
    return Means(clock, Supervisor(clock), None, folder, lambda *_: None)


def folder(path: Path, name: str, about: object, weights: str = "model.safetensors") -> Path:
    path.mkdir()
    (path / name).write_bytes(about if isinstance(about, bytes) else json.dumps(about).encode())
    (path / weights).write_bytes(b"0" * 1000)
    return path


def test_what_a_folder_of_safetensors_says_of_itself(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", "config.json", {"model_type": "qwen2", "max_position_embeddings": 512})
    model = TransformersModel(
        ModelSettings(name="m", path=str(path / "model.safetensors")), TransformersOptions(), means(tmp_path)
    )
    assert (model.card.kind, model.card.architecture, model.card.context, model.slots) == ("chat", "qwen2", 512, 1)
    talk = (Message("1", "user", (Text("hi"),), 0.0),)
    with pytest.raises(Invalid):
        model.stream(ChatRequest(talk, sampling=Sampling(schema={"type": "object"})))
    with pytest.raises(Invalid):
        asyncio.run(model.embed(["x"]))


@pytest.mark.parametrize(
    ("about", "weights", "error"),
    [({}, "pytorch_model.bin", NotFound), (b"{", "model.safetensors", Invalid), ([], "model.safetensors", Invalid)],
)
def test_folders_that_are_refused(tmp_path: Path, about: object, weights: str, error: type[Exception]) -> None:
    one = folder(tmp_path / "one", "config.json", about, weights)
    two = folder(tmp_path / "two", "model_index.json", about, weights)
    with pytest.raises(error):
        TransformersModel(ModelSettings(name="m", path=str(one)), TransformersOptions(), means(tmp_path))
    with pytest.raises(error):
        Diffusion(ModelSettings(name="m", path=str(two), type="diffusion"), DiffusionOptions(), means(tmp_path))


@pytest.mark.parametrize(
    "picture",
    [
        Picture("a cat", 100, 512),
        Picture("a cat", 8, 8),
        Picture("a cat", 99_999_992, 512),
        Picture(" "),
        Picture("x" * 9000),
    ],
)
def test_pictures_that_are_refused(tmp_path: Path, picture: Picture) -> None:
    path = folder(tmp_path / "m", "model_index.json", {"_class_name": "StableDiffusionPipeline"})
    model = Diffusion(ModelSettings(name="m", path=str(path), type="diffusion"), DiffusionOptions(), means(tmp_path))
    assert (model.card.kind, model.card.architecture) == ("image", "StableDiffusionPipeline")
    with pytest.raises(Invalid):
        asyncio.run(model.draw(picture))


class Stand:
    """Stands in for a package: remembers how it was called, and answers as `results` say, else with itself."""

    def __init__(self, **results: Any) -> None:
        self.calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self._results = results

    def __getattr__(self, name: str) -> Any:
        found = self._results.get(name)
        if isinstance(found, Stand) or (found is not None and not callable(found)):
            return found

        def called(*args: Any, **named: Any) -> Any:
            self.calls[name] = (args, named)
            return self._results[name](*args, **named) if name in self._results else self

        return called


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts stand-ins in the place of packages."""
    real = importlib.import_module

    def put(**stands: Any) -> None:
        monkeypatch.setattr(importlib, "import_module", lambda name: stands.get(name) or real(name))

    return put


def torch() -> Stand:
    no = SimpleNamespace(is_available=lambda: False)
    return Stand(cuda=no, backends=SimpleNamespace(mps=no), float32="float32", float16="float16")


def frames(frame: dict[str, Any]) -> tuple[Job, list[dict[str, Any]]]:
    sent: list[dict[str, Any]] = []
    return Job({"id": 1, **frame}, sent.append), sent


DRAW = {"prompt": "a cat", "negative": "", "width": 64, "height": 64, "steps": 2, "guidance": 7.0, "seed": 1}


def test_a_pipeline_is_opened_safely_and_draws(packages: Callable[..., None]) -> None:
    def paint(**asked: Any) -> Any:
        for number in range(asked["num_inference_steps"]):
            asked["callback_on_step_end"](pipeline, number, 0, {})
        return SimpleNamespace(images=[SimpleNamespace(save=lambda data, kind: data.write(b"PNG" + kind.encode()))])

    class Pipeline(Stand):
        __call__ = staticmethod(paint)

    pipeline = Pipeline()
    library = Stand(DiffusionPipeline=pipeline)
    packages(torch=torch(), diffusers=library)
    painter = Painter({"path": "p", "threads": 1, "device": "auto", "numbers": "auto", "offload": False})
    (path,), named = pipeline.calls["from_pretrained"]
    assert path == "p"
    assert named == {
        "torch_dtype": "float32",
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    assert pipeline.calls["to"] == (("cpu",), {})
    job, sent = frames({"draw": DRAW})
    painter.work(job)
    assert [frame.get("step") for frame in sent[:2]] == [1, 2]
    assert base64.b64decode(sent[2]["png"]) == b"PNGPNG"
    job, sent = frames({"draw": DRAW})
    job.cancelled.set()
    with pytest.raises(Failure):
        painter.work(job)
    assert pipeline._interrupt is True


def test_a_model_is_opened_safely(packages: Callable[..., None]) -> None:
    tokenizer, model = Stand(chat_template="", bos_token="<s>", eos_token="</s>", all_special_tokens=["</s>"]), Stand()
    library = Stand(AutoTokenizer=Stand(from_pretrained=lambda *_, **__: tokenizer), AutoModelForCausalLM=model)
    packages(torch=torch(), transformers=library)
    options = {
        "path": "p",
        "threads": 1,
        "kind": "chat",
        "device": "auto",
        "numbers": "auto",
        "template": "",
        "context": 9,
    }
    generator = Generator(options)
    named = model.calls["from_pretrained"][1]
    assert (named["use_safetensors"], named["local_files_only"], named["trust_remote_code"]) == (True, True, False)
    job, _ = frames({"chat": {"messages": [{"role": "user", "content": "hi</s>"}], "now": 0.0}})
    generator.prepare(job)
    assert job.prepared.count("</s>") == 0
    assert job.prepared.endswith("<|im_start|>assistant\n")


def test_tokens_become_frames_until_nobody_listens() -> None:
    job, sent = frames({})
    mouth = Mouth(job, Speech(lambda tokens: "".join(map(chr, tokens)), ["stop"]))

    def token(*values: int) -> Any:
        return SimpleNamespace(flatten=lambda: SimpleNamespace(tolist=lambda: list(values)))

    mouth.put(token(1, 2, 3))
    for letter in "go stop now":
        mouth.put(token(ord(letter)))
    assert "".join(frame["t"] for frame in sent) == "go "
    assert mouth.over
    assert mouth.made == 11


def test_a_character_of_several_tokens_is_said_whole() -> None:
    data = "héllo 世界".encode()
    speech = Speech(lambda tokens: bytes(tokens).decode("utf-8", "replace"), ["<end>"])
    pieces = [speech.add(byte) for byte in data]
    assert "".join(pieces) + speech.end() == "héllo 世界"
    assert "\ufffd" not in "".join(pieces)


def test_how_tokens_are_chosen() -> None:
    assert choice(0.0, 0.5) == {"do_sample": False}
    assert choice(None, None) == {"do_sample": True}
    assert choice(0.5, 0.9) == {"do_sample": True, "temperature": 0.5, "top_p": 0.9}
