"""What was typed, to an envelope."""

from __future__ import annotations

import msgspec

from kith.channels.kit import Arrival, check_name, check_text, message_id
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

NAME = "cli"


class Typed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line, and in which conversation it was typed; `model` asks for a model by name."""

    id: str
    text: str
    conversation: str = "main"
    locale: str = ""
    model: str = ""


def parse(raw: str | bytes, arrival: Arrival) -> Envelope:
    """A `Typed` as JSON. Raises `Invalid`."""
    try:
        return envelope(msgspec.json.decode(raw, type=Typed), arrival)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as error:
        raise Invalid(f"not a message: {error}", code="bad_frame") from None


def envelope(typed: Typed, arrival: Arrival) -> Envelope:
    """Whoever types sees the live stream, so the reply needs no parcel. Raises `Invalid`."""
    platform_id = check_name(typed.id, "id")
    text = check_text(typed.text.encode("utf-8", "replace").decode("utf-8"))
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=platform_id,
        sender=arrival.sender or "owner",
        conversation=check_name(typed.conversation, "conversation"),
        message=Message(message_id(NAME, arrival.account, platform_id), "user", (Text(text),), arrival.at),
        locale=typed.locale,
        persona=typed.model,
        deliver=False,
    )
