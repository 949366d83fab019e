"""A message of ``getupdates``, to an envelope (Tencent's openclaw-weixin, "types")."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from kith.channels.kit import Arrival, check_name, inner, mapping, rows, word
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Part, Text

NAME = "ilink"
PENDING = "ilink:"  # in front of a file's key in hex, a colon and its name, in place of the hash of bytes not here yet
_LONGEST = 65_536
_SOUNDS = {1: "audio/L16", 4: "audio/speex", 5: "audio/amr", 6: "audio/silk", 7: "audio/mpeg", 8: "audio/ogg"}


def parse(raw: Any, arrival: Arrival) -> Envelope | None:
    """One message. A media part's `blob` is ``ilink:KEY:NAME`` until its bytes are here. None for a bot's own
    messages, for groups (in which a bot cannot speak) and for what says nothing to us. Raises `Invalid`."""
    told = mapping(raw, "not a message")
    if told.get("message_type", 1) != 1 or word(told, "group_id"):
        return None
    sender = check_name(word(told, "from_user_id"), "from_user_id")
    parts = _parts(told)
    if not parts:
        return None
    name = _number(told, "message_id") or word(told, "client_id") or _number(told, "seq")
    name = check_name(name, "message_id")
    return arrival.envelope(NAME, name, parts, sender=sender, conversation=sender, direct=True, mentioned=True)


def context(raw: Any) -> tuple[str, str]:
    """Who wrote, and the token with which they can be answered; empty where there is none."""
    if not isinstance(raw, Mapping):
        return "", ""
    told = mapping(raw, "")
    return word(told, "from_user_id")[:128], word(told, "context_token")[:8192]


def _parts(told: Mapping[str, Any]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for item in rows(told, "item_list", 50):
        quote = inner(item, "ref_msg")
        if quote and (answered := _quoted(quote)):
            parts.append(Text(f"> {answered}".replace("\n", "\n> "), outside=True))
        if (part := _part(item)) is not None:
            parts.append(part)
    return tuple(parts)


def _part(item: Mapping[str, Any]) -> Part | None:
    match item.get("type"):
        case 1:
            text = word(inner(item, "text_item"), "text")[:_LONGEST]
            return Text(text) if text.strip() else None
        case 2:
            image = inner(item, "image_item")
            return Image(blob, "image/jpeg") if (blob := _blob(image)) else Text("[image]", outside=True)
        case 3:
            voice = inner(item, "voice_item")
            if heard := word(voice, "text")[:_LONGEST].strip():  # WeChat has written it down
                return Text(heard)
            code: Any = voice.get("encode_type")
            mime = _SOUNDS.get(code, "audio/silk") if isinstance(code, int) else "audio/silk"
            return Audio(blob, mime) if (blob := _blob(voice)) else Text("[audio]", outside=True)
        case 4:
            file = inner(item, "file_item")
            name = word(file, "file_name")[:200]
            blob = _blob(file)
            return File(blob, "application/octet-stream", name) if blob else Text(f"[file {name}]", outside=True)
        case 5:
            video = inner(item, "video_item")
            return File(blob, "video/mp4") if (blob := _blob(video)) else Text("[video]", outside=True)
        case _:
            return None


def _quoted(quote: Mapping[str, Any]) -> str:
    """What is answered, in words."""
    part = _part(inner(quote, "message_item"))
    shown = part.text if isinstance(part, Text) else f"[{part.mime}]" if isinstance(part, Image | Audio | File) else ""
    return " ".join(one for one in (word(quote, "title")[:200], shown[:2000]) if one.strip())


def _blob(item: Mapping[str, Any]) -> str:
    media = inner(item, "media")
    name = word(media, "encrypt_query_param")
    return f"{PENDING}{_key(item, media)}:{name}" if 0 < len(name) <= 4096 else ""


def _key(item: Mapping[str, Any], media: Mapping[str, Any]) -> str:
    """The 16 bytes of the key in hex: given so, or as Base64 of themselves, or of their hex; empty for none."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", shown := word(item, "aeskey"), re.ASCII):
        return shown.lower()
    try:
        key = base64.b64decode(word(media, "aes_key")[:200])
    except (binascii.Error, ValueError):
        return ""
    if len(key) == 16:
        return key.hex()
    return key.decode().lower() if re.fullmatch(rb"[0-9a-fA-F]{32}", key) else ""


def _number(fields: Mapping[str, Any], key: str) -> str:
    found = fields.get(key)
    if isinstance(found, int) and not isinstance(found, bool):
        if not 0 < found < 1 << 64:
            raise Invalid(f"{key!r} is no number", code="bad_field")
        return str(found)
    return word(fields, key)
