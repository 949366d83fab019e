"""A dispatched event of the Gateway, to an envelope (docs.discord.com: "Gateway Events", "Messages Resource")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from kith.channels.kit import PENDING, Arrival, inner, mapping, natural, part_for, printable, rows, word
from kith.core.errors import Invalid
from kith.core.message import Envelope, Part, Text

NAME = "discord"
_LONGEST = 65_536
_FILES = 20
_SAID = (0, 19)  # an ordinary message, and an answer; the others are joins, pins, boosts and the like
_THREADS = (10, 11, 12)
_FORWARD = 1
_EMOJI = re.compile(r"<a?:(\w{1,64}):\d{1,20}>")
_USER = re.compile(r"<@!?(\d{1,20})>")


@dataclass(frozen=True, slots=True)
class Known:
    """What the channel knows besides: our user id, the roles that mean us, the session's name, and who wrote the
    latest messages (by ``channel/message``), because a deletion does not say whose message it was."""

    own: str = ""
    roles: frozenset[str] = frozenset()
    session: str = ""
    authors: Mapping[str, str] = field(default_factory=dict[str, str])


def parse(raw: Any, arrival: Arrival, known: Known | None = None) -> Envelope | None:
    """One event, as JSON says it. Raises `Invalid`.

    A media part's `blob` is `PENDING` and the file's address: its bytes have not been fetched. None for our own
    messages and for what says nothing to us: joins, pins, links that are shown.
    """
    event, known = mapping(raw, "not an event"), known or Known()
    match word(event, "t"):
        case "MESSAGE_CREATE":
            return _message(inner(event, "d"), arrival, known, False)
        case "MESSAGE_UPDATE":
            return _message(inner(event, "d"), arrival, known, True)
        case "MESSAGE_DELETE":
            return _deleted(inner(event, "d"), arrival, known)
        case "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE":
            return _reaction(event, arrival, known)
        case "":
            raise Invalid("the event has no name", code="bad_frame")
        case _:
            return None


def _message(said: Mapping[str, Any], arrival: Arrival, known: Known, edited: bool) -> Envelope | None:
    author, stamp = inner(said, "author"), re.sub(r"\D", "", word(said, "edited_timestamp"))[:32]
    if not author or said.get("type", 0) not in _SAID or (edited and not stamp):
        return None
    sender, channel = _number(author, "id"), _number(said, "channel_id")
    parts = _parts(said, known.own)
    if sender == known.own or not parts:
        return None
    base = f"{channel}/{_number(said, 'id')}"
    name = f"{base}/{stamp}" if edited else base
    direct, answered = not word(said, "guild_id"), inner(said, "referenced_message")
    to_us = bool(known.own) and word(inner(answered, "author"), "id") == known.own
    return arrival.envelope(
        NAME, name, parts, sender=sender, conversation=channel, direct=direct, sender_name=_called(said, author),
        reply_to=f"{channel}/{_number(answered, 'id')}" if answered else "",
        mentioned=direct or to_us or _mentioned(said, known),
        bot=author.get("bot") is True or bool(said.get("webhook_id")),
        thread=channel if said.get("channel_type") in _THREADS else "", edits=base if edited else "",
    )  # fmt: skip


def _deleted(gone: Mapping[str, Any], arrival: Arrival, known: Known) -> Envelope | None:
    """None for a message of which nobody remembers who wrote it: nothing comes of it any more."""
    channel = _number(gone, "channel_id")
    base = f"{channel}/{_number(gone, 'id')}"
    if not (sender := known.authors.get(base, "")):
        return None
    name, direct = f"{base}/deleted", not word(gone, "guild_id")
    return arrival.envelope(
        NAME, name, (), sender=sender, conversation=channel, direct=direct, edits=base,
        mentioned=True,  # else a group's rule would keep a message that was taken back from being stopped
    )  # fmt: skip


def _reaction(event: Mapping[str, Any], arrival: Arrival, known: Known) -> Envelope | None:
    put = inner(event, "d")
    sender, channel = _number(put, "user_id"), _number(put, "channel_id")
    whose, emoji = word(put, "message_author_id"), word(inner(put, "emoji"), "name")[:32]
    if sender == known.own or (known.own and whose and whose != known.own) or not emoji:
        return None
    number = event.get("s")
    name = f"{channel}/r/{known.session[:64]}/{number if isinstance(number, int) and abs(number) < 1 << 53 else 0}"
    direct, taken = not word(put, "guild_id"), "-" if word(event, "t").endswith("REMOVE") else ""
    return arrival.envelope(
        NAME, name, (), sender=sender, conversation=channel, direct=direct,
        reply_to=f"{channel}/{_number(put, 'message_id')}",
        bot=inner(inner(put, "member"), "user").get("bot") is True, reaction=f"{taken}{emoji}",
    )  # fmt: skip


def _mentioned(said: Mapping[str, Any], known: Known) -> bool:
    users = {word(user, "id") for user in rows(said, "mentions")}
    roles: Any = said.get("mention_roles")
    told = [role for role in cast("list[Any]", roles) if isinstance(role, str)] if isinstance(roles, list) else []
    return (bool(known.own) and known.own in users) or not known.roles.isdisjoint(told)


def _parts(said: Mapping[str, Any], own: str) -> tuple[Part, ...]:
    """What was said, then what was forwarded, then the files."""
    parts: list[Part] = []
    if (text := _text(said, own)).strip():
        parts.append(Text(text))
    parts += _files(said)
    if inner(said, "message_reference").get("type") == _FORWARD:
        for snapshot in rows(said, "message_snapshots", 1):
            foreign = inner(snapshot, "message")
            if (text := _text(foreign, "")).strip():
                parts.append(Text(text, outside=True))
            parts += _files(foreign)
    for sticker in rows(said, "sticker_items", 3):
        parts.append(Text(f"[{word(sticker, 'name')[:100]}]", outside=True))
    return tuple(parts)


def _text(said: Mapping[str, Any], own: str) -> str:
    """The text as people see it: users and emoji by name. A mention of us at its beginning is taken off."""
    text = word(said, "content")[:_LONGEST]
    if own:
        text = re.sub(rf"^\s*<@!?{re.escape(own)}>[\s:,，：]*", "", text) or text
    names = {word(user, "id"): word(user, "global_name") or word(user, "username") for user in rows(said, "mentions")}
    return _EMOJI.sub(r":\1:", _USER.sub(lambda found: f"@{names.get(found[1]) or found[1]}", text))


def _files(said: Mapping[str, Any]) -> list[Part]:
    found: list[Part] = []
    for file in rows(said, "attachments", _FILES):
        if url := word(file, "url")[:2000]:
            mime = word(file, "content_type").partition(";")[0]
            found.append(part_for(mime, f"{PENDING}{url}", word(file, "filename"), natural(file, "size")))
    return found


def _called(said: Mapping[str, Any], author: Mapping[str, Any]) -> str:
    """What somebody is called there: by their nickname, else their name."""
    whole = word(inner(said, "member"), "nick") or word(author, "global_name") or word(author, "username")
    return printable(whole, 128)


def _number(fields: Mapping[str, Any], key: str) -> str:
    """A snowflake, which Discord gives as a string of digits. Raises `Invalid`."""
    found = fields.get(key)
    if not isinstance(found, str) or not re.fullmatch(r"\d{1,20}", found, re.ASCII):
        raise Invalid(f"{key!r} is not a snowflake", code="bad_field")
    return found
