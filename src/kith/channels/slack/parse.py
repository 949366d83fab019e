"""An event of the Events API, to an envelope (docs.slack.dev, "Events API" and "message event")."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, cast

from kith.channels.kit import PENDING, Arrival, check_name, inner, part_for, quotes, rows, word
from kith.core.errors import Invalid
from kith.core.message import Envelope, Part, Text

NAME = "slack"
_LONGEST = 65_536
_NEW = ("", "file_share", "thread_broadcast", "bot_message", "me_message")
_MARK = re.compile(r"<([^<>\n]{1,3000})>")


def parse(raw: Any, arrival: Arrival, own: str = "") -> Envelope | None:
    """An ``event_callback``. `own` is our user id. None for our own messages and for what says nothing to us; joins,
    for instance, and a message that Slack changed by itself to show a link. Raises `Invalid`."""
    if not isinstance(raw, Mapping):
        raise Invalid("not an event", code="bad_frame")
    event = inner(cast("Mapping[str, Any]", raw), "event")
    match word(event, "type"):
        case "message" | "app_mention":
            return _message(event, arrival, own)
        case "reaction_added" | "reaction_removed":
            return _reaction(event, arrival, own)
        case "":
            raise Invalid("the event has no type", code="bad_frame")
        case _:
            return None


def _message(event: Mapping[str, Any], arrival: Arrival, own: str) -> Envelope | None:
    channel = check_name(word(event, "channel"), "channel")
    if (read := _reading(event)) is None:
        return None
    said, gone, ending = read
    stamp = _stamp(said, "ts")
    sender = word(said, "user") or word(said, "bot_id")
    parts = _parts(said, own)
    if not sender or sender == own or not (parts or gone):
        return None
    direct, thread = word(event, "channel_type") == "im", _thread(said)
    name = f"{channel}/{stamp}{ending}"
    return arrival.envelope(
        NAME, name, parts, sender=check_name(sender, "user"),
        conversation=f"{channel}:{thread}" if thread else channel, direct=direct,
        mentioned=direct or (bool(own) and f"<@{own}>" in word(said, "text")), bot=bool(word(said, "bot_id")),
        thread=thread, edits=f"{channel}/{stamp}" if ending else "",
    )  # fmt: skip


def _reading(event: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool, str] | None:
    """What was said, whether it was taken back, and what an edit's name ends with."""
    subtype, said = word(event, "subtype"), event
    if subtype == "message_changed":
        said = inner(event, "message")
        edited = inner(said, "edited")
        return (said, False, f"/{_stamp(edited, 'ts')}") if edited else None
    if subtype == "message_deleted":
        before: dict[str, Any] = dict(inner(event, "previous_message"))
        before |= {"text": "", "files": None, "ts": event.get("deleted_ts")}
        return before, True, "/deleted"
    return (said, False, "") if subtype in _NEW else None


def _thread(said: Mapping[str, Any]) -> str:
    return _stamp(said, "thread_ts") if said.get("thread_ts") else ""


def _reaction(event: Mapping[str, Any], arrival: Arrival, own: str) -> Envelope | None:
    item, sender = inner(event, "item"), check_name(word(event, "user"), "user")
    if word(item, "type") != "message" or sender == own:
        return None
    channel = check_name(word(item, "channel"), "channel")
    taken = "-" if word(event, "type") == "reaction_removed" else ""
    name = f"{channel}/r/{_stamp(event, 'event_ts')}"
    return arrival.envelope(
        NAME, name, (), sender=sender, conversation=channel, direct=channel.startswith("D"),
        reply_to=f"{channel}/{_stamp(item, 'ts')}",
        reaction=f"{taken}{check_name(word(event, 'reaction'), 'reaction')[:64]}",
    )  # fmt: skip


def _parts(said: Mapping[str, Any], own: str) -> tuple[Part, ...]:
    """The text, what it quotes and forwards as somebody else's, and files, whose bytes are not fetched yet."""
    text = word(said, "text")[:_LONGEST]
    if own:
        text = re.sub(rf"^\s*<@{re.escape(own)}>[\s:,，：]*", "", text) or text
    parts: list[Part] = [Text(_plain(one.text), outside=one.outside) for one in quotes(text, "&gt;")]
    for shared in rows(said, "attachments", 10):
        if shared.get("is_share") is True or shared.get("is_msg_unfurl") is True:
            who, what = word(shared, "author_name")[:200], _plain(word(shared, "text")[:_LONGEST])
            parts += [Text(f"{who}: {what}" if who else what, outside=True)] if what.strip() else []
    return (*parts, *(_file(file) for file in rows(said, "files", 20)))


def _file(file: Mapping[str, Any]) -> Part:
    """A file by its address; one that lies elsewhere, or was taken away, by its name."""
    address = word(file, "url_private_download") or word(file, "url_private")
    size, name = file.get("size"), word(file, "name")[:200]
    if not address.isprintable() or not 0 < len(address) < 2000 or word(file, "mode") in ("external", "tombstone"):
        return Text(f"[{word(file, 'mimetype')[:100]} {name}]", outside=True)
    whole = size if isinstance(size, int) and 0 <= size < 1 << 40 else 0
    return part_for(word(file, "mimetype"), PENDING + address, name, whole)


def _plain(text: str) -> str:
    return html.unescape(_MARK.sub(_shown, text))


def _shown(found: re.Match[str]) -> str:
    """``<address|label>``, ``<@user>``, ``<#channel|name>``, ``<!here>`` as a person sees them."""
    goal, _, label = found[1].partition("|")
    if goal[:1] in "@#!":
        return f"{goal[0] if goal[0] != '!' else '@'}{label or goal[1:]}"
    return f"{label} ({goal})" if label and label != goal else goal


def _stamp(fields: Mapping[str, Any], key: str) -> str:
    """A time stamp of Slack's, which is a message's name within its channel: ``1355517523.000005``."""
    found = fields.get(key)
    if not isinstance(found, str) or not re.fullmatch(r"\d{1,16}\.\d{1,9}", found, re.ASCII):
        raise Invalid(f"{key!r} is no time stamp", code="bad_field")
    return found
