"""An event of QQ's open platform, to an envelope (bot.q.qq.com/wiki: "事件订阅与通知", "消息收发 · 事件")."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kith.channels.kit import PENDING, Arrival, inner, mapping, natural, part_for, printable, rows, word
from kith.core.errors import Invalid
from kith.core.message import Envelope, Part, Text

NAME = "qqbot"
_LONGEST = 65_536
_FILES = 10
_EVENTS = {"C2C_MESSAGE_CREATE": "user_openid", "GROUP_AT_MESSAGE_CREATE": "member_openid",
           "GROUP_MESSAGE_CREATE": "member_openid"}  # fmt: skip
_FACE = re.compile(r'<faceType=\d{1,4},faceId="[^"<>]{0,20}",ext="([A-Za-z0-9+/=]{0,2000})">')
_MENTION = re.compile(r"<@!?([\w-]{1,128})>", re.ASCII)


def parse(raw: Any, arrival: Arrival) -> Envelope | None:
    """One event, as JSON says it. Raises `Invalid`.

    A media part's `blob` is `PENDING` and the file's address: its bytes have not been fetched. None for what says
    nothing to us: friends made, groups joined, messages of channels.
    """
    event = mapping(raw, "not an event")
    name = word(event, "t")
    if not name:
        raise Invalid("the event has no name", code="bad_frame")
    if name not in _EVENTS:
        return None
    said, direct = inner(event, "d"), name == "C2C_MESSAGE_CREATE"
    author, number = inner(said, "author"), check_id(word(said, "id"))
    sender = check_openid(word(author, _EVENTS[name]))
    place = f"u:{sender}" if direct else f"g:{check_openid(word(said, 'group_openid'))}"
    parts = _parts(said)
    if not parts:
        return None
    called = any(one.get("is_you") is True for one in rows(said, "mentions"))
    return arrival.envelope(
        NAME, number, parts, sender=sender, conversation=place, direct=direct,
        sender_name=printable(word(author, "username"), 128), mentioned=called or name != "GROUP_MESSAGE_CREATE",
        bot=author.get("bot") is True,
    )  # fmt: skip


def check_openid(value: str) -> str:
    """The open id of a person or a group, which becomes part of an address. Raises `Invalid`."""
    if not re.fullmatch(r"[\w-]{1,128}", value, re.ASCII):
        raise Invalid("this is no openid", code="bad_field")
    return value


def check_id(value: str) -> str:
    """A message's id. Raises `Invalid`."""
    if not 0 < len(value) <= 256 or not value.isascii() or not value.isprintable() or " " in value:
        raise Invalid("this is no message id", code="bad_field")
    return value


def _parts(said: Mapping[str, Any]) -> tuple[Part, ...]:
    """What was said, then the files, then what was quoted."""
    parts: list[Part] = []
    if (text := _text(said)).strip():
        parts.append(Text(text))
    parts += _files(said)
    for quoted in rows(said, "msg_elements", 1) if parts else ():
        if (text := _text(quoted)).strip():
            parts.append(Text(text, outside=True))
    return tuple(parts)


def _text(said: Mapping[str, Any]) -> str:
    """The text as people see it: faces and people by name. A mention of us is taken off."""
    users = rows(said, "mentions")
    names = {word(user, key): user for user in users for key in ("id", "member_openid", "user_openid")}

    def shown(found: re.Match[str]) -> str:
        user = names.get(found[1], {})
        return "" if user.get("is_you") is True else f"@{word(user, 'nickname') or word(user, 'username') or found[1]}"

    text = _FACE.sub(lambda found: _face(found[1]), word(said, "content")[:_LONGEST])
    return html.unescape(_MENTION.sub(shown, text)).strip()


def _face(ext: str) -> str:
    """A face of QQ's, whose name is in the JSON of `ext`, in Base64."""
    try:
        told: Any = msgspec.json.decode(base64.b64decode(ext, validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        told = None
    name = word(told, "text")[:40] if isinstance(told, dict) else ""  # pyright: ignore[reportUnknownArgumentType]
    return name if name.startswith("[") else f"[{name or '表情'}]"


def _files(said: Mapping[str, Any]) -> list[Part]:
    found: list[Part] = []
    for file in rows(said, "attachments", _FILES):
        kind, name, size = word(file, "content_type"), word(file, "filename"), natural(file, "size")
        url = _address(word(file, "url"))
        if kind == "voice" or kind.startswith("audio/"):
            if heard := word(file, "asr_refer_text").strip():  # QQ has listened to it already
                found.append(Text(heard[:_LONGEST]))
                continue
            wave = _address(word(file, "voice_wav_url"))
            mime = "audio/wav" if wave else kind if "/" in kind else "audio/silk"
            url = wave or url
        else:
            mime = kind
        if url:
            found.append(part_for(mime, f"{PENDING}{url}", name, size))
    return found


def _address(url: str) -> str:
    """QQ leaves out the protocol now and then."""
    url = url.strip()[:2000]
    return url if not url or url.startswith(("http://", "https://")) else f"https://{url.lstrip('/')}"
