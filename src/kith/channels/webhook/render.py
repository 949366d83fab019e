"""A reply, to the JSON that is posted; and the signature that both sides put under what they send."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from kith.channels.kit import plain, split
from kith.core.people import Parcel

LIMIT = 20_000


def render(parcel: Parcel) -> list[bytes]:
    """One body for each piece of a reply. `id` is the same however often it is tried."""
    texts = split(plain(parcel.message), LIMIT) or [" "]
    return [
        msgspec.json.encode(
            {
                "type": "message",
                "id": f"{parcel.id}-{index}",
                "conversation": parcel.target,
                "reply_to": parcel.reply_to,
                "text": text.encode("utf-8", "replace").decode("utf-8"),
                "part": index + 1,
                "parts": len(texts),
            }
        )
        for index, text in enumerate(texts)
    ]


def signature(secret: str, at: int, body: bytes) -> str:
    """``v1=`` and the HMAC-SHA-256, in hex, of the instant in seconds, a full stop and the body."""
    return "v1=" + hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
