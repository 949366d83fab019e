"""A JSON line from the socket, to an envelope."""

from __future__ import annotations

import msgspec

from kith.channels.kit import Arrival, check_name, check_text, message_id
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

NAME = "loopback"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    text: str
    conversation: str = "main"
    sender: str = "somebody"
    locale: str = ""


def parse(raw: str | bytes, arrival: Arrival) -> Envelope:
    """``{"id", "text", "conversation", "sender", "locale"}``. Raises `Invalid`."""
    try:
        line = msgspec.json.decode(raw, type=_Line)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as error:
        raise Invalid(f"not a message: {error}", code="bad_frame") from None
    platform_id = check_name(line.id, "id")
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=platform_id,
        sender=check_name(line.sender, "sender"),
        conversation=check_name(line.conversation, "conversation"),
        message=Message(
            message_id(NAME, arrival.account, platform_id), "user", (Text(check_text(line.text)),), arrival.at
        ),
        locale=line.locale,
    )
