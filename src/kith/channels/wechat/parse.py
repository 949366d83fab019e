"""An opened letter, to an envelope. Media are named by their media id until the channel has fetched them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kith.channels.kit import Arrival, check_name, check_text, message_id, tags
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, Image, Message, Part, Text

NAME = "wechat"


def parse(raw: str | bytes | Mapping[str, Any], arrival: Arrival) -> Envelope | None:
    """The message in an XML letter; None for events (joined, left, opened). Raises `Invalid`."""
    if not isinstance(raw, str | bytes):
        raise Invalid("not a letter: XML is wanted", code="bad_frame")
    letter = tags(raw)
    kind = letter.get("MsgType", "")
    if kind in ("event", "link"):
        return None
    sender = check_name(letter.get("FromUserName", ""), "FromUserName")
    platform_id = check_name(letter.get("MsgId", ""), "MsgId")
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=platform_id,
        sender=sender,
        conversation=sender,
        message=Message(message_id(NAME, arrival.account, platform_id), "user", (_part(kind, letter),), arrival.at),
    )


def _part(kind: str, letter: Mapping[str, str]) -> Part:
    match kind:
        case "text":
            return Text(check_text(letter.get("Content", "")))
        case "image":
            return Image("", "image/jpeg", check_name(letter.get("MediaId", ""), "MediaId"))
        case "voice":
            if heard := letter.get("Recognition", ""):
                return Text(check_text(heard))
            return Audio("", "audio/amr", check_name(letter.get("MediaId", ""), "MediaId"))
        case "location":
            place = " ".join(letter.get(key, "")[:200] for key in ("Label", "Location_X", "Location_Y"))
            return Text(check_text(place))
        case _:
            raise Invalid(f"a message of the kind {kind[:40]!r} is not understood", code="bad_frame")
