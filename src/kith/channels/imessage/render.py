"""A reply, to what BlueBubbles sends: texts and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces, rows, word
from kith.core.message import Media, Message

LIMIT = 8000  # Apple names no limit; bubbles much longer than this are folded away


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: a text, or a file."""

    text: str = ""
    media: Media | None = None

    @property
    def name(self) -> str:
        """What the file is called."""
        if self.media is None:
            return ""
        ending = self.media.mime.rpartition("/")[2].partition(";")[0].partition("+")[0]
        return self.media.name or f"{self.media.blob[:12] or 'file'}.{re.sub(r'[^a-z0-9]', '', ending) or 'bin'}"

    def shown(self, message: Mapping[str, Any]) -> bool:
        """Whether `message`, as the server tells of it, is this piece."""
        if self.media is not None:
            return any(word(file, "transferName") == self.name for file in rows(message, "attachments"))
        return bool(self.text.split()) and word(message, "text").split() == self.text.split()


def render(message: Message) -> list[Piece]:
    """The messages that say `message`, in order."""

    def texts(text: str) -> list[Piece]:
        return [Piece(piece) for piece in pieces(clean(text).replace("\ufffc", ""), LIMIT, "chars", "plain")]

    return bodies(message, texts, lambda media: [Piece(media=media)])


def failed(message: Mapping[str, Any]) -> int:
    """The number of the error with which iMessage gave a message up; 0 for none."""
    found: Any = message.get("error")
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
