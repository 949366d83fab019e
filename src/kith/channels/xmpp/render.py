"""A reply, to the bodies of message stanzas."""

from __future__ import annotations

import re

from kith.channels.kit import plain, split
from kith.core.message import Message

LIMIT = 8000
# What XML 1.0 cannot carry (section 2.2), halves of surrogate pairs among it.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(message: Message) -> list[str]:
    """The bodies to be sent one after the other."""
    return split(_FORBIDDEN.sub("", plain(message)), LIMIT, "bytes")


def piece_id(parcel: str, index: int) -> str:
    """The id of a parcel's piece: the same however often it is sent."""
    return f"{parcel}-{index}"
