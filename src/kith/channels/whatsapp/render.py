"""A reply, to the bodies of ``/messages``; a file is named in them by the id that its upload gave."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces
from kith.core.message import Media, Message

LIMIT = 4096  # of a text's body; counted in UTF-16 units, so that it holds however WhatsApp counts
_MEGA = 1024 * 1024
# What may be shown as what it is ("Supported media types"), and how large; anything else goes as a document.
_SHOWN: dict[str, tuple[frozenset[str], int]] = {
    "image": (frozenset({"image/jpeg", "image/png"}), 5 * _MEGA),
    "audio": (frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}), 16 * _MEGA),
    "video": (frozenset({"video/mp4", "video/3gpp"}), 16 * _MEGA),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: a text, or a file that is shown as `kind`."""

    kind: str
    text: str = ""
    media: Media | None = None

    def body(self, target: str, reply_to: str, key: str, upload: str = "") -> dict[str, Any]:
        """The call that says it. `key` comes back with what becomes of the message; `upload` is the file's id."""
        said: dict[str, Any] = {"body": self.text, "preview_url": False}
        if self.media is not None:
            said = {"id": upload}
            if self.kind == "document":
                said["filename"] = self.media.name or "file"
        answers = {"context": {"message_id": reply_to}} if reply_to else {}
        return {
            "messaging_product": "whatsapp",
            **place(target),
            **answers,
            "type": self.kind,
            self.kind: said,
            "biz_opaque_callback_data": key,
        }


def render(message: Message) -> list[Piece]:
    """The messages that say `message`, in order."""

    def texts(text: str) -> list[Piece]:
        return [Piece("text", piece) for piece in pieces(clean(text), LIMIT, "utf16", "stars")]

    return bodies(message, texts, lambda media: [Piece(shown(media), media=media)])


def shown(media: Media) -> str:
    """As what WhatsApp shows a file."""
    mime = media.mime.partition(";")[0].strip()
    for kind, (mimes, largest) in _SHOWN.items():
        if mime in mimes and media.size <= largest:
            return kind
    return "document"


def place(target: str) -> dict[str, str]:
    """Whom a message goes to: a phone number, somebody known only by an id within the business, or a group."""
    if re.fullmatch(r"\+?\d{1,20}", target, re.ASCII):
        return {"recipient_type": "individual", "to": target}
    if re.fullmatch(r"[A-Z]{2}(\.ENT)?\.\w{1,128}", target, re.ASCII):
        return {"recipient_type": "individual", "recipient": target}
    return {"recipient_type": "group", "to": target}
