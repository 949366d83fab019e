"""A reply, to the messages of a platform: the walk through its parts, and texts as platforms take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from kith.channels.text import split
from kith.core.message import Media, Message, Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_PICTURE = re.compile(r"!(?=\[[^\]\n]{0,300}\]\([^)\s]{1,2000}\))")

P = TypeVar("P")


def bodies(message: Message, text: Callable[[str], Iterable[P]], media: Callable[[Media], Iterable[P]]) -> list[P]:
    """The pieces that say `message`, in order: what `text` and `media` make of its parts."""
    found: list[P] = []
    for part in message.parts:
        match part:
            case Text():
                found += text(part.text)
            case Media():
                found += media(part)
            case _:
                continue
    return found


def drawable(text: str) -> str:
    """Markdown without control characters and without pictures, which would have to lie at the platform."""
    return _PICTURE.sub("", _CONTROL.sub("", text))


def cut(text: str, limit: int, fits: Callable[[str], bool]) -> list[str]:
    """Pieces of `limit` bytes, and smaller ones where most of what is in them has to be escaped."""
    found: list[str] = []
    for piece in split(text, limit, "bytes"):
        found += [piece] if fits(piece) else split(piece, limit // 4, "bytes")
    return found
