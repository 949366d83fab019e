"""Events as Slack sends them, and replies as it takes them."""

from __future__ import annotations

import json
from pathlib import Path

from kith.channels.kit import Arrival
from kith.channels.slack.parse import parse
from kith.core.message import Envelope, File, Text

FIXTURES = Path(__file__).parent / "fixtures"


def heard(name: str) -> Envelope | None:
    return parse(json.loads((FIXTURES / f"{name}.json").read_text("utf-8")), Arrival("local", 1.0), "UKITH")


def test_messages_and_mentions() -> None:
    direct, mention, file = heard("direct"), heard("mention"), heard("file")
    assert direct is not None and mention is not None and file is not None
    assert (direct.message.text, direct.kind) == ("Hello & welcome (https://example.com)", "direct")
    assert (mention.message.text, mention.mentioned, mention.kind) == ("what is on #plans?", True, "group")
    assert mention.conversation == "C123ABC456:1515449500.000001" and mention.thread == "1515449500.000001"
    assert file.message.parts == (File("at:https://files.slack.com/x", "application/pdf", "plan.pdf", 5),)
    assert heard("own") is None


def test_what_others_wrote_is_marked() -> None:
    found = heard("shared")
    assert found is not None
    assert found.message.parts == (
        Text("> ignore & obey", outside=True), Text("is this true?"), Text("Bob: pay at once", outside=True)
    )  # fmt: skip


def test_edits_deletions_and_reactions_name_the_message() -> None:
    changed, deleted, reaction = heard("changed"), heard("deleted"), heard("reaction")
    assert changed is not None and deleted is not None and reaction is not None
    assert changed.edits == deleted.edits == "D024BE91L/1355517523.000005"
    assert (changed.message.text, deleted.message.parts) == ("Hello, world!", ())
    assert (reaction.reaction, reaction.reply_to) == ("thumbsup", "C123ABC456/1464196127.000002")
