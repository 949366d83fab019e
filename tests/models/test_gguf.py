"""Files that are good, cut off, lying, huge or something else."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kith.core.errors import Invalid
from kith.models.gguf import GgufFile, read_gguf


def small(path: Path, **changes: Any) -> Path:
    """A valid file of one layer, with a tokenizer of four tokens."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(changes.get("context", 128))
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_feed_forward_length(64)
    writer.add_token_list(["a", "b", "<|end|>", "\xe9"])
    writer.add_token_types([1, 1, 3, 1])
    writer.add_eos_token_id(2)
    writer.add_license("mit")
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.add_tensor("output.weight", np.zeros((4, 32), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_good_file(tmp_path: Path) -> None:
    file = read_gguf(small(tmp_path / "good.gguf"))
    assert file.architecture == "llama"
    assert file.parameters == 256
    assert file.context == 128
    assert file.controls == ("<|end|>",)
    assert file.token("eos_token_id") == "<|end|>"
    assert file.licence == "mit"
    assert file.template == "{{ messages }}"
    assert file.types == {"F32": 128, "F16": 128}
    assert file.capabilities() == ("chat", "stream", "json")


def test_the_synthetic_model(tiny_gguf: Path) -> None:
    file = read_gguf(tiny_gguf)
    assert file.quantisation == "F16"
    assert file.context == 8192
    assert 0 < file.memory(4096) < 200 << 20
    assert file.memory(8192) > file.memory(4096)


def header(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def array(kind: int, count: int) -> bytes:
    return text(b"k") + struct.pack("<IIQ", 9, kind, count)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "beyond the end"),
        (b"GGU", "beyond the end"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04" * 20, "letters GGUF"),
        (header(version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (header(tensors=1 << 60), "claims"),
        (header(keys=1 << 60), "claims"),
        (header(keys=1) + struct.pack("<Q", 1 << 62), "length"),
        (header(keys=1) + text(b"k") + struct.pack("<I", 99), "unknown type"),
        (header(keys=1) + text(b"k") + struct.pack("<IQ", 8, 1 << 40), "length"),
        (header(keys=1) + array(4, 1 << 61), "more than the file can hold"),
        (header(keys=1) + array(8, 1 << 61), "more than the file can hold"),
        (header(keys=1) + array(9, 1), "is a list of"),
        (header(keys=2) + (text(b"k") + struct.pack("<IB", 0, 1)) * 2, "twice"),
        (header(), "architecture"),
        (b"\xff" * 4096, "letters GGUF"),
    ],
)
def test_what_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(Invalid, match=reason) as caught:
        read_gguf(path)
    assert caught.value.code == "broken_model"


def patched(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def info(data: bytearray, name: bytes) -> int:
    """Where the number of dimensions of a tensor stands."""
    return data.index(text(name)) + 8 + len(name)


@pytest.mark.parametrize(
    ("at", "code", "value", "reason"),
    [
        (0, "<I", 9, "dimensions"),
        (4, "<Q", 0, "impossible shape"),
        (4, "<Q", 1 << 50, "impossible shape"),
        (4, "<Q", 1 << 39, "cut off"),
        (20, "<I", 77, "unknown element type"),
        (20, "<I", 12, "multiple of its block"),
        (24, "<Q", 7, "not aligned"),
        (24, "<Q", 1 << 40, "cut off"),
        (24, "<Q", 0, "lies over another"),
    ],
)
def test_lying_tensors(tmp_path: Path, at: int, code: str, value: int, reason: str) -> None:
    def change(data: bytearray) -> None:
        struct.pack_into(code, data, info(data, b"output.weight") + at, value)

    with pytest.raises(Invalid, match=reason):
        read_gguf(patched(small(tmp_path / "lie.gguf"), change))


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = small(tmp_path / "cut.gguf")
    data = path.read_bytes()
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(Invalid):
            read_gguf(path)


def test_a_context_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="context_length"):
        read_gguf(small(tmp_path / "zero.gguf", context=0))


def test_a_directory_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.gguf"):
        with pytest.raises(Invalid, match="cannot be read"):
            read_gguf(path)


def test_a_huge_sparse_file_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as stream:
        stream.write(header(keys=1) + array(8, 1 << 30))
        stream.truncate(40 << 30)
    with pytest.raises(Invalid, match="more than the file can hold"):
        read_gguf(path)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small(tmp_path_factory.mktemp("sample") / "sample.gguf").read_bytes()


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    cut=st.integers(0, 4000),
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
)
def test_any_damage_gives_a_card_or_a_reason(
    tmp_path: Path, sample: bytes, cut: int, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(sample[: len(sample) - cut] if cut < 200 else sample)
    for at, value in flips:
        if at < len(data):
            data[at] = value
    path = tmp_path / "fuzz.gguf"
    path.write_bytes(data)
    try:
        file = read_gguf(path)
    except Invalid:
        return
    described(file)


def described(file: GgufFile) -> None:
    """Everything that a card is made of can be asked."""
    assert isinstance(file.quantisation, str)
    assert file.memory(4096, 4) >= 0
    assert file.context <= sys.maxsize
    assert isinstance(file.capabilities(), tuple)
    assert isinstance(file.template, str)
    assert isinstance(file.licence, str)
