"""A reply, to the payloads of its publications."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from kith.channels.kit import media_parts, plain, split
from kith.core.message import Media
from kith.core.people import Parcel

LIMIT = 65_536


def render(parcel: Parcel, *, bare: bool = False, files: Mapping[str, bytes] | None = None) -> list[bytes]:
    """One payload for each piece of the reply: JSON with an ``id`` that stays the same however often it is sent, or
    with `bare` the text alone. `files` are the bytes of the reply's media; each comes in a payload of its own, those
    that are not among them are named."""
    sent = [part for part in media_parts(parcel.message) if not bare and part.blob in (files or {})]
    words = tuple(part for part in parcel.message.parts if part not in sent)
    pieces = split(plain(replace(parcel.message, parts=words)), LIMIT, "bytes")
    if bare:
        return [piece.encode("utf-8", "replace") for piece in pieces]
    return [
        msgspec.json.encode(
            {
                "id": f"{parcel.id}-{index}",
                "text": piece.encode("utf-8", "replace").decode("utf-8"),
                "reply_to": parcel.reply_to,
                "at": parcel.message.at,
                "last": index == len(pieces) + len(sent) - 1,
                **({"media": [_file(sent[index - len(pieces)], files or {})]} if index >= len(pieces) else {}),
            }
        )
        for index, piece in enumerate([*pieces, *("" for _ in sent)])
    ]


def _file(part: Media, files: Mapping[str, bytes]) -> dict[str, str]:
    return {"mime": part.mime, "name": part.name, "data": base64.b64encode(files[part.blob]).decode()}
