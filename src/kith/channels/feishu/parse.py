"""An event of schema 2.0, to an envelope (open.feishu.cn, "Receive message", "Message content", "Message recalled",
"Message reaction added" and "deleted").

A media part's `blob` is `PENDING` and ``kind:message:key`` until the channel has fetched it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from kith.channels.kit import PENDING, Arrival, body_of, inner, mapping, printable, rows, word
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Part, Text

NAME = "feishu"
_LONGEST = 65_536
_ID = re.compile(r"[\w.=-]{1,128}", re.ASCII)
_KEY = re.compile(r"[\w.-]{1,200}", re.ASCII)
_SIGNS = {
    "THUMBSUP": "👍", "THUMBSDOWN": "👎", "OK": "👌", "HEART": "❤️", "THANKS": "🙏", "APPLAUSE": "👏", "MUSCLE": "💪",
    "PARTY": "🎉", "SMILE": "🙂", "LAUGH": "😄", "CRY": "😢", "ANGRY": "😠", "DISAGREE": "👎", "MINUSONE": "👎",
    "JIAYI": "👍", "CHECKMARK": "✅", "DONE": "✅", "CROSSMARK": "❌", "NO": "❌", "FIRE": "🔥",
}  # fmt: skip


Kind = Literal["direct", "group"]


class Heard(NamedTuple):
    """Where a message stands that was heard or said before; `sender` is empty for one of ours."""

    conversation: str
    sender: str
    kind: Kind


def parse(raw: Any, arrival: Arrival, own: str = "", known: Mapping[str, Heard] | None = None) -> Envelope | None:
    """`own` is our bot's open id, `known` the latest messages by their ids: events of recalls and reactions name only
    the message. None for our own messages and for what says nothing to us. Raises `Invalid`."""
    whole = mapping(raw, "not an event")
    header, event = inner(whole, "header"), inner(whole, "event")
    match word(header, "event_type"):
        case "im.message.receive_v1":
            return _message(event, arrival, own, known or {})
        case "im.message.recalled_v1":
            return _recalled(event, arrival, known or {})
        case "im.message.reaction.created_v1":
            return _reaction(header, event, arrival, known or {}, "")
        case "im.message.reaction.deleted_v1":
            return _reaction(header, event, arrival, known or {}, "-")
        case "":
            raise Invalid("the event has no type", code="bad_frame")
        case _:
            return None


def _message(event: Mapping[str, Any], arrival: Arrival, own: str, known: Mapping[str, Heard]) -> Envelope | None:
    said, author = inner(event, "message"), inner(event, "sender")
    name, chat, sender = _id(said, "message_id"), _id(said, "chat_id"), _open(inner(author, "sender_id"))
    if sender == own:
        return None
    called, text = _named(said, own)
    parts = _parts(said, name, text)
    if not parts:
        return None
    thread = (_optional(said, "root_id") or name) if _optional(said, "thread_id") else ""
    answered, direct = _optional(said, "parent_id"), word(said, "chat_type") == "p2p"
    to_us = answered in known and not known[answered].sender
    return arrival.envelope(
        NAME, name, parts, sender=sender, conversation=f"{chat}:{thread}" if thread else chat, direct=direct,
        reply_to=answered, mentioned=direct or called or to_us, bot=word(author, "sender_type") not in ("", "user"),
        thread=thread,
    )  # fmt: skip


def _recalled(event: Mapping[str, Any], arrival: Arrival, known: Mapping[str, Heard]) -> Envelope | None:
    """Taken back, by whoever wrote it or keeps the group. One that was not heard, or is ours, stops nothing."""
    goal = _id(event, "message_id")
    if (heard := known.get(goal)) is None or not heard.sender:
        return None
    name = f"{goal}/recalled"
    return arrival.envelope(
        NAME, name, (), sender=heard.sender, conversation=heard.conversation, direct=heard.kind == "direct",
        mentioned=True, edits=goal,
    )  # fmt: skip


def _reaction(
    header: Mapping[str, Any], event: Mapping[str, Any], arrival: Arrival, known: Mapping[str, Heard], sign: str
) -> Envelope | None:
    goal, name = _id(event, "message_id"), f"r/{_id(header, 'event_id')}"
    kind = word(inner(event, "reaction_type"), "emoji_type")[:64]
    if (heard := known.get(goal)) is None or word(event, "operator_type") != "user":
        return None
    if not kind or not kind.isprintable():
        return None
    return arrival.envelope(
        NAME, name, (), sender=_open(inner(event, "user_id")), conversation=heard.conversation,
        direct=heard.kind == "direct", reply_to=goal, mentioned=heard.kind == "direct",
        reaction=f"{sign}{_SIGNS.get(kind.upper(), kind.lower())}",
    )  # fmt: skip


def _named(said: Mapping[str, Any], own: str) -> tuple[bool, dict[str, str]]:
    """Whether we are among the mentions, and the names that their keys (``@_user_1``) stand for; ours for nothing."""
    called, names = False, {"@_all": "@all"}
    for mention in rows(said, "mentions"):
        ours = bool(own) and word(inner(mention, "id"), "open_id") == own
        called = called or ours
        if key := word(mention, "key")[:64]:
            names[key] = "" if ours else f"@{word(mention, 'name')[:128]}"
    return called, names


def _parts(said: Mapping[str, Any], name: str, names: Mapping[str, str]) -> tuple[Part, ...]:
    kind, content = word(said, "message_type"), _content(said)
    match kind:
        case "text":
            return _text(_filled(word(content, "text"), names))
        case "post":
            return _post(content, name, names)
        case "image":
            return (_media(Image, name, "image", content, "image_key", "image/jpeg"),)
        case "audio":
            return (_media(Audio, name, "file", content, "file_key", "audio/ogg"),)
        case "media":
            return (_media(File, name, "file", content, "file_key", "video/mp4"),)
        case "file":
            return (_media(File, name, "file", content, "file_key", "application/octet-stream"),)
        case "location":
            place = [word(content, key)[:200] for key in ("name", "latitude", "longitude")]
            return _text(" ".join(word for word in place if word))
        case "share_chat" | "share_user" | "sticker" | "folder" | "merge_forward" | "interactive" | "hongbao":
            shown = word(content, "file_name") or word(content, "chat_id") or word(content, "user_id")
            return (Text(f"[{kind} {shown[:200]}]".replace(" ]", "]"), outside=True),)
        case "":
            raise Invalid("the message has no type", code="bad_field")
        case _:  # system, to-do, vote, calendar, …
            return ()


def _content(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """``content`` is JSON as text."""
    found = body_of(word(said, "content"), "the message's content is not JSON", "bad_field")
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _post(content: Mapping[str, Any], name: str, names: Mapping[str, str]) -> tuple[Part, ...]:
    """A rich text: paragraphs of elements. Sent ones are wrapped in a language, received ones are not."""
    if not isinstance(content.get("content"), list):
        wrapped = [inner(content, key) for key in content if isinstance(content[key], dict)]
        content = wrapped[0] if wrapped else content
    lines, media = [word(content, "title")], list[Part]()
    paragraphs: Any = content.get("content")
    for row in cast("list[Any]", paragraphs)[:1000] if isinstance(paragraphs, list) else []:
        line = ""
        for element in rows({"row": row}, "row", 1000):
            line += _element(element, names)
            if len(media) < 20 and word(element, "tag") == "img":
                media.append(_media(Image, name, "image", element, "image_key", "image/jpeg"))
            elif len(media) < 20 and word(element, "tag") == "media":
                media.append(_media(File, name, "file", element, "file_key", "video/mp4"))
        lines.append(line)
    return (*_text("\n".join(lines)), *media)


def _element(element: Mapping[str, Any], names: Mapping[str, str]) -> str:
    match word(element, "tag"):
        case "text" | "md":
            return _filled(word(element, "text"), names)
        case "a":
            text, goal = word(element, "text"), word(element, "href")
            return f"{text} ({goal})" if goal and goal != text else text
        case "at":
            key = word(element, "user_id")
            return names.get(key, f"@{word(element, 'user_name')[:128]}")
        case "emotion":
            kind = word(element, "emoji_type")[:64]
            return _SIGNS.get(kind.upper(), f"[{kind}]")
        case "code_block":
            return f"\n```{word(element, 'language').lower()[:20]}\n{word(element, 'text')}\n```\n"
        case _:
            return ""


def _filled(text: str, names: Mapping[str, str]) -> str:
    """The text with names in place of keys; a long number (``@_user_12``) is not taken for a short one."""
    return re.sub(r"@_(?:user_\d{1,4}|all)", lambda key: names.get(key[0], key[0]), text[:_LONGEST])


def _text(text: str) -> tuple[Part, ...]:
    clean = text.strip()[:_LONGEST]
    return (Text(clean),) if clean else ()


def _media(
    cls: type[Image | Audio | File], name: str, kind: str, fields: Mapping[str, Any], key: str, mime: str
) -> Part:
    """A file that waits for its bytes."""
    found = word(fields, key)
    if not _KEY.fullmatch(found):
        raise Invalid(f"{key!r} is no key of a file", code="bad_field")
    called = printable(word(fields, "file_name"), 200)
    return cls(f"{PENDING}{kind}:{name}:{found}", mime, called)


def _open(ids: Mapping[str, Any]) -> str:
    """The person's open id: the same in every chat, another in every app."""
    return _id(ids, "open_id")


def _id(fields: Mapping[str, Any], key: str) -> str:
    found = _optional(fields, key)
    if not found:
        raise Invalid(f"{key!r} is missing or strange", code="bad_field")
    return found


def _optional(fields: Mapping[str, Any], key: str) -> str:
    found = word(fields, key)
    return found if _ID.fullmatch(found) else ""
