"""An event of OneBot v11, to an envelope (the OneBot 11 standard, "Events" and "Messages"; NapCat's additions)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kith.channels.kit import Arrival, inner, mapping, rows, word
from kith.channels.onebot.segments import lines, read, whole
from kith.core.errors import Invalid
from kith.core.message import Envelope, Part, Text

NAME = "onebot"
# QQ's official bots, as NapCat's get_robot_uin_range lists them
_ROBOTS = ((2854196301, 2854216399), (3328144510, 3328144510), (3889000000, 3889999999), (4010000000, 4019999999))
_FACES = {
    "76": "👍",
    "77": "👎",
    "66": "❤",
    "63": "🌹",
    "179": "👍",
    "201": "👍",
    "265": "👎",
    "4": "😎",
    "5": "😭",
    "9": "😢",
}


def parse(raw: Any, arrival: Arrival, own: str = "", bots: Sequence[str] = ()) -> Envelope | None:
    """One event. `own` is our QQ number, `bots` those of other programs.

    A conversation is ``private:QQ``, ``private:QQ@GROUP`` for somebody who writes from a group without being a friend,
    or ``group:NUMBER``; a message's name is ``CONVERSATION/ID``. The bytes of media are still to be fetched (see
    `kith.channels.onebot.segments`). None for what says nothing to us: our own messages, heartbeats, requests.
    Raises `Invalid`.
    """
    event = mapping(raw, "not an event")
    own = own or whole(event, "self_id", "")
    match word(event, "post_type"):
        case "message":
            return _message(event, arrival, own, bots)
        case "notice":
            return _notice(event, arrival, own, bots)
        case "":
            raise Invalid("the event has no type", code="bad_frame")
        case _:
            return None


def _message(event: Mapping[str, Any], arrival: Arrival, own: str, bots: Sequence[str]) -> Envelope | None:
    conversation, sender = _conversation(event, word(event, "message_type")), _sender(event)
    if sender == own or word(event, "sub_type") == "notice":
        return None
    found = read(event.get("message"), own)
    if not found.parts:
        return None
    number = whole(event, "message_id")
    name = f"{conversation}/{number}"
    direct = conversation.startswith("private:")
    return arrival.envelope(
        NAME, name, found.parts, sender=sender, conversation=conversation, direct=direct, sender_name=_name(event),
        reply_to=f"{conversation}/{found.reply}" if found.reply else "", mentioned=direct or found.called,
        bot=_is_bot(sender, bots),
    )  # fmt: skip


def _notice(event: Mapping[str, Any], arrival: Arrival, own: str, bots: Sequence[str]) -> Envelope | None:
    """What was recalled, who poked us, what was put to a message."""
    match word(event, "notice_type"), word(event, "sub_type"):
        case "group_recall" | "friend_recall" as kind, _:
            conversation = _conversation(event, "group" if kind == "group_recall" else "private")
            base = f"{conversation}/{whole(event, 'message_id')}"
            return _sign(event, arrival, own, bots, conversation, f"{base}/recalled", edits=base)
        case "notify", "poke" if whole(event, "target_id", "") == own != "":
            conversation = _conversation(event, "group" if event.get("group_id") else "private")
            name = f"{conversation}/poke/{whole(event, 'user_id')}/{whole(event, 'time')}"
            return _sign(event, arrival, own, bots, conversation, name, parts=(Text("[poke]"),))
        case "group_msg_emoji_like" | "reaction", _:
            return _reaction(event, arrival, own, bots)
        case "", _:
            raise Invalid("the notice has no type", code="bad_frame")
        case _:
            return None


def _reaction(event: Mapping[str, Any], arrival: Arrival, own: str, bots: Sequence[str]) -> Envelope | None:
    """NapCat's ``group_msg_emoji_like`` and Lagrange's ``reaction``."""
    like = next(iter(rows(event, "likes", 1)), dict[str, Any]())
    code = whole(like, "emoji_id", "") or whole(event, "code", "")
    if not code:
        return None
    taken = event.get("is_add") is False or word(event, "sub_type") == "remove"
    point = int(code) if len(code) < 8 else 0
    sign = _FACES.get(code) or (
        chr(point) if 8000 < point < 0x110000 and not 0xD800 <= point < 0xE000 else f"face{code}"
    )
    conversation = _conversation(event, "group")
    answered = f"{conversation}/{whole(event, 'message_id')}"
    who = whole(event, "operator_id", "") or whole(event, "user_id")
    name = f"{answered}/{who}/{code}/{'off' if taken else 'on'}/{whole(event, 'time', '0')}"
    found = _sign({**event, "user_id": who}, arrival, own, bots, conversation, name)
    if found is None:
        return None
    return dataclasses.replace(found, reply_to=answered, reaction=f"-{sign}" if taken else sign)


def _sign(
    event: Mapping[str, Any], arrival: Arrival, own: str, bots: Sequence[str], conversation: str, name: str,
    *, edits: str = "", parts: tuple[Part, ...] = (),
) -> Envelope | None:  # fmt: skip
    sender = _sender(event)
    if sender == own:
        return None
    direct = conversation.startswith("private:")
    return arrival.envelope(
        NAME, name, parts, sender=sender, conversation=conversation, direct=direct, mentioned=direct or bool(parts),
        bot=_is_bot(sender, bots), edits=edits,
    )  # fmt: skip


def quoted(raw: Any, own: str) -> tuple[str, str]:
    """The author's number and what they said, of a message that ``get_msg`` told; both empty when it told none."""
    if not isinstance(raw, Mapping):
        return "", ""
    told = cast("Mapping[str, Any]", raw)
    author = whole(inner(told, "sender"), "user_id", "") or whole(told, "user_id", "")
    return author, lines([told], own)


def forwarded(raw: Any, own: str) -> str:
    """The messages that ``get_forward_msg`` told, one to a line."""
    told: Any = cast("Mapping[str, Any]", raw).get("messages") if isinstance(raw, Mapping) else None
    return lines(cast("list[Any]", told), own) if isinstance(told, list) else ""


def _conversation(event: Mapping[str, Any], kind: str) -> str:
    match kind:
        case "group":
            return f"group:{whole(event, 'group_id')}"
        case "private":
            group = whole(event, "group_id", "") or whole(inner(event, "sender"), "group_id", "")
            from_group = word(event, "sub_type") == "group" and group not in ("", "0")
            return f"private:{whole(event, 'user_id')}{f'@{group}' if from_group else ''}"
        case _:
            raise Invalid("the message is neither private nor of a group", code="bad_field")


def _sender(event: Mapping[str, Any]) -> str:
    hidden = inner(event, "anonymous")
    return f"anonymous:{whole(hidden, 'id')}" if hidden else whole(event, "user_id")


def _name(event: Mapping[str, Any]) -> str:
    sender = inner(event, "sender")
    name = word(sender, "card") or word(sender, "nickname") or word(inner(event, "anonymous"), "name")
    return re.sub(r"\s+", " ", name).strip()[:128]


def _is_bot(sender: str, bots: Sequence[str]) -> bool:
    number = int(sender) if sender.isascii() and sender.isdigit() else 0
    return sender in bots or any(first <= number <= last for first, last in _ROBOTS)
