"""A reply, to the items of ``sendmessage``."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces
from kith.core.message import Image, Media, Message

LIMIT = 4000  # where Tencent's own client cuts a text


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: `text`, or a file. `kind` is the number of its upload: 1 a picture, 3 a file."""

    text: str = ""
    media: Media | None = None
    kind: int = 0


def render(message: Message) -> list[Piece]:
    """The messages that say `message`, in order. Sounds go out as files: WeChat's voice messages are SILK."""

    def texts(text: str) -> list[Piece]:
        return [Piece(piece) for piece in pieces(clean(text), LIMIT)]

    return bodies(message, texts, lambda media: [Piece(media=media, kind=1 if isinstance(media, Image) else 3)])


def text_item(text: str) -> dict[str, Any]:
    """A text."""
    return {"type": 1, "text_item": {"text": text}}


def media_item(piece: Piece, param: str, key: bytes, size: int, sealed: int) -> dict[str, Any]:
    """A file that was uploaded: `param` names it, `size` are its bytes, `sealed` those of it encrypted."""
    media = {"encrypt_query_param": param, "aes_key": base64.b64encode(key.hex().encode()).decode(), "encrypt_type": 1}
    if piece.kind == 1:
        return {"type": 2, "image_item": {"media": media, "mid_size": sealed}}
    name = piece.media.name if piece.media is not None else ""
    return {"type": 4, "file_item": {"media": media, "file_name": name or "file", "len": str(size)}}


def said(client_id: str, target: str, token: str, item: dict[str, Any]) -> dict[str, Any]:
    """The argument of ``sendmessage``; `token` is the one of the conversation, where there is one."""
    told = {
        "from_user_id": "", "to_user_id": target, "client_id": client_id, "message_type": 2, "message_state": 2,
        "item_list": [item],
    }  # fmt: skip
    return {**told, "context_token": token} if token else told
