"""Deltas: small where little changed, exact, and refused when anything is wrong with them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.core.errors import Invalid, KithError
from kith.models.delta import apply_delta, make_delta, read_head

SEGMENT = 1 << 16


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """An old and a new file of 600 kB that differ in one per cent, and the delta between them."""
    noise = random.Random(1)
    old, new, delta = tmp_path / "old", tmp_path / "new", tmp_path / "delta"
    data = bytearray(noise.randbytes(600_000))
    old.write_bytes(data)
    data[300_000:306_000] = noise.randbytes(6_000)
    new.write_bytes(bytes(data) + b"more")
    make_delta(old, new, delta, segment=SEGMENT)
    return old, new, delta


def test_only_the_change_travels(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    old, new, delta = files
    assert delta.stat().st_size < 10_000
    head = apply_delta(old, delta, tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == new.read_bytes()
    assert head.new_size == new.stat().st_size
    assert read_head(delta) == head


def test_what_moved_costs_little(tmp_path: Path) -> None:
    old, new, delta = tmp_path / "old", tmp_path / "new", tmp_path / "delta"
    data = random.Random(2).randbytes(500_000)
    old.write_bytes(data)
    new.write_bytes(b"a longer header " * 100 + data)
    assert make_delta(old, new, delta, segment=SEGMENT) < 10_000
    apply_delta(old, delta, tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == new.read_bytes()


@settings(max_examples=60, deadline=None)
@given(old=st.binary(max_size=300), new=st.binary(max_size=300), double=st.booleans())
def test_any_two_files(tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes, double: bool) -> None:
    folder = tmp_path_factory.mktemp("delta")
    times = 700 if double else 1
    (folder / "old").write_bytes(old * times)
    (folder / "new").write_bytes(new * times + old)
    make_delta(folder / "old", folder / "new", folder / "delta", segment=SEGMENT)
    apply_delta(folder / "old", folder / "delta", folder / "made")
    assert (folder / "made").read_bytes() == (folder / "new").read_bytes()


def test_another_base_is_refused(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    old, _, delta = files
    changed = bytearray(old.read_bytes())
    changed[7] ^= 1
    (tmp_path / "not old").write_bytes(changed)
    with pytest.raises(Invalid, match="another file") as caught:
        apply_delta(tmp_path / "not old", delta, tmp_path / "made")
    assert caught.value.code == "bad_delta"
    assert not (tmp_path / "made").exists()


def test_a_damaged_delta_makes_nothing(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    old, _, delta = files
    data, made = delta.read_bytes(), tmp_path / "made"
    before = sorted(tmp_path.iterdir())
    noise = random.Random(3)
    wrong = [data[:end] for end in (0, 5, 11, 100, len(data) // 2, len(data) - 1)]
    wrong += [data + b"x", b"KITHDLT1" + b"\xff" * 100, b"KITHDLT1\x02\0\0\0{}", b"KITHDLT1\x01\0\0\0["]
    for _ in range(120):
        place = noise.randrange(len(data))
        wrong.append(data[:place] + bytes([data[place] ^ (1 << noise.randrange(8))]) + data[place + 1 :])
    for one in wrong:
        delta.write_bytes(one)
        try:
            apply_delta(old, delta, made)
        except KithError as error:
            assert error.code == "bad_delta", error
            assert sorted(tmp_path.iterdir()) == before
        else:  # a flip in the digests of what it is for does not change what it makes
            assert made.read_bytes() == (tmp_path / "new").read_bytes()
            made.unlink()
