"""A reply, to what BlueBubbles sends: texts and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import pieces, rows, word
from kith.core.message import Media, Message, Text

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
    found: list[Piece] = []
    for part in message.parts:
        match part:
            case Text():
                text = part.text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "").replace("\ufffc", "")
                found += [Piece(piece) for piece in pieces(text, LIMIT, "chars", "plain")]
            case Media():
                found.append(Piece(media=part))
            case _:
                continue
    return found


def failed(message: Mapping[str, Any]) -> int:
    """The number of the error with which iMessage gave a message up; 0 for none."""
    found: Any = message.get("error")
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
