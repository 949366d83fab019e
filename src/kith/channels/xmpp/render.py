"""A reply, to the bodies of message stanzas, and its files."""

from __future__ import annotations

import re

from kith.channels.kit import media_parts, plain, split, wordless
from kith.core.message import Media, Message

LIMIT = 8000
# What XML 1.0 cannot carry (section 2.2), halves of surrogate pairs among it.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(message: Message) -> list[str | Media]:
    """What is to be sent one after the other: bodies, then files, whose bodies are their addresses."""
    return [*words(message), *media_parts(message)]


def words(message: Message) -> list[str]:
    """The bodies that say the words of a message."""
    return split(_FORBIDDEN.sub("", plain(wordless(message))), LIMIT, "bytes")


def piece_id(parcel: str, index: int) -> str:
    """The id of a parcel's piece: the same however often it is sent."""
    return f"{parcel}-{index}"
