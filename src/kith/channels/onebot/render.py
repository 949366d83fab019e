"""A reply, to the arguments of ``send_private_msg``, ``send_group_msg`` and of the uploads."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces
from kith.core.message import Audio, Image, Media, Message

LIMIT = 3000  # OneBot names no limit; QQ takes about 4,500 bytes of text


@dataclass(frozen=True, slots=True)
class Piece:
    """One call: `text`, or a file of the kind that `segment` names; an empty one is uploaded."""

    text: str = ""
    segment: str = ""
    media: Media | None = None


def render(message: Message) -> list[Piece]:
    """The calls that say `message`, in order."""

    def texts(text: str) -> list[Piece]:
        return [Piece(piece, "text") for piece in pieces(clean(text), LIMIT)]

    def file(media: Media) -> list[Piece]:
        segment = "image" if isinstance(media, Image) else "record" if isinstance(media, Audio) else ""
        return [Piece(segment=segment, media=media)]

    return bodies(message, texts, file)


def place(target: str) -> tuple[str, dict[str, int]]:
    """``group`` or ``private``, and the arguments that say which one; see `kith.channels.onebot.parse.parse`."""
    kind, _, number = target.partition(":")
    user, _, group = number.partition("@")
    if kind == "group":
        return kind, {"group_id": _whole(user)}
    return "private", {"user_id": _whole(user), **({"group_id": _whole(group)} if group else {})}


def segments(piece: Piece, target: str, reply_to: str, data: bytes = b"") -> list[dict[str, Any]]:
    """The message of one piece, as segments; `data` are the bytes of its file."""
    found: list[dict[str, Any]] = []
    where, _, number = reply_to.rpartition("/")
    if where == target and number.lstrip("-").isdigit():
        found.append({"type": "reply", "data": {"id": number}})
    inner = {"text": piece.text} if piece.media is None else {"file": carried(data)}
    return [*found, {"type": piece.segment, "data": inner}]


def carried(data: bytes) -> str:
    """Bytes as OneBot carries them in JSON."""
    return f"base64://{base64.b64encode(data).decode()}"


def _whole(number: str) -> int:
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0
