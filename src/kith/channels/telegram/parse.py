"""An update of the Bot API, to an envelope (core.telegram.org/bots/api, "Update")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from kith.channels.kit import PENDING, Arrival, inner, mapping, rows, word
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Part, Text

NAME = "telegram"
_LONGEST = 65_536
_KINDS: tuple[tuple[str, type[Image | Audio | File], str], ...] = (
    ("voice", Audio, "audio/ogg"),
    ("audio", Audio, "audio/mpeg"),
    ("document", File, "application/octet-stream"),
    ("video", File, "video/mp4"),
    ("video_note", File, "video/mp4"),
)


def parse(raw: Any, arrival: Arrival, own: str = "") -> Envelope | None:
    """One update, as JSON says it. `own` is our user name, without the at sign. Raises `Invalid`.

    A media part's `blob` is ``at:`` and the file's id: its bytes have not been fetched. None for what says
    nothing to us: posts of channels, joins, our own messages.
    """
    update = mapping(raw, "not an update")
    number = _whole(update, "update_id")
    if isinstance(update.get("message_reaction"), Mapping):
        return _reaction(inner(update, "message_reaction"), arrival, number)
    edited = isinstance(update.get("edited_message"), Mapping)
    message = inner(update, "edited_message" if edited else "message")
    if not message:
        return None
    parts = _parts(message)
    if not parts:
        return None
    chat, author = inner(message, "chat"), inner(message, "from")
    base = f"{_whole(chat, 'id')}/{_whole(message, 'message_id')}"
    edit_id = f"{base}/{_whole(message, 'edit_date')}" if edited else base
    direct, answered = chat.get("type") == "private", inner(message, "reply_to_message")
    thread = str(_whole(message, "message_thread_id")) if message.get("is_topic_message") is True else ""
    to_us = bool(own) and word(inner(answered, "from"), "username").lower() == own.lower()
    called, parts = _called(parts, own)
    return arrival.envelope(
        NAME, edit_id, parts, sender=str(_whole(author, "id")),
        conversation=f"{_whole(chat, 'id')}:{thread}" if thread else str(_whole(chat, "id")), direct=direct,
        sender_name=_name(author),
        reply_to=f"{_whole(chat, 'id')}/{_whole(answered, 'message_id')}" if answered else "",
        locale=word(author, "language_code")[:32], mentioned=direct or called or to_us,
        bot=author.get("is_bot") is True, thread=thread, edits=base if edited else "",
    )  # fmt: skip


def _reaction(found: Mapping[str, Any], arrival: Arrival, number: int) -> Envelope | None:
    """``message_reaction``: what one person put to a message, or took away."""
    chat, user = inner(found, "chat"), inner(found, "user")
    if not user:
        return None  # an anonymous admin
    old, new = _emoji(found.get("old_reaction")), _emoji(found.get("new_reaction"))
    put, gone = [one for one in new if one not in old], [one for one in old if one not in new]
    reaction = put[0] if put else f"-{gone[0]}" if gone else ""
    if not reaction:
        return None
    direct = chat.get("type") == "private"
    return arrival.envelope(
        NAME, f"u{number}", (), sender=str(_whole(user, "id")), conversation=str(_whole(chat, "id")), direct=direct,
        reply_to=f"{_whole(chat, 'id')}/{_whole(found, 'message_id')}", mentioned=direct,
        bot=user.get("is_bot") is True, reaction=reaction,
    )  # fmt: skip


def _emoji(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    found = [cast("Mapping[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, Mapping)]
    return [emoji[:32] for one in found if (emoji := word(one, "emoji"))]


def _parts(message: Mapping[str, Any]) -> tuple[Part, ...]:
    text = (word(message, "text") or word(message, "caption"))[:_LONGEST]
    foreign = "forward_origin" in message
    parts: list[Part] = [Text(text, outside=True)] if foreign and text.strip() else list(_said(message, text))
    if cited := word(inner(message, "quote"), "text")[:_LONGEST].strip():
        parts.append(Text("\n".join(f"> {line}" for line in cited.split("\n")), outside=True))
    photos: Any = message.get("photo")
    if isinstance(photos, list) and photos:
        photo: Any = cast("list[Any]", photos)[-1]  # the last size is the largest
        if isinstance(photo, Mapping) and (name := _file(cast("Mapping[str, Any]", photo))):
            parts.append(Image(name, "image/jpeg", "", _size(cast("Mapping[str, Any]", photo))))
    for key, cls, mime in _KINDS:
        media = inner(message, key)
        if name := _file(media):
            said = word(media, "mime_type")[:100] or mime
            kind = Image if key == "document" and said in ("image/png", "image/jpeg", "image/webp") else cls
            parts.append(kind(name, said, word(media, "file_name")[:200], _size(media)))
    return tuple(parts)


def _said(message: Mapping[str, Any], text: str) -> Iterator[Text]:
    """A text's own words, and what stands in it as a quotation (an entity, whose place counts UTF-16 units)."""
    raw, place = text.encode("utf-16-le"), 0
    for entity in rows(message, "entities" if word(message, "text") else "caption_entities"):
        start, size = entity.get("offset"), entity.get("length")
        if word(entity, "type") not in ("blockquote", "expandable_blockquote"):
            continue
        if not isinstance(start, int) or not isinstance(size, int) or size < 1 or 2 * start < place:
            continue
        yield from _spoken(raw[place : 2 * start], outside=False)
        place = 2 * (start + size)
        yield from _spoken(raw[2 * start : place], outside=True)
    yield from _spoken(raw[place:], outside=False)


def _spoken(raw: bytes, *, outside: bool) -> Iterator[Text]:
    text = raw.decode("utf-16-le", "replace")
    if text.strip():
        yield Text(text.strip("\n") if outside else text, outside=outside)


def _file(media: Mapping[str, Any]) -> str:
    name = word(media, "file_id")
    return f"{PENDING}{name}" if re.fullmatch(r"[\w-]{1,200}", name, re.ASCII) else ""


def _called(parts: tuple[Part, ...], own: str) -> tuple[bool, tuple[Part, ...]]:
    """Whether ``@own`` stands in the text; at its beginning it is taken off."""
    first = parts[0]
    if not own or not isinstance(first, Text):
        return False, parts
    if not re.search(rf"@{re.escape(own)}(?!\w)", first.text, re.IGNORECASE):
        return False, parts
    rest = re.sub(rf"^\s*@{re.escape(own)}(?!\w)[\s:,，：]*", "", first.text, flags=re.IGNORECASE)
    return True, (Text(rest if rest.strip() else first.text, outside=first.outside), *parts[1:])


def _name(author: Mapping[str, Any]) -> str:
    whole = f"{word(author, 'first_name')} {word(author, 'last_name')}".strip()
    return "".join(char for char in whole if char.isprintable())[:128]


def _size(fields: Mapping[str, Any]) -> int:
    found = fields.get("file_size")
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 40 else 0


def _whole(fields: Mapping[str, Any], key: str) -> int:
    found = fields.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or abs(found) >= 1 << 53:
        raise Invalid(f"{key!r} is no number", code="bad_field")
    return found
