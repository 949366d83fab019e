"""A reply, to the messages of ``im/v1/messages``: cards or posts with Markdown, and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from kith.channels.kit import bodies, convert, cut, drawable
from kith.core.message import Audio, Image, Media, Message

# A card or post may have 30 KB as JSON ("Send message"); where a quote takes up to four bytes.
LIMIT = 12_000
_BODY = 29_000
_CALL = re.compile(r"<(?=/?at\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: its ``msg_type`` and ``content``, or a file that has to be uploaded first."""

    kind: str
    content: str = ""
    text: str = ""
    media: Media | None = None


def render(message: Message, cards: bool = True) -> list[Piece]:
    """The messages that say `message`, in order."""

    def file(media: Media) -> list[Piece]:
        sound = isinstance(media, Audio) and media.mime in ("audio/ogg", "audio/opus")
        return [Piece("image" if isinstance(media, Image) else "audio" if sound else "file", media=media)]

    return bodies(message, lambda text: [shown(piece, cards) for piece in cut(safe(text), LIMIT, _fits)], file)


def shown(text: str, cards: bool) -> Piece:
    """Markdown that fits, as a card (schema 2.0, shared, so that it can be changed) or as a post."""
    if cards:
        card = {
            "schema": "2.0",
            "config": {"update_multi": True},
            "body": {"elements": [{"tag": "markdown", "content": text}]},
        }
        return Piece("interactive", _json(card), text)
    return Piece("post", _json({"zh_cn": {"content": [[{"tag": "md", "text": text}]]}}), text)


def simple(text: str) -> Piece:
    """The same without markup, for a card that Feishu does not want."""
    return Piece("text", _json({"text": convert(text, "plain")}), text)


def safe(text: str) -> str:
    """Markdown in which nobody is called with ``<at>`` and no picture is named that Feishu does not have."""
    return _CALL.sub("<\u200b", drawable(text))


def _fits(text: str) -> bool:
    return len(msgspec.json.encode(_json(text))) < _BODY


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
