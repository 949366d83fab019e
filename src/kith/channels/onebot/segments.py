"""A message of OneBot: an array of segments, or a text with CQ codes in it (the OneBot 11 standard, "Messages").

A media part's `blob` is, until its bytes are here, `PENDING` and one of ``url:ADDRESS``, ``name:KIND:FILE``,
``data:BASE64`` and ``forward:ID``. After a name an address may follow on a line of its own, should the name not do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from kith.channels.kit import PENDING, inner, word
from kith.core.errors import Invalid
from kith.core.message import Audio, File, Image, Part, Text

_LONGEST = 65_536
_MOST = 200
_CODE = re.compile(r"\[CQ:([A-Za-z0-9_-]{1,32})((?:,[^\[\],=]{1,64}=[^\[\],]*)*)\]")
_MEDIA: dict[str, tuple[type[Image | Audio | File], str]] = {
    "image": (Image, "image/jpeg"),
    "record": (Audio, "audio/amr"),
    "video": (File, "video/mp4"),
    "file": (File, "application/octet-stream"),
}
Segment = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Read:
    """What a message says: its parts, the id of the message that it answers, and whether it calls us by name."""

    parts: tuple[Part, ...] = ()
    reply: str = ""
    called: bool = False


def read(message: Any, own: str) -> Read:
    """A message, whichever of its two forms it has. Raises `Invalid`."""
    parts: list[Part] = []
    reply, called = "", False
    for kind, data in _segments(message):
        if kind == "reply":
            reply = reply or whole(data, "id", "")
            continue
        if kind == "at" and own and whole(data, "qq", "") == own:
            if called or parts:
                _say(parts, f"@{own}", False)
            called = True
            continue
        _add(parts, kind, data, own)
    if called and not parts:
        parts.append(Text(f"@{own}"))
    if parts and isinstance(first := parts[0], Text) and (called or reply):
        parts[0] = Text(first.text.lstrip(" ,，：:") or first.text, outside=first.outside)
    return Read(tuple(part for part in parts if not isinstance(part, Text) or part.text.strip()), reply, called)


def lines(messages: Sequence[Any], own: str) -> str:
    """Messages as somebody would quote them, ``name: text`` on a line each; media are named."""
    found: list[str] = []
    for one in messages[:_MOST]:
        if not isinstance(one, Mapping):
            continue
        told = cast("Mapping[str, Any]", one)
        node = inner(told, "data") or told
        sender = inner(node, "sender")
        name = word(sender, "card") or word(sender, "nickname") or word(node, "nickname") or word(node, "name")
        try:
            parts = read(node.get("message") or node.get("content"), own).parts
        except Invalid:
            continue
        said = " ".join(filter(None, map(_shown, parts)))
        if said.strip():
            found.append(f"{name[:64]}: {said}" if name else said)
    return "\n".join(found)[:_LONGEST]


def _shown(part: Part) -> str:
    return part.text if isinstance(part, Text) else f"[{part.mime}]" if isinstance(part, Image | Audio | File) else ""


def _segments(message: Any) -> Iterator[Segment]:
    if isinstance(message, str):
        yield from _codes(message[: 4 * _LONGEST])
        return
    if isinstance(message, Mapping):  # a single segment, which the standard allows
        message = [message]
    if not isinstance(message, list):
        raise Invalid("the message is neither an array nor a text", code="bad_field")
    for one in cast("list[Any]", message)[:_MOST]:
        if isinstance(one, Mapping):
            fields = cast("Mapping[str, Any]", one)
            yield word(fields, "type"), inner(fields, "data")


def _codes(text: str) -> Iterator[Segment]:
    """``[CQ:type,key=value]`` in a text; ``&amp; &#91; &#93; &#44;`` stand for the signs with a meaning."""
    place = 0
    for count, found in enumerate(_CODE.finditer(text)):
        if count >= _MOST:
            break
        if found.start() > place:
            yield "text", {"text": _plain(text[place : found.start()])}
        pairs = (pair.partition("=") for pair in found[2].split(",") if pair)
        yield found[1], {key.strip(): _plain(value) for key, _, value in pairs}
        place = found.end()
    if place < len(text):
        yield "text", {"text": _plain(text[place:])}


def _plain(text: str) -> str:
    for code, sign in (("&#91;", "["), ("&#93;", "]"), ("&#44;", ","), ("&amp;", "&")):
        text = text.replace(code, sign)
    return text


def _add(parts: list[Part], kind: str, data: Mapping[str, Any], own: str) -> None:
    match kind:
        case "text":
            _say(parts, word(data, "text"), False)
        case "at":
            name = "all" if word(data, "qq") == "all" else word(data, "name").lstrip("@")[:64] or whole(data, "qq", "?")
            _say(parts, f"@{name}", False)
        case "face":
            shown = word(inner(data, "raw"), "faceText").strip("/[]")[:32] or f"face {whole(data, 'id', '?')}"
            _say(parts, f"[{shown}]", False)
        case "image" | "record" | "video" | "file":
            _media(parts, kind, data)
        case "forward":
            _forward(parts, data, own)
        case "json" | "xml":
            _say(parts, f"[{_card(word(data, 'data'))}]", True)
        case "markdown":
            _say(parts, word(data, "content"), True)
        case "share" | "music" | "location" | "contact":
            told = " ".join(filter(None, (word(data, key)[:500] for key in ("title", "content", "url", "lat", "lon"))))
            _say(parts, f"[{kind} {told}]".replace(" ]", "]"), True)
        case "":
            raise Invalid("a segment has no type", code="bad_field")
        case _:  # dice, rps, stickers of the shop, and what comes to be
            _say(parts, f"[{(word(data, 'summary').strip('[]') or kind)[:64]}]", False)


def _say(parts: list[Part], text: str, outside: bool) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Text) and last.outside is outside:
        parts[-1] = Text((last.text + text)[:_LONGEST], outside=outside)
    elif text:
        parts.append(Text(text[:_LONGEST], outside=outside))


def _media(parts: list[Part], kind: str, data: Mapping[str, Any]) -> None:
    cls, mime = _MEDIA[kind]
    address, file = word(data, "url"), word(data, "file") or word(data, "file_id")
    if file.startswith("base64://"):
        goal = f"data:{file[9:]}"
    elif address.startswith(("http://", "https://")) and kind != "record":
        goal = f"url:{address[:4000]}"
    elif file.startswith(("http://", "https://")):
        goal = f"url:{file[:4000]}"
    elif file:
        goal = f"name:{kind}:{(word(data, 'file_id') if kind == 'file' else '') or file}"[:1000]
        goal += f"\n{address[:4000]}" if address.startswith(("http://", "https://")) else ""
    else:
        goal = f"url:{address[:4000]}" if address else ""
    name = re.split(r"[/\\]", word(data, "name") or file)[-1][:200] if not goal.startswith("data:") else ""
    size = whole(data, "file_size", "0")
    parts.append(cls(f"{PENDING}{goal}", mime, name if kind == "file" else "", int(size) if len(size) < 13 else 0))


def _forward(parts: list[Part], data: Mapping[str, Any], own: str) -> None:
    """Forwarded messages: those that came along, or else a part in their place."""
    content, name = data.get("content"), word(data, "id")
    if isinstance(content, list) and content and (told := lines(cast("list[Any]", content), own)):
        _say(parts, told, True)
    elif re.fullmatch(r"[\w+/=.-]{1,300}", name, re.ASCII):
        parts.append(File(f"{PENDING}forward:{name}", "text/plain", "forward"))


def _card(raw: str) -> str:
    """What a card of a small program shows where it cannot be drawn."""
    try:
        told: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        told = None
    shown = word(cast("Mapping[str, Any]", told), "prompt") if isinstance(told, Mapping) else ""
    return shown.strip("[]").replace("]", " ")[:500] or "card"


def whole(fields: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A number's digits, be it a number or a text. Raises `Invalid` where there is none, unless there is a default."""
    found = fields.get(key)
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 1 << 63:
        return str(found)
    if isinstance(found, str) and re.fullmatch(r"-?\d{1,20}", found, re.ASCII):
        return found
    if default is None:
        raise Invalid(f"{key!r} is no number", code="bad_field")
    return default
