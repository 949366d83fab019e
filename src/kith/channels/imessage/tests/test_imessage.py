"""Events as BlueBubbles tells them, and replies as it sends them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kith.channels.imessage.parse import address, parse
from kith.channels.imessage.render import LIMIT, Piece, render
from kith.channels.kit import Arrival
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"
ARRIVAL = Arrival("local", 1_700_000_000.0)
FIRST = "C4B2E437-A373-43F6-9740-9CD84E5893A1"


def raw(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def heard(name: str, *own: str) -> Envelope:
    found = parse(raw(name), ARRIVAL, own)
    assert found is not None
    return found


def test_a_message() -> None:
    found = heard("text")
    assert (found.platform_id, found.sender, found.kind) == (FIRST, "+15551234567", "direct")
    assert (found.conversation, found.mentioned) == ("iMessage;-;+15551234567", True)
    assert found.message.parts == (Text("hello there"),)
    assert heard("headless").sender == "+15551234567"


@pytest.mark.parametrize("name", ["own", "named", "read", "delivered", "typing", "sticker"])
def test_what_says_nothing_to_us(name: str) -> None:
    assert parse(raw(name), ARRIVAL) is None


def test_what_is_old_is_not_heard() -> None:
    assert parse(raw("text"), dataclasses.replace(ARRIVAL, at=ARRIVAL.at + 40 * 86_400)) is None


def test_files_wait_for_their_bytes() -> None:
    picture, sound, file = heard("image").message, heard("audio").message, heard("file").message
    assert picture.parts == (
        Text("look"),
        Image("at:5FBD7BDD-EE5C-46BC-8C02-9E277E8A3EF3", "image/jpeg", "IMG_5045.heic.jpeg", 3789572),
    )
    assert isinstance(sound.parts[0], Audio) and isinstance(file.parts[1], File)
    assert file.text == "Minutes\nof today"
    assert heard("link").message.parts == (Text("https://example.com"),)
    assert heard("balloon").message.parts == (Text("[Polls]", outside=True),)


def test_replies_tapbacks_and_changes_name_the_message() -> None:
    assert heard("reply").reply_to == FIRST
    for name, emoji in (("tapback", "❤️"), ("untapped", "-❤️"), ("emoji", "🎉")):
        assert (heard(name).reaction, heard(name).reply_to, heard(name).message.parts) == (emoji, FIRST, ())
    edited, unsent = heard("edited"), heard("unsent")
    assert edited.edits and edited.platform_id != edited.edits and edited.message.text == "edited version"
    assert unsent.edits and unsent.message.parts == ()
    again = raw("edited")
    again["data"]["dateRead"] = 1699999999000  # the same edit, told once more because it was read
    assert parse(again, ARRIVAL) == edited


@pytest.mark.parametrize(("kind", "emoji"), [(2001, "👍"), (3003, "-😂"), ("-question", "-❓"), ("emphasize", "‼️")])
def test_every_tapback(kind: Any, emoji: str) -> None:
    event = raw("tapback")
    event["data"]["associatedMessageType"] = kind
    assert (found := parse(event, ARRIVAL)) is not None and found.reaction == emoji


def test_a_group_is_answered_when_it_mentions_us() -> None:
    assert heard("group", "kith@example.com").mentioned
    assert not heard("group", "other@example.com").mentioned
    assert (heard("group").kind, heard("group").conversation) == ("group", "iMessage;+;chat35820e69c97c4599")
    assert address(" +1 (555) 123-4567") == "+15551234567" and address("Kith@Example.com ") == "kith@example.com"


def test_a_file_that_leads_elsewhere_is_not_fetched() -> None:
    event = raw("image")
    event["data"]["attachments"][0]["guid"] = "../../server/info"
    with pytest.raises(Invalid):
        parse(event, ARRIVAL)


def test_replies_keep_to_the_limit_and_are_known_again() -> None:
    found = render(Message("m", "assistant", (Text("**so on**. " * 2000), Image("abc", "image/png")), 0.0))
    assert all(len(piece.text) <= LIMIT for piece in found) and len(found) > 2
    assert found[-1].name == "abc.png"
    assert found[0].shown({"text": found[0].text + "\n"}) and not found[0].shown({"text": "so on."})
    assert found[-1].shown({"text": "\ufffc", "attachments": [{"transferName": "abc.png"}]})
    assert not Piece("").shown({"text": ""})
