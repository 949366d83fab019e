"""What a program posts, to an envelope.

``{"id", "text", "conversation", "sender", "sender_name", "locale", "group", "mentioned", "bot", "thread", "reply_to",
"edits", "reaction"}``; only `id`, `sender` and one of `text`, `edits` and `reaction` are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from kith.channels.kit import Arrival, check_name, check_text, message_id
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

NAME = "webhook"


class Post(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message."""

    id: str
    sender: str
    text: str = ""
    conversation: str = ""
    sender_name: str = ""
    locale: str = ""
    group: bool = False
    mentioned: bool = False
    bot: bool = False
    thread: str = ""
    reply_to: str = ""
    edits: str = ""
    reaction: str = ""


def parse(raw: str | bytes | Mapping[str, Any], arrival: Arrival) -> Envelope:
    """The message in `raw`. Raises `Invalid`."""
    try:
        whole = isinstance(raw, Mapping)
        post = msgspec.convert(cast("Any", raw), Post) if whole else msgspec.json.decode(raw, type=Post)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as error:
        raise Invalid(f"not a message: {error}", code="bad_frame") from None
    platform_id = check_name(post.id, "id")
    for field in ("conversation", "thread", "reply_to", "edits", "reaction"):
        if value := getattr(post, field):
            check_name(value, field)
    silent = not post.text.strip() and (post.edits or post.reaction)
    parts = () if silent else (Text(check_text(post.text.encode("utf-8", "replace").decode("utf-8"))),)
    sender = check_name(post.sender, "sender")
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=platform_id,
        sender=sender,
        conversation=post.conversation or sender,
        message=Message(message_id(NAME, arrival.account, platform_id), "user", parts, arrival.at),
        kind="group" if post.group else "direct",
        sender_name=post.sender_name.encode("utf-8", "replace").decode("utf-8")[:80],
        reply_to=post.reply_to,
        locale=post.locale.encode("utf-8", "replace").decode("utf-8")[:35],
        mentioned=post.mentioned,
        bot=post.bot,
        thread=post.thread,
        edits=post.edits,
        reaction=post.reaction,
    )
