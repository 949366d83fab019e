"""A call of the WhatsApp Cloud API, to envelopes and receipts ("messages webhook reference")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from kith.channels.kit import PENDING, Arrival, check_name, inner, mapping, printable, quotes, rows, word
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Part, Text

NAME = "whatsapp"
State = Literal["sent", "delivered", "read", "failed"]
_LONGEST = 65_536
_MOST = 2000
_OLDEST = 8 * 86_400.0  # a call that failed is made again for seven days
_SILENT = frozenset({"system", "request_welcome", "ephemeral"})
_MEDIA: Mapping[str, tuple[type[Image | Audio | File], str]] = {
    "image": (Image, "image/jpeg"),
    "sticker": (Image, "image/webp"),
    "audio": (Audio, "audio/ogg"),
    "voice": (Audio, "audio/ogg"),
    "video": (File, "video/mp4"),
    "document": (File, "application/octet-stream"),
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of our message `id`. `key` is what we gave it (``biz_opaque_callback_data``); with ``failed``,
    `code` and `detail` say why."""

    id: str
    state: State
    key: str = ""
    code: int = 0
    detail: str = ""


def values(raw: Any, number: str = "") -> list[Mapping[str, Any]]:
    """What a call tells of: the values of its ``messages`` changes, of the phone number id `number` where that is
    given. Raises `Invalid` for what is no call of WhatsApp's."""
    call = mapping(raw, "not a call")
    if call.get("object") != "whatsapp_business_account":
        raise Invalid("not a call of WhatsApp's", code="bad_frame")
    found: list[Mapping[str, Any]] = []
    for entry in rows(call, "entry", _MOST):
        for change in rows(entry, "changes", _MOST):
            value = inner(change, "value")
            ours = not number or word(inner(value, "metadata"), "phone_number_id") == number
            if change.get("field") == "messages" and ours:
                found.append(value)
    return found


def singles(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A value with several messages as several values with one."""
    for message in rows(value, "messages", _MOST):
        yield {**value, "messages": [message]}


def receipts(value: Mapping[str, Any]) -> Iterator[Receipt]:
    """What became of messages of ours. What is not understood is left out."""
    for status in rows(value, "statuses", _MOST):
        name, state = word(status, "id")[:500], word(status, "status")
        if not name or state not in get_args(State):
            continue
        error = _first(status, "errors")
        code: Any = error.get("code")
        yield Receipt(
            name,
            cast("State", state),
            word(status, "biz_opaque_callback_data")[:500],
            code if isinstance(code, int) and not isinstance(code, bool) else 0,
            (word(inner(error, "error_data"), "details") or word(error, "title"))[:300],
        )


def parse(raw: Any, arrival: Arrival, number: str = "") -> Envelope | None:
    """The first message of a call, as JSON says it. Raises `Invalid`.

    A media part's `blob` is `PENDING` and the file's id: its bytes have not been fetched. None for receipts, for
    what is told of people (a new number), for echoes of our own words, and for what is older than Meta would repeat.
    """
    single = next((one for value in values(raw, number) for one in singles(value)), None)
    return None if single is None else read(single, arrival)


def read(value: Mapping[str, Any], arrival: Arrival) -> Envelope | None:
    """The one message of a value (see `singles`). Otherwise as `parse`."""
    message, own = _first(value, "messages"), _digits(inner(value, "metadata"))
    kind, author = word(message, "type"), word(message, "from") or word(message, "from_user_id")
    stamp = word(message, "timestamp")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        raise Invalid("'timestamp' is no instant", code="bad_field")
    if kind in _SILENT or (own and author.removeprefix("+") == own) or float(stamp) < arrival.at - _OLDEST:
        return None
    sender, platform_id = check_name(author, "from"), check_id(word(message, "id"), "id")
    group, context = word(message, "group_id"), inner(message, "context")
    edits, body = _edited(kind, message)
    reaction, answered = _reaction(kind, message), word(context, "id")
    parts = () if reaction or kind == "revoke" else _parts(word(body, "type"), body)
    called, parts = _called(parts, own)
    to_us = bool(own) and word(context, "from").removeprefix("+") == own
    return arrival.envelope(
        NAME, platform_id, parts, sender=sender, conversation=check_id(group, "group_id") if group else sender,
        direct=not group, sender_name=_called_so(value, author),
        reply_to=word(inner(message, "reaction"), "message_id")[:500] if reaction else answered[:500],
        mentioned=not group or called or to_us, edits=edits, reaction=reaction,
    )  # fmt: skip


def check_id(value: str, field: str) -> str:
    """WhatsApp's own ids of messages and groups: 1 to 500 visible ASCII characters. Raises `Invalid`."""
    if not re.fullmatch(r"[!-~]{1,500}", value):
        raise Invalid(f"{field!r} is no id", code="bad_field")
    return value


def _edited(kind: str, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The id of the message that this one replaces or takes back, and where its words are."""
    if kind not in ("edit", "revoke"):
        return "", message
    told = inner(message, kind)
    return check_id(word(told, "original_message_id"), "original_message_id"), inner(told, "message")


def _reaction(kind: str, message: Mapping[str, Any]) -> str:
    """What was put to a message; ``-`` when it was taken away: WhatsApp does not say what it was."""
    if kind != "reaction":
        return ""
    told = inner(message, "reaction")
    check_id(word(told, "message_id"), "message_id")
    return word(told, "emoji")[:32] or "-"


def _parts(kind: str, message: Mapping[str, Any]) -> tuple[Part, ...]:
    context, told = inner(message, "context"), inner(message, kind)
    foreign = context.get("forwarded") is True or context.get("frequently_forwarded") is True
    if kind in _MEDIA:
        return _media(kind, told, foreign)
    match kind:
        case "text":
            said = word(told, "body")
        case "button":
            said = word(told, "text")
        case "interactive":
            said = _chosen(told)
        case "location":
            said, foreign = _place(told), True
        case "contacts":
            said, foreign = _cards(message), True
        case "order":
            items = [_item(one) for one in rows(told, "product_items")]
            said = "\n".join(["[order]", *items, word(told, "text")]).strip()
        case _:
            said, foreign = f"[{(word(told, 'type') or 'unsupported')[:40]}]", True
    if not said.strip():
        raise Invalid("the message says nothing", code="bad_field")
    if foreign:
        return (Text(said[:_LONGEST], outside=True),)
    return tuple(quotes(said[:_LONGEST]))


def _media(kind: str, told: Mapping[str, Any], foreign: bool) -> tuple[Part, ...]:
    cls, usual = _MEDIA[kind]
    name = word(told, "id")
    if not re.fullmatch(r"[\w.-]{1,200}", name, re.ASCII):
        raise Invalid(f"'{kind}.id' is no id", code="bad_field")
    mime = word(told, "mime_type").partition(";")[0].strip()[:100] or usual
    if kind == "document" and mime in ("image/png", "image/jpeg", "image/webp"):
        cls = Image
    file = cls(f"{PENDING}{name}", mime, printable(word(told, "filename"), 200))
    caption = word(told, "caption")[:_LONGEST]
    return (Text(caption, outside=foreign), file) if caption.strip() else (file,)


def _chosen(told: Mapping[str, Any]) -> str:
    """What was tapped: a button, a line of a list, or the end of a form."""
    for key in ("button_reply", "list_reply"):
        if chosen := inner(told, key):
            lines = word(chosen, "title"), word(chosen, "description")
            return "\n".join(line for line in lines if line.strip())
    form = inner(told, "nfm_reply")
    return word(form, "response_json") or word(form, "body")


def _place(told: Mapping[str, Any]) -> str:
    found = [told.get(key) for key in ("latitude", "longitude")]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= 180 for one in found):
        raise Invalid("the place is not on earth", code="bad_field")
    lines = word(told, "name")[:200], word(told, "address")[:500], f"geo:{found[0]},{found[1]}"
    return "\n".join(line for line in lines if line.strip())


def _cards(message: Mapping[str, Any]) -> str:
    """One line for each person of a card: the name, then numbers and addresses."""
    lines: list[str] = []
    for card in rows(message, "contacts")[:50]:
        reached = [word(one, "phone") for one in rows(card, "phones")]
        reached += [word(one, "email") for one in rows(card, "emails")]
        name = word(inner(card, "name"), "formatted_name")
        lines.append(": ".join(word[:500] for word in (name, ", ".join(one for one in reached if one)) if word))
    return "\n".join(line for line in lines if line.strip())


def _item(ordered: Mapping[str, Any]) -> str:
    count: Any = ordered.get("quantity")
    many = f"{count} × " if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1_000_000 else ""
    return f"{many}{word(ordered, 'product_retailer_id')[:200]}"


def _called(parts: tuple[Part, ...], own: str) -> tuple[bool, tuple[Part, ...]]:
    """Whether our number is mentioned in the text; at its beginning it is taken off."""
    first = parts[0] if parts else None
    if not own or not isinstance(first, Text) or not re.search(rf"@{own}(?!\d)", first.text):
        return False, parts
    rest = re.sub(rf"^\s*@{own}(?!\d)[\s:,，：]*", "", first.text)
    return True, (Text(rest if rest.strip() else first.text, outside=first.outside), *parts[1:])


def _called_so(value: Mapping[str, Any], author: str) -> str:
    """The author's name as their profile has it."""
    for contact in rows(value, "contacts"):
        if author in (word(contact, "wa_id"), word(contact, "user_id")):
            return printable(word(inner(contact, "profile"), "name"), 128)
    return ""


def _digits(metadata: Mapping[str, Any]) -> str:
    return re.sub(r"\D", "", word(metadata, "display_phone_number"), flags=re.ASCII)[:20]


def _first(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = rows(fields, key, 1)
    return found[0] if found else {}
