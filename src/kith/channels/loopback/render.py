"""A reply, to the JSON line of the journal."""

from __future__ import annotations

import msgspec

from kith.channels.kit import plain
from kith.core.people import Parcel


def render(parcel: Parcel) -> bytes:
    """One line, ending in a new line."""
    line = {
        "parcel": parcel.id,
        "sequence": parcel.sequence,
        "conversation": parcel.conversation,
        "target": parcel.target,
        "reply_to": parcel.reply_to,
        "text": plain(parcel.message),
    }
    return msgspec.json.encode(line) + b"\n"
