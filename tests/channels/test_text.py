"""Long replies in pieces: nothing lost, nothing too long, code blocks whole on their own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.channels.text import Unit, _open_fence, measure, split

UNITS: tuple[Unit, ...] = ("chars", "utf16", "bytes")


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=400), limit=st.integers(8, 90), unit=st.sampled_from(UNITS))
def test_nothing_is_lost_and_nothing_too_long(text: str, limit: int, unit: Unit) -> None:
    text = text.replace("`", "'").replace("~", "-")
    pieces = split(text, limit, unit)
    assert all(measure(piece, unit) <= limit and piece.strip() for piece in pieces)
    assert squeezed("".join(pieces)) == squeezed(text)


LINES = st.sampled_from(["```", "```python", "~~~", "x = 1", "", "  y", "一句话。第二句!", "word " * 12, "````"])


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(LINES, max_size=30), limit=st.integers(30, 120), unit=st.sampled_from(UNITS))
def test_code_blocks_are_closed_and_opened_again(lines: list[str], limit: int, unit: Unit) -> None:
    text = "\n".join(lines)
    pieces = split(text, limit, unit)
    assert all(measure(piece, unit) <= limit for piece in pieces)
    assert not any(_open_fence(piece) for piece in pieces[:-1])
    kept = squeezed(re.sub(r"(?m)^(`+|~+)\w*$", "", "\n".join(pieces)))
    assert kept == squeezed(re.sub(r"(?m)^(`+|~+)\w*$", "", text))


def test_cuts_stand_where_a_reader_would_cut() -> None:
    assert split("First paragraph here.\n\nSecond one.", 25) == ["First paragraph here.", "Second one."]
    assert split("One sentence. Another one follows", 20) == ["One sentence.", "Another one follows"]
    assert split("今天天气很好。我们去公园吧！", 10) == ["今天天气很好。", "我们去公园吧！"]
    assert split("a b c d e f", 4) == ["a b", "c d", "e f"]
    assert split("\n \n", 10) == []
    assert split("short", 10) == ["short"]


def test_a_code_block_keeps_its_language() -> None:
    code = "\n".join(f"line {n}" for n in range(12))
    pieces = split(f"Look:\n```python\n{code}\n```\ndone", 60)
    assert len(pieces) > 2
    assert all(piece.count("```") % 2 == 0 for piece in pieces)
    assert all("```python\n" in piece for piece in pieces if "line" in piece)


@pytest.mark.parametrize("whole", ["👨‍👩‍👧‍👦", "👍🏽", "e\u0301", "🇩🇪", "❤️"])
def test_no_cut_within_what_is_seen_as_one(whole: str) -> None:
    for before in range(4, 16):
        for piece in split("x" * before + whole + "y" * 20, 16):
            assert whole in piece or not set(whole) & set(piece)


def test_a_hundred_thousand_characters_without_a_space() -> None:
    for unit in UNITS:
        pieces = split("字" * 100_000, 400, unit)
        assert sum(map(len, pieces)) == 100_000


def test_a_limit_that_is_no_limit() -> None:
    with pytest.raises(ValueError, match="small"):
        split("x", 3)
