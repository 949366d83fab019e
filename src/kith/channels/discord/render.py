"""A reply, to the bodies of "Create Message"."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from kith.channels.kit import bodies, clean, pieces
from kith.core.message import Media, Message

LIMIT = 2000  # "content: message contents (up to 2000 characters)"; counted as UTF-16, which is never less
_SUPPRESS_EMBEDS = 1 << 2


@dataclass(frozen=True, slots=True)
class Piece:
    """One message: text, or a file."""

    text: str = ""
    media: Media | None = None


def render(message: Message) -> list[Piece]:
    """The messages that say `message`, in order."""
    return bodies(message, lambda text: [Piece(one) for one in texts(text)], lambda media: [Piece(media=media)])


def texts(text: str) -> list[str]:
    """A text in pieces that Discord takes."""
    return pieces(clean(text), LIMIT, "utf16", "markdown")


def content(text: str) -> dict[str, Any]:
    """What a text becomes: nobody is called by it, and no link in it is fetched to be shown."""
    return {"content": text, "allowed_mentions": {"parse": []}, "flags": _SUPPRESS_EMBEDS}


def place(target: str, reply_to: str) -> dict[str, Any]:
    """The message that a piece answers, if it stands in the channel `target`."""
    there, _, number = reply_to.partition("/")
    number = number.partition("/")[0]
    if there != target or not (number.isascii() and number.isdigit()):
        return {}
    return {"message_reference": {"message_id": number, "channel_id": there, "fail_if_not_exists": False}}


def nonce(parcel: str, index: int) -> dict[str, Any]:
    """The key of a piece: a message with it is made once, for some minutes."""
    name = hashlib.blake2b(f"{parcel}-{index}".encode(), digest_size=12).hexdigest()  # at most 25 characters
    return {"nonce": name, "enforce_nonce": True}
