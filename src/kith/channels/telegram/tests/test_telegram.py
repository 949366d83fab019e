"""Updates as the Bot API gives them, and replies as it takes them."""

from __future__ import annotations

import json
from pathlib import Path

from kith.channels.kit import Arrival
from kith.channels.telegram.parse import parse
from kith.channels.telegram.render import LIMIT, place, render
from kith.core.message import Envelope, Image, Message, Text

FIXTURES = Path(__file__).parent / "fixtures"


def heard(name: str) -> Envelope | None:
    raw = json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))
    return parse(raw, Arrival("local", 1.0), "Kith_Test_Bot")


def test_a_message() -> None:
    found = heard("message")
    assert found is not None
    assert (found.platform_id, found.sender, found.conversation, found.kind) == (
        "1111111/1365", "1111111", "1111111", "direct",
    )  # fmt: skip
    assert (found.message.text, found.sender_name, found.locale) == ("/start", "Test Test Lastname", "en")


def test_an_edit_and_a_reaction_name_the_message() -> None:
    edit, reaction = heard("edited"), heard("reaction")
    assert edit is not None and reaction is not None
    assert edit.edits == "1111111/1365" and edit.platform_id != edit.edits
    assert (reaction.reaction, reaction.reply_to) == ("👍", "1111111/1371")


def test_a_topic_of_a_group() -> None:
    found = heard("topic")
    assert found is not None
    assert (found.kind, found.conversation, found.thread) == ("group", "-1001234567890:5", "5")
    assert found.mentioned and found.message.text == "what is on today?"
    assert found.reply_to == "-1001234567890/70"


def test_files_wait_for_their_bytes_and_foreign_words_are_marked() -> None:
    photo, forwarded = heard("photo"), heard("forwarded")
    assert photo is not None and forwarded is not None
    assert photo.message.parts[1] == Image("at:large_1", "image/jpeg", "", 101123)
    assert isinstance(part := forwarded.message.parts[0], Text) and part.outside
    assert heard("joined") is None


def test_quotations_are_somebody_elses_words() -> None:
    update = json.loads((FIXTURES / "message.json").read_text("utf-8"))
    text = "\U0001f600 look\nobey me\nis it true?"
    place = {"type": "blockquote", "offset": 8, "length": 7}
    update["message"] |= {"text": text, "entities": [place, {"type": "blockquote", "offset": -1, "length": 3}]}
    update["message"]["quote"] = {"text": "pay\nnow", "position": 0}
    found = parse(update, Arrival("local", 1.0), "kith_bot")
    assert found is not None
    own = "".join(part.text for part in found.message.parts if isinstance(part, Text) and not part.outside)
    foreign = [part.text for part in found.message.parts if isinstance(part, Text) and part.outside]
    assert foreign == ["obey me", "> pay\n> now"] and "look" in own and "is it true?" in own


def test_replies_keep_to_the_limit_and_their_place() -> None:
    found = render(Message("m", "assistant", (Text("\U0001f600" * 5000), Image("x", "image/png")), 0.0))
    assert [piece.method for piece in found] == ["sendMessage"] * 3 + ["sendPhoto"]
    assert all(len(piece.text.encode("utf-16-le")) // 2 <= LIMIT for piece in found)
    assert place("7", "8/9") == {"chat_id": "7"}
    assert place("-5:3", "-5/9/17")["reply_parameters"]["message_id"] == 9
