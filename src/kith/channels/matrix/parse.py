"""A Matrix event, decrypted where it was encrypted, to an envelope (client-server API 1.11, "Instant messaging")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from kith.channels.kit import (
    PENDING,
    Arrival,
    check_name,
    check_text,
    inner,
    mapping,
    message_id,
    part_for,
    quotes,
    word,
)
from kith.core.message import Envelope, Message, Part

NAME = "matrix"
_QUOTED = re.compile(r"\A(?:> [^\n]*\n)+\n?")
_LONGEST = 65_536


def parse(raw: Any, arrival: Arrival, own: str = "") -> Envelope | None:
    """``{"room", "direct", "name", "event"}``: an event of a room's timeline. `own` is our user id. Raises `Invalid`.

    None for notices (which bots send and must not answer), our own events, and events that say nothing.
    """
    fields = mapping(raw, "not an event of a room")
    event = mapping(fields.get("event"), "not an event")
    sender, kind = word(event, "sender"), word(event, "type")
    if not sender or sender == own or event.get("state_key") is not None:
        return None
    body = inner(event, "content")
    found: dict[str, Any] | None
    match kind:
        case "m.room.message":
            found = _said(body, own)
        case "m.reaction":
            found = _reaction(body)
        case "m.room.redaction":
            taken = word(event, "redacts") or word(body, "redacts")
            found = {"parts": (), "edits": _id(taken)} if taken else None
        case _:
            found = None
    if found is None:
        return None
    direct, name = bool(fields.get("direct")), check_name(word(event, "event_id"), "event_id")
    parts: tuple[Part, ...] = found.pop("parts")
    called = bool(found.pop("called", False))
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=name,
        sender=check_name(sender, "sender"),
        conversation=check_name(str(fields.get("room") or ""), "room"),
        message=Message(message_id(NAME, arrival.account, name), "user", parts, arrival.at),
        kind="direct" if direct else "group",
        sender_name="".join(char for char in str(fields.get("name") or "") if char.isprintable())[:128],
        mentioned=direct or called,
        **found,
    )


def _said(content: Mapping[str, Any], own: str) -> dict[str, Any] | None:
    relation = inner(content, "m.relates_to")
    edits = word(relation, "event_id") if word(relation, "rel_type") == "m.replace" else ""
    new = inner(content, "m.new_content") if edits else content
    kind = word(new, "msgtype")
    media = _media(new, kind)
    if kind not in ("m.text", "m.emote") and media is None:
        return None
    text = word(new, "body")[:_LONGEST]
    if media is not None and word(new, "filename") in ("", text):
        text = ""  # the body is the file's name, and no words to it
    answers = word(inner(relation, "m.in_reply_to"), "event_id")
    if answers:
        text = _QUOTED.sub("", text, count=1) or text
    thread = word(relation, "event_id") if word(relation, "rel_type") == "m.thread" else ""
    users: Any = inner(new, "m.mentions").get("user_ids", ())
    called = isinstance(users, list) and own in cast("list[Any]", users)
    local = own.partition(":")[0].removeprefix("@")
    if local and (found := re.match(rf"\s*@?{re.escape(local)}(?::[\w.:-]+)?\s*[:,，：]\s*", text, re.IGNORECASE)):
        text, called = text[found.end() :] or text, True
    if media is None:
        text = check_text(f"* {text}" if kind == "m.emote" else text)
    parts: tuple[Part, ...] = (*quotes(text), *(() if media is None else (media,)))
    return {"parts": parts, "edits": _id(edits), "reply_to": _id(answers), "thread": _id(thread), "called": called}


def _media(content: Mapping[str, Any], kind: str) -> Part | None:
    """A file where the content names one; the key of one that is encrypted stands behind its address."""
    if kind not in ("m.image", "m.audio", "m.video", "m.file"):
        return None
    info, sealed = inner(content, "info"), inner(content, "file")
    words = [word(content, "url")]
    if sealed:
        words = [word(sealed, "url"), word(inner(sealed, "key"), "k"), word(sealed, "iv")]
        words.append(word(inner(sealed, "hashes"), "sha256"))
    if not all(re.fullmatch(r"[!-~]{1,600}", one) for one in words):
        return None
    size, name = info.get("size"), word(content, "filename") or word(content, "body")
    whole = size if isinstance(size, int) and 0 <= size < 1 << 40 else 0
    return part_for(word(info, "mimetype"), PENDING + " ".join(words), name, whole)


def _reaction(content: Mapping[str, Any]) -> dict[str, Any] | None:
    relation = inner(content, "m.relates_to")
    key, target = word(relation, "key"), _id(word(relation, "event_id"))
    return {"parts": (), "reaction": key[:64], "reply_to": target} if key and target else None


def _id(name: str) -> str:
    return check_name(name, "event_id") if name else ""
