"""Publications as brokers hand them over, and replies as they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.channels.kit import Arrival
from kith.channels.mqtt.parse import own_name, parse
from kith.channels.mqtt.render import LIMIT, render
from kith.channels.mqtt.settings import MqttSettings
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel

ARRIVAL = Arrival("local", 1_700_000_000.0)
FIXTURES = Path(__file__).parent / "fixtures"


def recorded(name: str) -> dict[str, Any]:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def test_json_with_an_id() -> None:
    heard = parse(recorded("json"), ARRIVAL)
    assert heard is not None
    assert (heard.platform_id, heard.sender, heard.conversation, heard.sender_name, heard.locale) == (
        "42", "kitchen", "kitchen", "Kitchen", "en",
    )  # fmt: skip
    assert heard.message.text == "is it warm?"


def test_bare_text_in_a_conversation_of_its_own() -> None:
    heard = parse(recorded("text"), ARRIVAL)
    assert heard is not None
    assert (heard.platform_id, heard.sender, heard.conversation) == ("x_2", "ann", "ann/garden")
    assert heard.message.text == "你好"


def test_what_was_retained_was_said_to_somebody_else() -> None:
    assert parse(recorded("retained"), ARRIVAL) is None


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "other/in/ann"}, {"topic": "kith/in/"}, {"topic": "kith/in/a/b/c"}, {"topic": "kith/in//b"},
        {"topic": "kith/in/+"}, {"topic": None}, {"payload": b"\xff\xfe"}, {"payload": ""}, {"payload": "   "},
        {"payload": "{}"}, {"payload": '{"text": 5}'}, {"payload": "{" * 50_000}, {"payload": "x" * 300_000},
        {"name": ""}, {"payload": 5}, {"payload": '{"text": "x", "id": "\\u0000"}'},
    ],
)  # fmt: skip
def test_hostile_publications(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse({**recorded("text"), **change}, ARRIVAL)


@given(payload=st.binary(max_size=300) | st.text(max_size=300), topic=st.text(max_size=60))
def test_anything_is_an_envelope_or_invalid(payload: bytes | str, topic: str) -> None:
    for place in (topic, f"kith/in/{topic}"):
        try:
            heard = parse({"topic": place, "payload": payload, "name": "x"}, ARRIVAL)
        except Invalid:
            continue
        assert isinstance(heard, Envelope)
    assert own_name(payload if isinstance(payload, bytes) else payload.encode("utf-8", "replace")) in (True, False)


def parcel(text: str) -> Parcel:
    said = Message("m", "assistant", (Text(text),), 1.5)
    return Parcel("p_1", 1, "c", "mqtt", "local", "ann/garden", said, reply_to="42")


def test_a_reply_has_an_id_that_stays() -> None:
    first, again = render(parcel("hello")), render(parcel("hello"))
    assert first == again
    wanted = {"id": "p_1-0", "text": "hello", "reply_to": "42", "at": 1.5, "last": True}
    assert json.loads(first[0]) == wanted
    assert render(parcel("hello"), bare=True) == [b"hello"]


@given(text=st.text(min_size=1, max_size=500).map(lambda text: text * 300))
def test_long_replies_are_cut(text: str) -> None:
    payloads = [json.loads(one) for one in render(parcel(text))]
    assert all(len(one["text"].encode()) <= LIMIT for one in payloads)
    assert [one["last"] for one in payloads] == [False] * (len(payloads) - 1) + [True] * bool(payloads)


@pytest.mark.parametrize("prefix", ["", "a/+/b", "#", "/x", "a\x00b"])
def test_a_prefix_has_no_wildcards(prefix: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        MqttSettings(prefix=prefix)
