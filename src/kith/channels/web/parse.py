"""What a client may say, as JSON frames.

========================================================================  ========================================
``{"type": "message", "id", "conversation", "text", "locale", "model"}``  hear this; `id` makes repeats harmless;
                                                                          ``parts`` are files (``POST /api/blobs``)
``{"type": "resume", "conversation", "after"}``                           follow; `after` is a frame's ``at``, a turn's
                                                                          id, empty for all that is kept, or null
                                                                          for what comes from now on
``{"type": "cancel", "turn"}``                                            stop making that reply
``{"type": "ping"}``                                                      answered by ``pong``
========================================================================  ========================================
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from kith.channels.kit import Arrival, check_name, check_text, message_id
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Message, Part, Text

NAME = "web"


class Attached(msgspec.Struct, frozen=True):
    """A file that was brought along before: `blob` is its SHA-256 in hex."""

    type: Literal["image", "audio", "file"]
    blob: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    mime: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "application/octet-stream"
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    size: Annotated[int, msgspec.Meta(ge=0)] = 0

    def part(self) -> Part:
        """As a part of a message."""
        kind = {"image": Image, "audio": Audio, "file": File}[self.type]
        return kind(self.blob, self.mime, self.name.replace("\x00", ""), self.size)


class Say(msgspec.Struct, tag="message", tag_field="type", frozen=True):
    """A message; `model` asks for a model by name."""

    id: str
    text: str = ""
    parts: Annotated[list[Attached], msgspec.Meta(max_length=10)] = []
    conversation: str = "main"
    locale: str = ""
    model: str = ""


class Resume(msgspec.Struct, tag="resume", tag_field="type", frozen=True):
    """Follow a conversation from a known point."""

    conversation: str = "main"
    after: str | int | None = ""


class Cancel(msgspec.Struct, tag="cancel", tag_field="type", frozen=True):
    """Stop the making of a reply."""

    turn: str


class Ping(msgspec.Struct, tag="ping", tag_field="type", frozen=True):
    """Are you there?"""


Frame = Say | Resume | Cancel | Ping


class Cursor(msgspec.Struct, frozen=True):
    """A point in a conversation: an event of one hub (`boot` names its lifetime), and the last whole turn before it."""

    boot: str = ""
    event: int = 0
    turn: str = ""

    SEPARATOR: ClassVar[str] = "."

    def __str__(self) -> str:
        return self.SEPARATOR.join((self.boot, str(self.event), self.turn))


def parse(raw: str | bytes, arrival: Arrival) -> Envelope | Resume | Cancel | Ping:
    """One frame: a message becomes an envelope. Raises `Invalid`."""
    frame = decode(raw)
    return envelope(frame, arrival) if isinstance(frame, Say) else frame


def decode(raw: str | bytes) -> Frame:
    """The frame in `raw`, its names checked. Raises `Invalid`."""
    try:
        frame = msgspec.json.decode(raw, type=Frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as error:
        raise Invalid(f"not a frame: {error}", code="bad_frame") from None
    if isinstance(frame, Say | Resume):
        check_name(frame.conversation, "conversation")
    if isinstance(frame, Say):
        check_name(frame.id, "id")
        if not frame.parts:
            check_text(frame.text)
        if frame.model:
            check_name(frame.model, "model")
    return frame


def envelope(frame: Say, arrival: Arrival) -> Envelope:
    """The message of one authenticated sender. Ids and conversations of different senders never meet.

    The client follows the live stream and can read the stored turns, so the reply needs no parcel of its own.
    """
    platform_id = f"{arrival.sender}:{frame.id}"
    clean = frame.text.replace("\x00", "") if frame.parts else check_text(frame.text)
    said = (Text(clean),) if clean.strip() else ()
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=platform_id,
        sender=arrival.sender,
        conversation=handle(frame.conversation, arrival),
        message=Message(
            message_id(NAME, arrival.account, platform_id),
            "user",
            (*said, *(attached.part() for attached in frame.parts)),
            arrival.at,
        ),
        locale=frame.locale[:35],
        persona=frame.model,
        deliver=False,
    )


def handle(conversation: str, arrival: Arrival) -> str:
    """The handle under which a client's own name for a conversation is known to the house."""
    return f"{arrival.sender}:{conversation}"


def cursor(after: str | int) -> Cursor:
    """A cursor as clients send it back. Raises `Invalid`."""
    text = str(after)
    if Cursor.SEPARATOR not in text:
        return Cursor(turn=check_name(text, "after") if text else "")
    boot, _, rest = text.partition(Cursor.SEPARATOR)
    event, _, turn = rest.partition(Cursor.SEPARATOR)
    if not (event.isascii() and event.isdigit()) or len(event) > 18 or len(text) > 256:
        raise Invalid("'after' is not a cursor that came with a frame", code="bad_field")
    return Cursor(boot, int(event), turn)
