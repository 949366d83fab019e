"""Sealed files: what goes in comes out, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kith.core.errors import Invalid
from kith.runtime.sealed import seal, unseal

KEY, OTHER = bytes(32), bytes([1]) * 32
PIECE = 1 << 20
HEAD = 24


def opened(path: Path, key: bytes = KEY, about: bytes = b"a") -> bytes:
    target = io.BytesIO()
    unseal(path, target, key, about)
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_what_goes_in_comes_out(tmp_path: Path, size: int) -> None:
    data = (b"words that people said " * (size // 23 + 1))[:size]
    path = tmp_path / "one"
    assert seal(io.BytesIO(data), path, KEY, b"a") == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600
    assert opened(path) == data
    assert b"people" not in path.read_bytes()
    assert [one.name for one in tmp_path.iterdir()] == ["one"]


def test_every_change_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one"
    seal(io.BytesIO(b"x" * (2 * PIECE + 5)), path, KEY, b"a")
    raw = path.read_bytes()
    first, second = raw[HEAD : HEAD + PIECE + 16], raw[HEAD + PIECE + 16 : HEAD + 2 * PIECE + 32]
    changed = {
        "flipped": raw[:-1] + bytes([raw[-1] ^ 1]),
        "cut": raw[:-1],
        "without the last piece": raw[: HEAD + 2 * PIECE + 32],
        "swapped": raw[:HEAD] + second + first + raw[HEAD + 2 * PIECE + 32 :],
        "longer": raw + b"x",
        "another salt": raw[:10] + bytes([raw[10] ^ 1]) + raw[11:],
        "empty": b"",
        "foreign": b"GGUF" * 100,
    }
    for name, data in changed.items():
        path.write_bytes(data)
        with pytest.raises(Invalid):
            opened(path)
            pytest.fail(name)


def test_another_key_or_purpose_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one"
    seal(io.BytesIO(b"x"), path, KEY, b"a")
    for key, about in ((OTHER, b"a"), (KEY, b"b")):
        with pytest.raises(Invalid):
            opened(path, key, about)
    with pytest.raises(OSError, match="No such"):
        opened(tmp_path / "absent")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "one"
    seal(io.BytesIO(b"old"), path, KEY, b"a")

    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        seal(Breaks(), path, KEY, b"a")
    assert opened(path) == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["one"]
