"""Pictures, sounds and files on their way through a channel: what its platform takes, and what is said instead.

A manifest declares sizes in bytes by kind, under ``[details]``: ``up`` for what Kith sends, ``down`` for what comes::

    up = { image = 10_000_000, file = 50_000_000 }
    down = { image = 20_000_000, audio = 20_000_000, file = 20_000_000 }

What is too large for its kind, or of a kind that is not named, goes as a file where there is room; what cannot go at
all is told in a sentence instead of failing. This is the one place where that is decided: the sender asks `fitted`,
the door `weighed`, and a channel only how much it may fetch (`Limits.room`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import httpx

from kith.core.errors import Invalid, NotFound, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Media, Message, Part, Text
from kith.core.people import Parcel
from kith.runtime.blobs import Blobs
from kith.runtime.locale import tr
from kith.runtime.tongue import spoken

PENDING = "at:"  # in front of the platform's own name of bytes that are not here yet, in place of their hash
KINDS = ("image", "audio", "file")
_CAP = 20 * 1024 * 1024
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest size in bytes by kind; None where a manifest declares nothing."""

    up: Mapping[str, int] | None = None
    down: Mapping[str, int] | None = None

    @classmethod
    def read(cls, details: Mapping[str, Any], source: object = "manifest.toml") -> Self:
        """As a manifest's details declare them. Raises `Invalid`."""
        return cls(_sizes(details, "up", source), _sizes(details, "down", source))

    def room(self, kind: str) -> int:
        """How many bytes of one kind may be fetched; 0 for none. Without a declaration 20 MiB."""
        return _CAP if self.down is None else self.down.get(kind, self.down.get("file", 0))


def _sizes(details: Mapping[str, Any], key: str, source: object) -> Mapping[str, int] | None:
    found: Any = details.get(key)
    if found is None:
        return None
    sizes = cast("dict[str, Any]", found) if isinstance(found, dict) else {"": 0}
    for kind, size in sizes.items():
        if kind not in KINDS or not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= _LARGEST:
            raise Invalid(f"{source}: {key!r} is a table of {', '.join(KINDS)} with sizes in bytes")
    return cast("dict[str, int]", sizes)


def media_parts(message: Message) -> list[Image | Audio | File]:
    """The media of a message, in their order."""
    return [part for part in message.parts if isinstance(part, Image | Audio | File)]


def wordless(message: Message) -> Message:
    """The message without its media: what a platform says in words."""
    return replace(message, parts=tuple(part for part in message.parts if not isinstance(part, Media)))


async def fitted(parcel: Parcel, limits: Limits, blobs: Blobs, platform: str) -> Parcel:
    """A reply as its platform takes it: media that cannot go are told in a sentence, in the reply's own language."""
    if limits.up is None or not media_parts(parcel.message):
        return parcel
    locale = tongue(parcel.message.text)
    parts = tuple([await _fitted(part, limits.up, blobs, platform, locale) for part in parcel.message.parts])
    return replace(parcel, message=replace(parcel.message, parts=parts))


async def _fitted(part: Part, sizes: Mapping[str, int], blobs: Blobs, platform: str, locale: str) -> Part:
    if not isinstance(part, Image | Audio | File):
        return part
    name = part.name or part.mime
    try:
        size = blobs.size(part.blob) or len(await blobs.fetch(part))
    except NotFound:
        return Text(tr("channels.media.gone", locale, name=name))
    if size <= sizes.get(part.type, 0):
        return part
    if size <= sizes.get("file", 0):
        return File(part.blob, part.mime, part.name, size)
    most = max(sizes.get(part.type, 0), sizes.get("file", 0))
    key = "too_large" if most else "not_taken"
    return Text(tr(f"channels.media.{key}", locale, name=name, platform=platform, size=shown(size), most=shown(most)))


def weighed(envelope: Envelope, limits: Limits) -> tuple[Envelope, str, bool]:
    """A message as it may be kept, what its sender is told (empty when all of it could be taken), and whether anything
    was taken.

    Media that are too large, or that were left at the platform, become a note for whoever answers.
    """
    notes: list[str] = []
    parts: list[Part] = []
    locale = envelope.locale or tongue(envelope.message.text)
    for part in envelope.message.parts:
        room = limits.room(part.type) if isinstance(part, Image | Audio | File) else 0
        if not isinstance(part, Image | Audio | File) or _taken(part, limits):
            parts.append(part)
            continue
        name = part.name or part.mime
        parts.append(Text(f"[{name}: {shown(part.size)}, not fetched]", outside=True))
        key = "too_heavy" if room else "not_heard"
        notes.append(tr(f"channels.media.{key}", locale, name=name, size=shown(part.size), most=shown(room)))
    if not notes:
        return envelope, "", True
    kept = replace(envelope, message=replace(envelope.message, parts=tuple(parts)))
    return kept, "\n".join(notes), len(notes) < len(parts)


def _taken(part: Image | Audio | File, limits: Limits) -> bool:
    if part.blob.startswith(PENDING):
        return False
    return limits.down is None or part.size <= limits.room(part.type)


def tongue(text: str) -> str:
    """The language of a text as far as a notice needs it; empty for the house's own."""
    return spoken(text, "en" if text.strip() else "")


def shown(size: int) -> str:
    """A size as people read it."""
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{max(1, round(size / 1000))} kB"


async def gathered(answer: httpx.Response, most: int) -> bytes:
    """The bytes of an answer that streams. Raises `Invalid` (code ``too_large``) behind `most`."""
    data = bytearray()
    async for chunk in answer.aiter_bytes():
        data += chunk
        if len(data) > most:
            raise Invalid("the file is too large", code="too_large")
    return bytes(data)


def telling(answer: httpx.Response) -> str:
    """The type of an answer's bytes, if it is one of pictures, sounds or films; others tell nothing."""
    mime = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return mime if re.fullmatch(r"(image|audio|video)/[\w.+-]{1,60}", mime) else ""


async def download(
    client: httpx.AsyncClient, url: str, most: int, headers: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """The bytes behind an address and what they are said to be; no redirect is followed.

    Raises `Invalid` (code ``too_large`` for more than `most` bytes), `Refused`, `Unavailable` to be tried again.
    """
    try:
        async with client.stream("GET", url, headers=dict(headers or {})) as answer:
            if answer.status_code == 429 or answer.status_code >= 500:
                raise Unavailable(f"a file cannot be fetched now ({answer.status_code})", retry_after=5.0)
            if answer.status_code in (401, 403):
                raise Refused("we may not fetch this file")
            if answer.status_code == 404:
                raise NotFound("this file is not there any more")
            if answer.status_code != 200:
                raise Invalid(f"a file cannot be fetched ({answer.status_code})", code="not_wanted")
            data = await gathered(answer, most)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Invalid("this is no address of a file", code="not_wanted") from None
    except httpx.HTTPError as error:
        raise Unavailable(f"a file cannot be fetched ({type(error).__name__})", retry_after=2.0) from None
    return data, kind if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", kind, re.ASCII) else ""


def part_for(mime: str, blob: str, name: str = "", size: int = 0) -> Image | Audio | File:
    """A part of the class that its type asks for; what is no picture or sound is a file. `mime` may be anything."""
    kind = mime.strip().lower() if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", mime.strip(), re.ASCII) else ""
    clean = "".join(char for char in name if char.isprintable())[:200]
    cls = Image if kind.startswith("image/") and "svg" not in kind else Audio if kind.startswith("audio/") else File
    return cls(blob, kind or "application/octet-stream", clean, max(0, size))
