"""Identifiers, errors and the wire form of the domain types."""

import random

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import Fault, Invalid, Refused
from kith.core.ids import Ids, conversation_id, person_id
from kith.core.message import Audio, Data, File, Image, Message, Text, ToolCall, ToolResult
from kith.core.turn import Turn
from kith.runtime.codec import decode, encode


def test_ids_sort_in_the_order_of_their_making_even_when_the_clock_steps_back() -> None:
    clock = FrozenClock()
    ids = Ids(clock, random.Random(1))
    made = [ids.new("m") for _ in range(100)]
    clock.jump(-3600)
    made += [ids.new("m") for _ in range(100)]
    clock.jump(7200)
    made += [ids.new("m") for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == 300
    assert all(len(one) == 28 for one in made)


def test_derived_ids_do_not_collide_across_separators() -> None:
    assert conversation_id("a", "b", "c") == conversation_id("a", "b", "c")
    assert len({conversation_id("a", "b", "c"), conversation_id("ab", "", "c"), conversation_id("a", "bc", "")}) == 3
    assert person_id("a", "b", "\ud800").startswith("p_")


def test_every_part_survives_the_wire() -> None:
    parts = (
        Text("你好\u0000"),
        Image("ab", "image/png", "a.png", 3),
        Audio("cd", "audio/ogg"),
        File("ef", "text/plain"),
        Data("table", {"rows": [[1, 2.5, None, "x"]]}),
        ToolCall("1", "add", '{"a": 1}'),
        ToolResult("1", "2", failed=True),
    )
    message = Message("m", "user", parts, 1.5)
    turn = Turn("t", "c", "p", 1.5, message, (message,))
    assert decode(Turn, encode(turn)) == turn


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"id": 3}', b"\xff", b"[" * 10_000])
def test_what_is_not_a_turn_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid, match="not a Turn"):
        decode(Turn, raw)


def test_errors_say_where_and_what_to_do() -> None:
    error = Invalid("flow.json cannot be used", file="flow.json", faults=(Fault("intents[0].name", "is required", 3),))
    assert str(error) == "flow.json cannot be used\n  flow.json:3 intents[0].name is required"
    assert Refused("slow down", retry_after=2.0).status == 429
    assert Refused("who?", code="unauthenticated").status == 401
