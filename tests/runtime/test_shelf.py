"""Files of messages on disk: sealed, found again by a later start, bounded, and gone when they are to be gone."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from kith.core.errors import NotFound, Unavailable
from kith.core.message import File, Image, Media, Message, Text
from kith.runtime.blobs import Blobs
from kith.runtime.shelf import Shelf

KEY = b"k" * 32
PICTURE = b"\x89PNG a picture of the harbour " * 100


def named(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def said(*parts: Media) -> Message:
    return Message("m", "user", (Text("look"), *parts), 0.0)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_a_message_carries_is_found_by_a_later_start_and_cannot_be_read_from_the_disk(tmp_path: Path) -> None:
    async def story() -> None:
        first = Blobs(shelf=Shelf(tmp_path / "media", KEY, 10**9))
        name, other = first.put(PICTURE), first.put(b"only passed through")
        await first.keep("c_home", said(Image(name, "image/png"), File("0" * 64, "text/plain")))
        later = Blobs(shelf=Shelf(tmp_path / "media", KEY, 10**9))
        assert await later.fetch(Media(name, "image/png")) == PICTURE
        with pytest.raises(NotFound):
            await later.fetch(Media(other, "text/plain"))
        (path,) = files(tmp_path)
        assert b"harbour" not in path.read_bytes()
        assert name not in str(path)
        assert "c_home" not in str(path)
        assert path.stat().st_mode & 0o077 == 0
        with pytest.raises(NotFound):
            await Blobs(shelf=Shelf(tmp_path / "media", b"x" * 32, 10**9)).fetch(Media(name, "image/png"))

    asyncio.run(story())


@pytest.mark.parametrize("harm", [b"", b"kith", b"\xff" * 4000])
def test_a_damaged_file_is_as_good_as_gone(tmp_path: Path, harm: bytes) -> None:
    shelf = Shelf(tmp_path / "media", KEY, 10**9)
    shelf.put("c", named(PICTURE), PICTURE)
    files(tmp_path)[0].write_bytes(harm)
    assert shelf.get(named(PICTURE)) is None


def test_the_oldest_go_when_the_limit_is_reached(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "media", KEY, 4000)
    names = []
    for number in range(6):
        data = bytes([number]) * 1000
        names.append(named(data))
        shelf.put(f"c{number}", names[-1], data)
        for path in files(tmp_path):
            told = path.stat()
            os.utime(path, (told.st_atime, told.st_mtime - 10))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 4000
    assert shelf.get(names[0]) is None
    assert shelf.get(names[-1]) == bytes([5]) * 1000


def test_one_larger_than_the_limit_is_kept_alone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "media", KEY, 100)
    shelf.put("c", named(PICTURE), PICTURE)
    assert shelf.get(named(PICTURE)) == PICTURE


def test_a_conversation_is_dropped_whole_or_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        blobs = Blobs(shelf=Shelf(tmp_path / "media", KEY, 10**9))
        one, two = blobs.put(b"one"), blobs.put(b"two")
        await blobs.keep("group", said(Image(one, "image/png"), Image(two, "image/png")))
        await blobs.keep("alone", said(Image(two, "image/png")))
        await blobs.drop("group", {one}, whole=False)
        with pytest.raises(NotFound):
            await blobs.fetch(Media(one, ""))
        await blobs.drop("alone", {two}, whole=True)
        assert await blobs.fetch(Media(two, "")) == b"two"  # the group still has it
        await blobs.drop("group", {two}, whole=True)
        assert files(tmp_path) == []

    asyncio.run(story())


def test_a_disk_that_takes_nothing_is_told_before_the_message_is_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "media").write_text("a file in the way")
    with pytest.raises(Unavailable):
        Shelf(tmp_path / "media", KEY, 10**9).put("c", named(PICTURE), PICTURE)
