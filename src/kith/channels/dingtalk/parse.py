"""A message to the robot, as the data of a callback, to an envelope (open.dingtalk.com, "Robot receives messages").

A media part's `blob` is `PENDING` and its download code until the channel has fetched it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kith.channels.kit import PENDING, Arrival, check_name, inner, mapping, natural, printable, rows, word
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Part, Text

NAME = "dingtalk"
_LONGEST = 65_536
_CODE = 2000


def parse(raw: Any, arrival: Arrival) -> Envelope | None:
    """None for what says nothing. Raises `Invalid`. A direct chat is named ``@`` and the person's user id, or their
    encrypted id where they belong to another organisation; a group by its ``cid``."""
    said = mapping(raw, "not a message")
    name = check_name(word(said, "msgId"), "msgId")
    sender = check_name(word(said, "senderStaffId") or word(said, "senderId"), "senderId")
    if sender == word(said, "chatbotUserId") or not (parts := _parts(said)):
        return None
    match word(said, "conversationType"):
        case "1":
            direct, conversation = True, f"@{sender}"
        case "2":
            direct, conversation = False, check_name(word(said, "conversationId"), "conversationId")
        case other:
            raise Invalid(f"{other[:20]!r} is no kind of conversation", code="bad_field")
    answered = word(said, "originalProcessQueryKey") or word(said, "originalMsgId")
    return arrival.envelope(
        NAME, name, parts, sender=sender, conversation=conversation, direct=direct,
        sender_name=printable(word(said, "senderNick"), 128),
        reply_to=answered if len(answered) <= 128 and answered.isprintable() else "",
        mentioned=direct or said.get("isInAtList") is True,
    )  # fmt: skip


def session(raw: Mapping[str, Any]) -> tuple[str, float]:
    """The address at which this conversation may be answered for a while, and until when."""
    return word(raw, "sessionWebhook")[:_CODE], natural(raw, "sessionWebhookExpiredTime", 1 << 53) / 1000.0


def _parts(said: Mapping[str, Any]) -> tuple[Part, ...]:
    kind, content = word(said, "msgtype"), inner(said, "content")
    match kind:
        case "text":
            return _text(word(inner(said, "text"), "content"))
        case "richText":
            return _rich(content)
        case "picture":
            return (_media(Image, content, "image/jpeg"),)
        case "audio":
            return _text(word(content, "recognition")) or (_media(Audio, content, "audio/amr"),)
        case "video":
            return (_media(File, content, "video/mp4"),)
        case "file":
            return (_media(File, content, "application/octet-stream"),)
        case "":
            raise Invalid("the message has no type", code="bad_field")
        case _:
            return (Text(f"[{printable(kind, 40)}]", outside=True),)


def _rich(content: Mapping[str, Any]) -> tuple[Part, ...]:
    """Text and pictures by turns."""
    words, media = "", list[Part]()
    for element in rows(content, "richText", 1000):
        words += word(element, "text")
        if word(element, "downloadCode") and len(media) < 20:
            media.append(_media(Image, element, "image/jpeg"))
    return (*_text(words), *media)


def _text(text: str) -> tuple[Part, ...]:
    clean = text.strip()[:_LONGEST]
    return (Text(clean),) if clean else ()


def _media(cls: type[Image | Audio | File], fields: Mapping[str, Any], mime: str) -> Part:
    """A file that waits for its bytes."""
    code = word(fields, "downloadCode")
    if not 0 < len(code) <= _CODE or not code.isascii() or not code.isprintable():
        raise Invalid("the file has no download code", code="bad_field")
    return cls(f"{PENDING}{code}", mime, printable(word(fields, "fileName"), 200))
