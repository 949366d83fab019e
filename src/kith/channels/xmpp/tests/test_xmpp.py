"""Stanzas as servers send them, and bodies as they are sent."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.channels.kit import Arrival
from kith.channels.xmpp.parse import Self, parse, read
from kith.channels.xmpp.render import LIMIT, render
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

ARRIVAL = Arrival("local", 1_700_000_000.0)
FIXTURES = Path(__file__).parent / "fixtures"
OWN = Self("kith@home.test", {"tea@rooms.home.test": "Kith"})


def stanza(name: str) -> str:
    return (FIXTURES / f"{name}.xml").read_text("utf-8")


def test_a_chat_message_is_known_by_its_own_servers_archive() -> None:
    heard = parse(stanza("chat"), ARRIVAL, OWN)
    assert heard is not None
    assert (heard.sender, heard.conversation, heard.platform_id) == ("ann@home.test", "ann@home.test", "archive-1")
    assert heard.message.text == "hello 你好" and heard.kind == "direct"
    raw = read(stanza("chat"), OWN)
    assert raw.wants_receipt and raw.wants_marker and raw.id == "m1"


def test_a_room_message() -> None:
    heard = parse(stanza("room"), ARRIVAL, OWN)
    assert heard is not None
    assert (heard.sender, heard.conversation, heard.kind) == ("tea@rooms.home.test/Ann", "tea@rooms.home.test", "group")
    assert heard.mentioned and heard.message.text == "what time is it?" and heard.sender_name == "Ann"
    aside = parse(stanza("room").replace("Kith: what", "what"), ARRIVAL, OWN)
    assert aside is not None and not aside.mentioned
    assert parse(stanza("room").replace("/Ann", "/Kith"), ARRIVAL, OWN) is None
    private = parse(stanza("room").replace("groupchat", "chat"), ARRIVAL, OWN)
    assert private is not None and private.conversation == "tea@rooms.home.test/Ann" and private.kind == "direct"


def test_a_correction_names_what_it_corrects() -> None:
    heard = parse(stanza("correction"), ARRIVAL, OWN)
    assert heard is not None and heard.edits == "m1"


@pytest.mark.parametrize("name", ["composing", "error", "carbon"])
def test_signs_errors_and_carbons_are_no_messages(name: str) -> None:
    assert parse(stanza(name), ARRIVAL, OWN) is None


@pytest.mark.parametrize(
    "raw",
    [
        "", "<message", "<iq/>", "x", b"\xff", "<message><body>&lol;</body></message>", None,
        '<!DOCTYPE m [<!ENTITY a "aaaa">]><message from="a@b"><body>&a;</body></message>', "<message>" * 5000,
        "<message from='a@b'><body>" + "x" * 600_000 + "</body></message>",
    ],
)  # fmt: skip
def test_what_is_no_stanza_is_invalid(raw: object) -> None:
    with pytest.raises(Invalid):
        parse(raw, ARRIVAL, OWN)


@given(text=st.text(max_size=40), place=st.integers(0, 300), name=st.sampled_from(["chat", "room", "correction"]))
def test_recorded_stanzas_mutated(text: str, place: int, name: str) -> None:
    whole = stanza(name)
    try:
        heard = parse(whole[:place] + text + whole[place:], ARRIVAL, OWN)
    except Invalid:
        return
    assert heard is None or isinstance(heard, Envelope)


@given(text=st.text(max_size=3000))
def test_bodies_fit_and_are_xml(text: str) -> None:
    for body in render(Message("m", "assistant", (Text(text),), 0.0)):
        assert 0 < len(body.encode()) <= LIMIT
        element = ElementTree.Element("body")
        element.text = body
        ElementTree.fromstring(ElementTree.tostring(element))
