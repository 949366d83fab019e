"""Lines of IRC as servers send them, and replies as servers take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.channels.irc.parse import parse, read
from kith.channels.irc.render import LIMIT, render
from kith.channels.kit import Arrival
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

ARRIVAL = Arrival("local", 1_700_000_000.0)
FIXTURES = Path(__file__).parent / "fixtures"
HEARD: dict[str, dict[str, Any] | None] = {
    "private": {"sender": "ann", "conversation": "ann", "kind": "direct", "text": "hello there", "mentioned": True},
    "folded": {
        "sender": "ann{x}",
        "conversation": "#tea",
        "kind": "group",
        "text": "what time is it?",
        "mentioned": True,
    },
    "aside": {
        "sender": "ann",
        "conversation": "#tea",
        "kind": "group",
        "text": "the kitchen is warm",
        "mentioned": False,
    },
    "mentioned": {
        "sender": "ann",
        "conversation": "#tea",
        "kind": "group",
        "text": "ask @kith about it",
        "mentioned": True,
    },
    "chinese": {"sender": "ann", "conversation": "#tea", "kind": "group", "text": "你好", "mentioned": True},
    "tagged": {
        "sender": "ann",
        "conversation": "ann",
        "kind": "direct",
        "text": "red and bold",
        "platform_id": "abc 1",
        "mentioned": True,
    },
    "robot": {
        "sender": "robo",
        "conversation": "#tea",
        "kind": "group",
        "text": "beep",
        "bot": True,
        "mentioned": True,
    },
    "action": {"sender": "ann", "conversation": "ann", "kind": "direct", "text": "* ann waves", "mentioned": True},
    "version": None,
    "notice": None,
    "own": None,
    "welcome": None,
    "ping": None,
}


def line(name: str) -> bytes:
    return (FIXTURES / f"{name}.txt").read_bytes()


@pytest.mark.parametrize("name", HEARD)
def test_recorded_lines(name: str) -> None:
    heard, wanted = parse(line(name), ARRIVAL), HEARD[name]
    if wanted is None:
        assert heard is None
        return
    assert heard is not None
    assert {"text": heard.message.text} | {key: getattr(heard, key) for key in wanted if key != "text"} == wanted


def test_who_speaks_may_be_the_account_only() -> None:
    known = parse("@account=Ann :nick!u@h PRIVMSG kith :hi", ARRIVAL, accounts=True)
    assert known is not None and known.sender == "Ann" and known.conversation == "nick"
    assert parse(":nick!u@h PRIVMSG kith :hi", ARRIVAL, accounts=True) is None


def test_the_same_line_at_the_same_time_is_the_same_message() -> None:
    line = ":ann!~a@h PRIVMSG kith :hello"
    first, again = parse(line, ARRIVAL), parse(line, ARRIVAL)
    later = parse(line, Arrival("local", ARRIVAL.at + 1))
    assert first is not None and first == again and later is not None
    assert first.platform_id != later.platform_id


def test_old_encodings_are_read() -> None:
    heard = parse(":ann!a@h PRIVMSG kith :gr\u00fc\u00df dich".encode("latin-1"), ARRIVAL)
    assert heard is not None and heard.message.text == "gr\u00fc\u00df dich"


@pytest.mark.parametrize(
    "raw", [b"", b"\r\n", b"@a=b", b":only.source", b":a b\x00c", b"x" * 20_000, b":a PRIVMSG kith"]
)
def test_what_is_no_line_is_invalid(raw: bytes) -> None:
    with pytest.raises(Invalid):
        parse(raw, ARRIVAL)


@given(raw=st.binary(max_size=200), place=st.integers(0, 200), name=st.sampled_from(sorted(HEARD)))
def test_recorded_lines_mutated(raw: bytes, place: int, name: str) -> None:
    whole = line(name)
    try:
        heard = parse(whole[:place] + raw + whole[place:], ARRIVAL)
    except Invalid:
        return
    assert heard is None or isinstance(heard, Envelope)


def said(text: str) -> list[str]:
    return render(Message("m", "assistant", (Text(text),), 0.0))


def test_a_reply_becomes_lines_without_markdown() -> None:
    text = "# Title\n\n**bold** and [a link](https://example.org)\n```python\nprint(1)\n```\nlast"
    assert said(text) == ["Title", "bold and a link (https://example.org)", "print(1)", "last"]


@given(text=st.text(max_size=1500))
def test_no_line_is_too_long_or_smuggles_a_command(text: str) -> None:
    for piece in said(text):
        assert 0 < len(piece.encode("utf-8", "replace")) <= LIMIT
        assert not any(char in piece for char in "\r\n\x00\x01")
        assert read(f":a!b@c PRIVMSG x :{piece}".encode("utf-8", "replace")).command == "PRIVMSG"
