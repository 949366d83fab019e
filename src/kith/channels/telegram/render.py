"""A reply, to the arguments of ``sendMessage``, ``sendPhoto``, ``sendAudio`` and ``sendDocument``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces
from kith.core.message import Audio, Image, Media, Message

LIMIT = 4096  # UTF-16 units, "after entities parsing" (sendMessage)


@dataclass(frozen=True, slots=True)
class Piece:
    """One call: text in the HTML that Telegram knows, or a file. `key` is the file's argument."""

    method: str
    text: str = ""
    key: str = ""
    media: Media | None = None


def render(message: Message) -> list[Piece]:
    """The calls that say `message`, in order."""

    def texts(text: str) -> list[Piece]:
        return [Piece("sendMessage", piece) for piece in pieces(clean(text), LIMIT, "utf16", "html")]

    def file(media: Media) -> list[Piece]:
        kind = "photo" if isinstance(media, Image) else "audio" if isinstance(media, Audio) else "document"
        return [Piece(f"send{kind.title()}", key=kind, media=media)]

    return bodies(message, texts, file)


def place(target: str, reply_to: str) -> dict[str, Any]:
    """Where a piece goes: the chat, its topic, and the message that it answers."""
    chat, _, thread = target.partition(":")
    where: dict[str, Any] = {"chat_id": chat}
    if thread:
        where["message_thread_id"] = int(thread)
    there, _, number = reply_to.partition("/")
    number = number.partition("/")[0]
    if there == chat and number.isascii() and number.isdigit():
        where["reply_parameters"] = {"message_id": int(number), "allow_sending_without_reply": True}
    return where
