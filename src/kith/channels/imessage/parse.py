"""An event of BlueBubbles ("REST API & Webhooks"), to an envelope."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from kith.channels.kit import PENDING, Arrival, check_name, inner, mapping, natural, part_for, rows, word
from kith.core.errors import Invalid
from kith.core.message import Envelope, Part, Text

NAME = "imessage"
_LONGEST = 65_536
_OLDEST = 30 * 86_400.0
_GROUP = 43  # the style of a chat; 45 is a direct one
_HOLDER = "\ufffc"  # stands in the text where a file is
_MENTION = "__kIMMentionConfirmedMention"
_TAPBACKS = {
    "love": "❤️", "like": "👍", "dislike": "👎", "laugh": "😂", "emphasize": "‼️", "question": "❓",
    "2000": "❤️", "2001": "👍", "2002": "👎", "2003": "😂", "2004": "‼️", "2005": "❓",
}  # fmt: skip


def parse(raw: Any, arrival: Arrival, own: Collection[str] = ()) -> Envelope | None:
    """One event: ``{"type", "data"}``. `own` are our addresses (see `address`). Raises `Invalid`.

    A media part's `blob` is `PENDING` and the file's id: its bytes have not been fetched. None for what says
    nothing to us: our own messages, receipts, signs of typing, changes of a group, what is older than 30 days.
    """
    event = mapping(raw, "not an event")
    kind = word(event, "type")
    if kind not in ("new-message", "updated-message"):
        return None
    data = mapping(event.get("data"), "not a message")
    if data.get("isFromMe") is True or data.get("itemType") not in (None, 0):
        return None
    guid, changed = check_name(word(data, "guid"), "guid"), _changed(data) if kind == "updated-message" else 0
    reaction, target = _reaction(data)
    aside = target and (not reaction or kind == "updated-message")
    if aside or (kind == "updated-message" and not changed) or _instant(data, "dateCreated") < arrival.at - _OLDEST:
        return None
    taken_back = bool(changed) and _instant(data, "dateRetracted") > 0
    parts = () if reaction or taken_back else _parts(data)
    if not (parts or reaction or taken_back):
        return None
    chats = rows(data, "chats")
    chat: Mapping[str, Any] = chats[0] if chats else {}
    place = check_name(word(chat, "guid"), "chats[0].guid")
    group = chat.get("style") == _GROUP or ";+;" in place
    platform_id = f"{guid}/{changed}" if changed else guid
    return arrival.envelope(
        NAME, platform_id, parts, sender=_sender(data, chat, group), conversation=place, direct=not group,
        reply_to=target or word(data, "threadOriginatorGuid")[:128], mentioned=not group or _mentioned(data, own),
        edits=guid if changed else "", reaction=reaction,
    )  # fmt: skip


def address(text: str) -> str:
    """A number or an e-mail address as it is compared: without what people put between the digits."""
    plain = text.strip().lower()
    return plain if "@" in plain else re.sub(r"[^\d+]", "", plain, flags=re.ASCII)


def created(message: Mapping[str, Any]) -> int:
    """When a message was made, in milliseconds since 1970; 0 when it does not say."""
    return natural(message, "dateCreated", 1 << 53)


def _sender(data: Mapping[str, Any], chat: Mapping[str, Any], group: bool) -> str:
    """The author's number or address. In a direct chat it is the other one, where the server leaves it out."""
    author = word(inner(data, "handle"), "address") or ("" if group else word(chat, "chatIdentifier"))
    return check_name(author, "handle.address")


def _instant(data: Mapping[str, Any], key: str) -> float:
    found: Any = data.get(key)
    good = isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1 << 53
    return float(found) / 1000 if good else 0.0


def _changed(data: Mapping[str, Any]) -> int:
    """When a message was edited or taken back, in milliseconds; 0 when it was not."""
    return int(max(_instant(data, "dateEdited"), _instant(data, "dateRetracted")) * 1000)


def _reaction(data: Mapping[str, Any]) -> tuple[str, str]:
    """What was put to a message, and to which; the former is empty for what is no reaction (a sticker, a vote)."""
    kind: Any = data.get("associatedMessageType")
    named = str(kind) if isinstance(kind, int) and not isinstance(kind, bool) else word(data, "associatedMessageType")
    target = re.sub(r"^(p:\d{1,4}/|bp:)", "", word(data, "associatedMessageGuid"))[:128]
    if not named.strip() or not target.isprintable():
        return "", ""
    gone = named.startswith("-") or re.fullmatch(r"300[0-6]", named) is not None
    base = f"2{named[1:]}" if re.fullmatch(r"300[0-6]", named) else named.removeprefix("-")
    emoji = word(data, "associatedMessageEmoji")[:32] if base in ("emoji", "2006") else _TAPBACKS.get(base, "")
    if target and emoji:
        return f"-{emoji}" if gone else emoji, target
    return "", target or "?"


def _parts(data: Mapping[str, Any]) -> tuple[Part, ...]:
    lines = word(data, "subject"), word(data, "text").replace(_HOLDER, "")
    text = "\n".join(line for line in lines if line.strip())[:_LONGEST]
    parts: list[Part] = [Text(text)] if text.strip() else []
    for file in rows(data, "attachments")[:50]:
        name, guid = word(file, "transferName"), word(file, "guid")
        if name.endswith(".pluginPayloadAttachment") or file.get("hideAttachment") is True:
            continue  # the picture of a link, and the like
        if not re.fullmatch(r"[\w.:/-]{1,200}", guid, re.ASCII) or ".." in guid:
            raise Invalid("'attachments.guid' is no id", code="bad_field")
        parts.append(part_for(word(file, "mimeType"), PENDING + guid, name, natural(file, "totalBytes")))
    balloon = word(data, "balloonBundleId")[:200].rpartition(".")[2]
    if not parts and balloon:
        parts.append(Text(f"[{balloon}]", outside=True))
    return tuple(parts)


def _mentioned(data: Mapping[str, Any], own: Collection[str]) -> bool:
    """Whether the message mentions one of our addresses."""
    for body in rows(data, "attributedBody"):
        for run in rows(body, "runs"):
            if (named := word(inner(run, "attributes"), _MENTION)) and address(named) in own:
                return True
    return False
