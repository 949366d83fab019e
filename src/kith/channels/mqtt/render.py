"""A reply, to the payloads of its publications."""

from __future__ import annotations

import msgspec

from kith.channels.kit import plain, split
from kith.core.people import Parcel

LIMIT = 65_536


def render(parcel: Parcel, *, bare: bool = False) -> list[bytes]:
    """One payload for each piece of the reply: JSON with an ``id`` that stays the same however often it is sent, or
    with `bare` the text alone."""
    pieces = split(plain(parcel.message), LIMIT, "bytes")
    if bare:
        return [piece.encode("utf-8", "replace") for piece in pieces]
    return [
        msgspec.json.encode(
            {
                "id": f"{parcel.id}-{index}",
                "text": piece.encode("utf-8", "replace").decode("utf-8"),
                "reply_to": parcel.reply_to,
                "at": parcel.message.at,
                "last": index == len(pieces) - 1,
            }
        )
        for index, piece in enumerate(pieces)
    ]
