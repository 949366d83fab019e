"""A reply, to the bodies of "发送消息" (send message)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces
from kith.core.message import Media, Message

# QQ names no limit; its own SDK cuts at 5,000 characters. A message is answered five times at most: few, long pieces.
LIMIT = 4000
_LINK = re.compile(r"(?:https?://)?(?:[\w-]+\.)+[a-zA-Z]{2,}(?:[/?#:][^\s]*)?", re.ASCII)
_TYPES = {"image/png": 1, "image/jpeg": 1, "video/mp4": 2, "audio/silk": 3, "audio/amr": 3}
_FILE = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: text, or a file. `markdown` says how the text is to be read."""

    text: str = ""
    media: Media | None = None
    markdown: bool = False

    def body(self, info: str = "") -> dict[str, Any]:
        """What is sent; `info` is the ``file_info`` of an uploaded file."""
        if self.media is not None:
            return {"msg_type": 7, "content": " ", "media": {"file_info": info}}  # an empty content is refused
        if self.markdown:
            return {"msg_type": 2, "markdown": {"content": self.text}}
        return {"msg_type": 0, "content": self.text}

    def unlinked(self) -> Piece:
        """The same with addresses that nobody can click: QQ refuses links that were not registered with it."""
        text = _LINK.sub(lambda found: found[0].replace("://", "：//").replace(".", "．"), self.text)
        return Piece(text, self.media, self.markdown)


def render(message: Message, markdown: bool = False) -> list[Piece]:
    """The messages that say `message`, in order."""

    def texts(text: str) -> list[Piece]:
        found = pieces(clean(text), LIMIT, "utf16", "markdown" if markdown else "plain")
        return [Piece(piece, markdown=markdown) for piece in found]

    return bodies(message, texts, lambda media: [Piece(media=media)])


def file_type(media: Media) -> int:
    """What kind of file QQ takes it for: a picture (png, jpg), a video (mp4), a voice (silk, amr), or a file."""
    return _TYPES.get(media.mime, _FILE)
