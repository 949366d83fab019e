"""A reply, to the messages of ``im/v1/messages``: cards or posts with Markdown, and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from kith.channels.kit import convert, split
from kith.core.message import Audio, Image, Media, Message, Text

# A card or post may have 30 KB as JSON ("Send message"); where a quote takes up to four bytes.
LIMIT = 12_000
_BODY = 29_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_CALL = re.compile(r"<(?=/?at\b)", re.IGNORECASE)
_PICTURE = re.compile(r"!(?=\[[^\]\n]{0,300}\]\([^)\s]{1,2000}\))")


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: its ``msg_type`` and ``content``, or a file that has to be uploaded first."""

    kind: str
    content: str = ""
    text: str = ""
    media: Media | None = None


def render(message: Message, cards: bool = True) -> list[Piece]:
    """The messages that say `message`, in order."""
    found: list[Piece] = []
    for part in message.parts:
        match part:
            case Text():
                found += [shown(piece, cards) for piece in _cut(safe(part.text))]
            case Image():
                found.append(Piece("image", media=part))
            case Audio() if part.mime in ("audio/ogg", "audio/opus"):
                found.append(Piece("audio", media=part))
            case Media():
                found.append(Piece("file", media=part))
            case _:
                continue
    return found


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
    return _PICTURE.sub("", _CALL.sub("<\u200b", _CONTROL.sub("", text)))


def _cut(text: str) -> list[str]:
    """Pieces that also fit when most of what is in them has to be escaped."""
    found: list[str] = []
    for piece in split(text, LIMIT, "bytes"):
        fits = len(msgspec.json.encode(_json(piece))) < _BODY
        found += [piece] if fits else split(piece, LIMIT // 4, "bytes")
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
