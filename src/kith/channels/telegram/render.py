"""A reply, to the arguments of ``sendMessage``, ``sendPhoto``, ``sendAudio`` and ``sendDocument``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kith.channels.kit import pieces
from kith.core.message import Audio, Image, Media, Message, Text

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
    found: list[Piece] = []
    for part in message.parts:
        match part:
            case Text():
                text = part.text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
                found += [Piece("sendMessage", piece) for piece in pieces(text, LIMIT, "utf16", "html")]
            case Image():
                found.append(Piece("sendPhoto", key="photo", media=part))
            case Audio():
                found.append(Piece("sendAudio", key="audio", media=part))
            case Media():
                found.append(Piece("sendDocument", key="document", media=part))
            case _:
                continue
    return found


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
