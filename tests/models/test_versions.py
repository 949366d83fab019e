"""Versions side by side: what is published, used, pinned, cleaned away, and what a broken one leaves."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from kith.core.errors import Invalid, NotFound, Refused
from kith.models import ModelSettings, Shelf
from kith.models.formats import inspect
from kith.models.shelf import bind
from kith.models.sources import Source, filed
from kith.models.versions import Version, slug


def other(gguf: Path, folder: Path, number: int) -> Path:
    """The same model with another text in it, and so another digest."""
    path = folder / f"other{number}.gguf"
    path.write_bytes(gguf.read_bytes().replace(b"synthetic", b"synthet%02d" % number))
    return path


def about(version: str, added: float) -> Version:
    return Version.model_validate(
        {"version": version, "added": added, "files": [{"name": "x", "sha256": "0" * 64, "bytes": 0}]}
    )


@pytest.fixture
def shelf(tmp_path: Path, tiny_gguf: Path) -> Shelf:
    """Five versions, the third in use."""
    shelf = Shelf(tmp_path / "models")
    for number in range(5):
        shelf.store("tiny", [other(tiny_gguf, tmp_path, number)], about(f"v{number}", float(number)), copy=True)
    shelf.enter(ModelSettings(name="tiny", path="-"), shelf.versions("tiny").get("v2"))
    return shelf


def test_side_by_side(shelf: Shelf) -> None:
    versions = shelf.versions("tiny")
    assert [one.version for one in versions.all()] == ["v0", "v1", "v2", "v3", "v4"]
    assert versions.current == "v2"
    assert versions.use("v4") == "v2"
    assert versions.current == "v4"
    assert (versions.folder / "current" / "model.gguf").read_bytes() == versions.file("v4").read_bytes()
    assert not list(versions.folder.glob(".*"))
    with pytest.raises(NotFound, match="there are: v0, v1"):
        versions.use("v9")
    assert versions.current == "v4"


def test_what_is_loaded_later_is_what_was_meant(shelf: Shelf) -> None:
    (settings,) = shelf.settings()
    bound, version = bind(settings, shelf.folder)
    assert version is not None
    assert version.version == "v2"
    shelf.versions("tiny").use("v3")
    assert Path(bound.path).resolve() == shelf.versions("tiny").file("v2").resolve()
    assert bind(bound, shelf.folder, "v4")[0].path.endswith("tiny/v4/model.gguf")


def test_cleaning_keeps_what_is_used_pinned_and_the_last(shelf: Shelf) -> None:
    versions = shelf.versions("tiny")
    versions.pin("v0", pinned=True)
    (versions.folder / ".new-1-dead").mkdir()
    assert versions.clean(1) == ["v1", "v3"]
    assert [one.version for one in versions.all()] == ["v0", "v2", "v4"]
    assert not list(versions.folder.glob(".*"))
    for version, why in (("v0", "pinned"), ("v2", "in use")):
        with pytest.raises(Refused, match=why):
            versions.remove(version)
    versions.pin("v0", pinned=False)
    assert versions.clean(0) == ["v0", "v4"]


def test_the_same_again_and_another_under_a_known_name(shelf: Shelf, tmp_path: Path, tiny_gguf: Path) -> None:
    assert shelf.store("tiny", [tmp_path / "other1.gguf"], about("v1", 9.0), copy=True).added == 1.0
    with pytest.raises(Refused, match="another version 'v1'"):
        shelf.store("tiny", [tmp_path / "other2.gguf"], about("v1", 9.0))
    assert not list(shelf.versions("tiny").folder.glob(".*"))
    auto = shelf.store("tiny", [tiny_gguf])
    assert auto.version == auto.sha256[:12]


def test_a_broken_file_becomes_no_version(shelf: Shelf, tmp_path: Path, tiny_gguf: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes()[:-500])
    with pytest.raises(Invalid, match="cut off"):
        shelf.store("tiny", [broken], about("v5", 5.0), copy=True)
    assert shelf.versions("tiny").current == "v2"
    assert len(shelf.versions("tiny").all()) == 5
    assert not list(shelf.versions("tiny").folder.glob(".*"))


def test_what_was_tampered_with_is_no_version(shelf: Shelf) -> None:
    folder = shelf.versions("tiny").folder
    (folder / "v0" / "about.json").write_text("{", "utf-8")
    (folder / "v1" / "about.json").write_bytes(b"\xff\xfe")
    known = json.loads((folder / "v3" / "about.json").read_text("utf-8"))
    for wrong in (
        {"version": "../v3"},
        {"files": []},
        {"files": [{"name": "../../x", "sha256": "0" * 64, "bytes": 1}]},
    ):
        (folder / "v3" / "about.json").write_text(json.dumps({**known, **wrong}), "utf-8")
        assert [one.version for one in shelf.versions("tiny").all()] == ["v2", "v4"]
    shelf.versions("tiny").file("v4").unlink()
    with pytest.raises(NotFound, match="gone"):
        shelf.verify("tiny", "v4")


def test_names_of_folders() -> None:
    assert slug("qwen2.5-0.5b") == "qwen2.5-0.5b"
    assert len({slug(name) for name in ("a/b", "a b", "a-b", "a:b", "小", "大", "../x", "current")}) == 8
    assert all("/" not in slug(name) and not slug(name).startswith(".") for name in ("../x", "a/b", "小"))


def test_parts_of_a_split_model(tmp_path: Path) -> None:
    source = Source("x", url="https://example.com/m-00001-of-00003.gguf?token=1")
    assert source.urls()[2] == "https://example.com/m-00003-of-00003.gguf?token=1"
    assert filed(source.urls()[2]) == "model-00003-of-00003.gguf"
    for wrong in ("m-00002-of-00003.gguf", "m-00001-of-99999.gguf"):
        with pytest.raises(Invalid):
            Source("x", url=f"https://example.com/{wrong}").urls()


def safetensors(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = {"__metadata__": {"modelspec.license": "MIT"}, "a": tensor(0, 24, [2, 3]), "b": tensor(24, 28, [2], "F16")}
    path.write_bytes(safetensors(header, bytes(28)))
    facts = inspect(path)
    assert (facts.parameters, facts.tensors, facts.quantisation, facts.licence) == (8, 2, "F32", "MIT")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        safetensors({}, length=1 << 60),
        safetensors(b"{" * 1000),
        safetensors([1]),
        safetensors({"a": tensor(0, 8, [1])}, bytes(8)),
        safetensors({"a": tensor(0, 4, [1])}, bytes(3)),
        safetensors({"a": tensor(0, 4, [1])}, bytes(9)),
        safetensors({"a": tensor(0, 4, [1]), "b": tensor(2, 6, [1])}, bytes(6)),
        safetensors({"a": tensor(0, 4, [-1])}, bytes(4)),
        safetensors({"a": tensor(0, 4, [1], "F99")}, bytes(4)),
        safetensors({"a": {"dtype": []}}),
        safetensors({"a": 5}),
        b"\xff" * 100,
    ],
)
def test_safetensors_that_are_wrong(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(Invalid) as caught:
        inspect(path)
    assert caught.value.code == "broken_model"


def test_what_may_run_when_opened_is_refused(tmp_path: Path) -> None:
    for name in ("m.pt", "m.bin", "m.ckpt", "m.onnx"):
        path = tmp_path / name
        path.write_bytes(b"\x80\x04 a pickle")
        with pytest.raises(Invalid):
            inspect(path)
