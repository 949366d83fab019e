"""Calls as the Cloud API makes them, replies as it takes them, and what its errors mean."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kith.channels.kit import Arrival
from kith.channels.whatsapp.parse import Receipt, parse, receipts, singles, values
from kith.channels.whatsapp.render import LIMIT, Piece, place, render, shown
from kith.channels.whatsapp.wire import judge
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Audio, Envelope, File, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"
ARRIVAL = Arrival("local", 1_700_000_100.0)
OURS = "wamid.HBgLMTY0NjcwNDM1OTUVAgARGBIyNDlBOEI5QUQ4NDc0N0FCNjMA"
FIRST = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ001A="


def raw(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def heard(name: str, number: str = "") -> Envelope:
    found = parse(raw(name), ARRIVAL, number)
    assert found is not None
    return found


def test_a_message() -> None:
    found = heard("text", "106540352242922")
    assert (found.platform_id, found.sender, found.conversation) == (FIRST, "16505551234", "16505551234")
    assert (found.kind, found.sender_name, found.mentioned) == ("direct", "Sheena Nelson", True)
    assert found.message.parts == (Text("Does it come in another color?"),)


def test_what_is_not_for_us_is_not_heard() -> None:
    assert parse(raw("text"), ARRIVAL, "42") is None  # another number of the same app
    assert parse(raw("text"), dataclasses.replace(ARRIVAL, at=1_700_000_000.0 + 9 * 86_400)) is None  # too old
    for name in ("system", "sent", "failed"):
        assert parse(raw(name), ARRIVAL) is None
    echo = raw("text")
    echo["entry"][0]["changes"][0]["value"]["messages"][0]["from"] = "15550783881"
    assert parse(echo, ARRIVAL) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("button", "Unsubscribe"),
        ("chosen", "Cancel"),
        ("listed", "Priority Mail Express\nNext Day to 2 Days"),
        ("form", '{"day": "Tuesday"}'),
        ("location", "Philz Coffee\n1 Hacker Way, Menlo Park, CA 94025\ngeo:37.4847,-122.1477"),
        ("contacts", "Barbara J. Johnson: +1 (650) 555-9999, b@example.com"),
        ("unsupported", "[poll_creation]"),
        ("scoped", "hello"),
    ],
)
def test_what_has_words(name: str, text: str) -> None:
    assert heard(name).message.text == text


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("image", Image("at:1003383421387256", "image/jpeg")),
        ("audio", Audio("at:1003383421387257", "audio/mpeg")),
        ("voice", Audio("at:1003383421387258", "audio/ogg")),
        ("document", File("at:1003383421387259", "application/pdf", "minutes.pdf")),
        ("video", File("at:1003383421387260", "video/mp4")),
        ("sticker", Image("at:1003383421387261", "image/webp")),
    ],
)
def test_files_wait_for_their_bytes(name: str, part: Any) -> None:
    assert heard(name).message.parts[-1] == part


def test_replies_reactions_and_changes_name_the_message() -> None:
    assert heard("reply").reply_to == OURS
    assert (heard("reaction").reaction, heard("reaction").reply_to) == ("👍", OURS)
    assert (heard("unreaction").reaction, heard("unreaction").message.parts) == ("-", ())
    assert (heard("edit").edits, heard("edit").message.text) == (FIRST, "Does it come in blue?")
    assert (heard("revoke").edits, heard("revoke").message.parts) == (FIRST, ())
    forwarded = heard("forwarded").message.parts[0]
    assert isinstance(forwarded, Text) and forwarded.outside
    quoting = raw("text")
    quoting["entry"][0]["changes"][0]["value"]["messages"][0]["text"]["body"] = "> as they said\nis that so?"
    assert (found := parse(quoting, ARRIVAL)) is not None
    assert found.message.parts == (Text("> as they said", outside=True), Text("is that so?"))


def test_a_group_and_somebody_without_a_number() -> None:
    group, scoped = heard("group"), heard("scoped")
    assert (group.kind, group.mentioned, group.message.text) == ("group", True, "what is on today?")
    assert place(group.conversation) == {"recipient_type": "group", "to": group.conversation}
    assert place(scoped.conversation) == {"recipient_type": "individual", "recipient": "US.13491208655302741918"}
    plain = raw("group")
    plain["entry"][0]["changes"][0]["value"]["messages"][0]["text"]["body"] = "@155507838811 hello"
    assert (found := parse(plain, ARRIVAL)) is not None and not found.mentioned


def test_a_call_with_several_entries() -> None:
    both = raw("text")
    both["entry"] += raw("image")["entry"] + raw("failed")["entry"] + [{"changes": [{"field": "account_update"}]}]
    both["entry"][0]["changes"][0]["value"]["messages"] *= 2
    found = values(both)
    assert len(found) == 3 and sum(len(list(singles(value))) for value in found) == 3
    (told,) = [receipt for value in found for receipt in receipts(value)]
    assert told.detail.startswith("Message failed to send")
    assert dataclasses.replace(told, detail="") == Receipt(OURS, "failed", "p1-0", 131047)


def test_replies_keep_to_the_limit_and_files_to_what_is_shown() -> None:
    large = Image("x", "image/png", size=6 << 20)
    parts = (Text("**bold** " + "\U0001f600" * 5000), Image("x", "image/png"), large, Audio("x", "audio/wav"))
    found = render(Message("m", "assistant", (*parts, File("x", "video/mp4", "a.mp4")), 0.0))
    assert [piece.kind for piece in found] == ["text"] * 3 + ["image", "document", "document", "video"]
    assert all(len(piece.text.encode("utf-16-le")) // 2 <= LIMIT for piece in found)
    assert found[0].text.startswith("*bold*")
    assert shown(Audio("x", "audio/ogg; codecs=opus")) == "audio"
    body = Piece("document", media=File("x", "text/plain", "a.txt")).body("1650", FIRST, "p-0", "7")
    assert body["document"] == {"id": "7", "filename": "a.txt"}
    assert (body["context"], body["biz_opaque_callback_data"]) == ({"message_id": FIRST}, "p-0")


@pytest.mark.parametrize(
    ("code", "tries", "kind", "after"),
    [(130429, 1, Unavailable, 4.0), (131056, 3, Unavailable, 64.0), (131056, 50, Unavailable, 300.0),
     (80007, 1, Unavailable, 60.0), (131016, 1, Unavailable, 10.0), (190, 1, Refused, None), (131047, 1, Refused, None),
     (131031, 1, Refused, None), (200, 1, Refused, None), (131026, 1, Invalid, None), (100, 1, Invalid, None)],
)  # fmt: skip
def test_what_an_error_means(code: int, tries: int, kind: type[KithError], after: float | None) -> None:
    error = judge(code, "why", tries)
    assert type(error) is kind and str(code) in error.message
    assert getattr(error, "retry_after", None) == after


def test_an_asked_for_wait_counts_when_it_is_longer() -> None:
    error = judge(130429, "", 1, 90.0)
    assert isinstance(error, Unavailable) and error.retry_after == 90.0
