"""What every parser of payloads needs: names and texts made safe, fields read whatever they are, and stable ids."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack, cast

from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Part, Text

_ID_LIMIT = 128


class More(TypedDict, total=False):
    """What some messages have besides; see `Envelope`."""

    sender_name: str
    reply_to: str
    locale: str
    mentioned: bool
    bot: bool
    thread: str
    edits: str
    reaction: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a channel knows of a payload besides its bytes: where and when it came, and who has been authenticated."""

    account: str
    at: float
    sender: str = ""

    def envelope(
        self, channel: str, name: str, parts: tuple[Part, ...], *, sender: str, conversation: str, direct: bool,
        **more: Unpack[More],
    ) -> Envelope:  # fmt: skip
        """What came, as an envelope; `name` is the platform's id of it."""
        said = Message(message_id(channel, self.account, name), "user", parts, self.at)
        kind = "direct" if direct else "group"
        return Envelope(channel, self.account, name, sender, conversation, said, kind, **more)


def message_id(channel: str, account: str, platform_id: str) -> str:
    """The id of the message that a platform calls `platform_id`: the same each time it is delivered."""
    raw = "\x1f".join((channel, account, platform_id)).encode("utf-8", "surrogatepass")
    return f"m_{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def check_name(value: str, field: str) -> str:
    """An identifier given by a client: 1 to 128 printable characters. Raises `Invalid`."""
    if not 0 < len(value) <= _ID_LIMIT or not value.isprintable():
        raise Invalid(f"{field!r} has to be 1 to {_ID_LIMIT} printable characters", code="bad_field")
    return value


def check_text(value: str) -> str:
    """What a person wrote, without NUL characters. Raises `Invalid` when nothing is left."""
    clean = value.replace("\x00", "")
    if not clean.strip():
        raise Invalid("'text' is empty", code="bad_field")
    return clean


def mapping(value: Any, sentence: str) -> Mapping[str, Any]:
    """A JSON object. Raises `Invalid` with `sentence` for anything else."""
    if not isinstance(value, Mapping):
        raise Invalid(sentence, code="bad_frame")
    return cast("Mapping[str, Any]", value)


def inner(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object at `key`; empty where there is none."""
    found = fields.get(key)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def word(fields: Mapping[str, Any], key: str) -> str:
    """The string at `key` as it can be kept: of well-formed Unicode, without NUL; empty where there is none."""
    found = fields.get(key)
    return clean(found) if isinstance(found, str) else ""


def clean(text: str) -> str:
    """A text as it can be kept and sent: of well-formed Unicode, without NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def printable(text: str, most: int) -> str:
    """The first `most` printable characters of a name."""
    return "".join(char for char in text if char.isprintable())[:most]


def natural(fields: Mapping[str, Any], key: str, below: int = 1 << 40) -> int:
    """The whole number at `key` from 0 to `below`; 0 where there is none."""
    found = fields.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < below else 0


def quotes(text: str, mark: str = ">") -> list[Text]:
    """A text in which quoted lines begin with `mark`: own words and quotations by turns, in their order.

    The quotations are marked as written by somebody else (`Text.outside`) and keep their marks, so that all of it
    joined by new lines is the text again. Empty for a text of white space.
    """
    found: list[Text] = []
    for line in text.split("\n"):
        foreign = line.lstrip().startswith(mark)
        if found and (found[-1].outside == foreign or not line.strip()):
            found[-1] = Text(f"{found[-1].text}\n{line}", outside=found[-1].outside)
        elif found or line.strip():
            found.append(Text(line, outside=foreign))
    return [Text(one.text.rstrip(), outside=one.outside) for one in found]


def rows(fields: Mapping[str, Any], key: str, most: int = 100) -> list[Mapping[str, Any]]:
    """The first `most` objects of the list at `key`; what is no object is left out."""
    found = fields.get(key)
    if not isinstance(found, list):
        return []
    some = cast("list[Any]", found)[:most]
    return [cast("Mapping[str, Any]", one) for one in some if isinstance(one, Mapping)]
