"""Media through the channels' common code: limits both ways, what is said instead, and fetching."""

from __future__ import annotations

import asyncio
import dataclasses

import httpx
import pytest

from kith.channels.kit import Kit, Limits, collect, download, part_for
from kith.channels.media import fitted, weighed
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import Audio, Envelope, File, Image, Message, Part, Text
from kith.core.people import Parcel
from kith.runtime.blobs import Blobs
from kith.runtime.registry import Registry
from kith.runtime.streams import Streams

LIMITS = Limits({"image": 10, "file": 100}, {"image": 50, "file": 100})


def parcel(*parts: Part) -> Parcel:
    return Parcel("p", 1, "c", "chat", "local", "anna", Message("m", "assistant", parts, 0.0))


def heard(*parts: Part, locale: str = "") -> Envelope:
    return Envelope("chat", "me", "1", "anna", "room", Message("m", "user", parts, 0.0), locale=locale)


def test_a_reply_keeps_to_what_its_platform_takes() -> None:
    blobs = Blobs()
    small, middle, large = (blobs.put(bytes(size)) for size in (10, 50, 101))
    said = parcel(
        Text("here"), Image(small, "image/png", "s"), Image(middle, "image/png", "m"), Audio(middle, "audio/ogg", "a"),
        File(large, "video/mp4", "l"), File("0" * 64, "text/plain", "gone"),
    )  # fmt: skip
    words, first, second, third, fourth, fifth = asyncio.run(fitted(said, LIMITS, blobs, "Chat")).message.parts
    assert (words, first) == said.message.parts[:2]
    assert second == File(middle, "image/png", "m", 50) and third == File(middle, "audio/ogg", "a", 50)
    assert isinstance(fourth, Text) and "larger than Chat takes" in fourth.text
    assert isinstance(fifth, Text) and "gone" in fifth.text
    assert asyncio.run(fitted(said, Limits(), blobs, "Chat")) is said


def test_a_kind_that_is_not_taken_is_told_in_the_language_of_the_reply() -> None:
    blobs = Blobs()
    said = parcel(Text("给你"), Audio(blobs.put(b"x"), "audio/ogg", "歌"))
    told = asyncio.run(fitted(said, Limits({"image": 10}, None), blobs, "聊天")).message.parts[1]
    assert isinstance(told, Text) and "不接收" in told.text


def test_what_is_too_large_becomes_a_note_and_a_sentence() -> None:
    envelope, sorry, more = weighed(
        heard(Text("look", outside=True), Image("at:x", "image/png", "cat.png", 51)), LIMITS
    )
    assert sorry.startswith("I could not take cat.png") and more
    note = envelope.message.parts[1]
    assert isinstance(note, Text) and note.outside and "not fetched" in note.text
    _, sorry, more = weighed(heard(File("ab" * 32, "text/plain", "big", 101), locale="zh"), LIMITS)
    assert "没能接收" in sorry and not more
    fine = heard(Image("ab" * 32, "image/png", "", 50))
    assert weighed(fine, LIMITS) == (fine, "", True)
    _, sorry, _ = weighed(heard(Image("ab" * 32, "image/png", "x", 1)), Limits(None, {"audio": 1}))
    assert "do not reach me" in sorry


def test_collecting_fetches_what_is_small_enough() -> None:
    clock, asked = FrozenClock(), list[str]()
    kit = Kit(None, Streams(), clock, Ids(clock), lambda turn: None, limits=LIMITS)  # pyright: ignore

    async def fetch(name: str, most: int) -> tuple[bytes, str]:
        asked.append(name)
        match name:
            case "gone":
                raise NotFound("gone")
            case "liar":
                raise Invalid("more than said", code="too_large")
            case _:
                return bytes(most), "image/webp"

    parts = (
        Text("t"), Image("at:cat", "image/png"), Image("at:huge", "image/png", "h", 51), File("at:gone", "a/b", "g"),
        Image("at:liar", "image/png", "l", 3),
    )  # fmt: skip
    found = asyncio.run(collect(kit, heard(*parts), fetch)).message.parts
    assert asked == ["cat", "gone", "liar"]
    assert isinstance(found[1], Image) and (found[1].size, found[1].mime) == (50, "image/webp")
    assert kit.blobs.size(found[1].blob) == 50
    assert found[2] == parts[2] and found[3] == Text("[g: not to be had]", outside=True)
    assert found[4] == dataclasses.replace(parts[4], size=51)  # pyright: ignore
    assert weighed(heard(*found), LIMITS)[1].count("I could not take") == 2


@pytest.mark.parametrize(
    ("status", "size", "expected"),
    [
        (500, 1, Unavailable), (429, 1, Unavailable), (403, 1, Refused), (404, 1, NotFound), (302, 1, Invalid),
        (200, 11, Invalid),
    ],
)  # fmt: skip
def test_a_download_that_fails(status: int, size: int, expected: type[KithError]) -> None:
    async def story(url: str) -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=bytes(size)))
        async with httpx.AsyncClient(transport=transport) as client:
            await download(client, url, 10)

    with pytest.raises(expected):
        asyncio.run(story("https://files.test/x"))


@pytest.mark.parametrize("url", ["ftp://files.test/x", "x", "http://a\x00b/"])
def test_what_is_no_address_of_a_file(url: str) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await download(client, url, 10)

    with pytest.raises(Invalid):
        asyncio.run(story())


def test_parts_by_their_type() -> None:
    assert isinstance(part_for("image/png", "b"), Image) and isinstance(part_for("audio/ogg", "b"), Audio)
    assert isinstance(part_for("image/svg+xml", "b"), File)
    odd = part_for("nonsense\x00", "b", "a\nb", -1)
    assert isinstance(odd, File) and (odd.mime, odd.name, odd.size) == ("application/octet-stream", "ab", 0)


def test_every_manifest_declares_sizes_that_can_be_read() -> None:
    for manifest in Registry("channels").manifests().values():
        limits = Limits.read(manifest.details, manifest.path)
        takes = {kind for kind in ("image", "audio", "file") if kind in manifest.capabilities}
        assert limits.down is None or takes <= set(limits.down) | (
            {"image", "audio"} if "file" in limits.down else set()
        )
    for bad in ({"up": {"film": 1}}, {"up": {"image": "1"}}, {"down": {"image": True}}, {"down": 3}):
        with pytest.raises(Invalid):
            Limits.read(bad)
