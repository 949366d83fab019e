"""Events as homeservers hand them over, and contents as they are sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.channels.kit import Arrival
from kith.channels.matrix.parse import parse
from kith.channels.matrix.render import LIMIT, render
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

ARRIVAL = Arrival("local", 1_700_000_000.0)
OWN = "@kith:home.test"
FIXTURES = Path(__file__).parent / "fixtures"


def recorded(name: str) -> dict[str, Any]:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def heard(name: str) -> Envelope:
    found = parse(recorded(name), ARRIVAL, OWN)
    assert found is not None
    return found


def test_a_direct_message() -> None:
    found = heard("text")
    assert (found.sender, found.conversation, found.kind) == ("@ann:home.test", "!r:home.test", "direct")
    assert found.platform_id == "$e1:home.test" and found.message.text == "hello 你好" and found.sender_name == "Ann"


def test_a_mention_in_a_group() -> None:
    found = heard("group")
    assert found.kind == "group" and found.mentioned and found.message.text == "what time is it?"
    aside = recorded("group")
    aside["event"]["content"] = {"msgtype": "m.text", "body": "the kitchen is warm"}
    quiet = parse(aside, ARRIVAL, OWN)
    assert quiet is not None and not quiet.mentioned


def test_an_edit_names_what_it_replaces() -> None:
    assert heard("edit").edits == "$e0:home.test" and heard("edit").message.text == "hello there"


def test_a_reply_in_a_thread_without_its_quotation() -> None:
    found = heard("reply")
    assert (found.reply_to, found.thread) == ("$e0:home.test", "$t:home.test")
    assert found.message.text == "really?"


def test_a_reaction_and_a_redaction() -> None:
    assert heard("reaction").reaction == "👍" and heard("reaction").reply_to == "$e0:home.test"
    taken = heard("redaction")
    assert taken.edits == "$e0:home.test" and not taken.message.parts


@pytest.mark.parametrize("name", ["notice", "state"])
def test_bots_and_states_are_not_answered(name: str) -> None:
    assert parse(recorded(name), ARRIVAL, OWN) is None
    assert parse(recorded("text"), ARRIVAL, "@ann:home.test") is None


@pytest.mark.parametrize(
    "event",
    [
        None, [], "x", {"sender": "@a:b", "type": "m.room.message", "content": {"msgtype": "m.text", "body": "x"}},
        {"sender": "@a:b", "type": "m.room.message", "event_id": "$1", "content": {"msgtype": "m.text", "body": " "}},
    ],
)  # fmt: skip
def test_what_is_no_event_is_invalid(event: Any) -> None:
    with pytest.raises(Invalid):
        parse({"room": "!r:b", "event": event}, ARRIVAL, OWN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@given(
    name=st.sampled_from(["text", "edit", "reply", "reaction", "redaction", "group"]),
    key=st.sampled_from(["content", "sender", "type", "event_id", "redacts", "body", "m.relates_to", "msgtype"]),
    value=JSON,
)
def test_recorded_events_mutated(name: str, key: str, value: Any) -> None:
    raw = recorded(name)
    event = raw["event"]
    target = event["content"] if key in ("body", "m.relates_to", "msgtype") else event
    target[key] = value
    try:
        found = parse(raw, ARRIVAL, OWN)
    except Invalid:
        return
    assert found is None or isinstance(found, Envelope)


@given(text=st.text(max_size=2000).map(lambda text: text * 8))
def test_contents_fit_into_an_event(text: str) -> None:
    for content in render(Message("m", "assistant", (Text(text),), 0.0)):
        assert 0 < len(content["body"].encode()) <= LIMIT
        assert len(json.dumps(content, ensure_ascii=False).encode()) < 65_536


def test_markdown_goes_as_html_beside_the_text() -> None:
    content = render(Message("m", "assistant", (Text("**hello**"),), 0.0))[0]
    assert content["body"] == "**hello**" and "<strong>hello</strong>" in content["formatted_body"]
    assert "formatted_body" not in render(Message("m", "assistant", (Text("hello"),), 0.0))[0]
