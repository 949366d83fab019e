"""What a sieve holds back cannot match; most of what cannot match is held back."""

from __future__ import annotations

import random
import re

import pytest

from kith.runtime.sieve import Sieve, needed

FORMS = (
    "kill (?:me|you)", "how to.{0,5}(?:bomb|gun)", "炸(?:弹|药)", "[造做]弹", "a?b", "(?:ab)+c", "x*", r"\d{3}",
    "(?i)Gun", "(?i:G)un", "gr[ae]y", "(?!no)yes", "(?<=a)b", r"\bkey\b", "(a)\\1", "(?:a|)", "[^a]bc", "a.c",
    "colou?r|灰色", "a{2,3}", "(?>ab|c)d", "k[a-e]|l+?", "(?:x|yz){2}", "", ".*",
    "弹|[\u3400-\u9fff]药", "(?s:.)end", "(?#said)aloud",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_matches_is_held_back(form: str) -> None:
    expression, draw = re.compile(form), random.Random(7)
    sieve = Sieve([expression])
    letters = sorted({*"abcdeghiklmnotuwxyz 炸弹药造灰色GK\n1", *(sign for sign in form if sign.isalnum())})
    pieces = [*re.findall(r"\w+", form), *letters]
    for _ in range(2000):
        text = "".join(draw.choices(pieces, k=draw.randrange(8)))
        if expression.search(text):
            assert sieve.possible(text) == [0], text


def test_what_an_expression_needs_is_read_off_it() -> None:
    assert needed(re.compile("kill (?:me|you)")) == {"kill me", "kill you"}
    assert needed(re.compile("gr[ae]y.{0,9}夜")) == {"gray", "grey"}
    assert needed(re.compile(r"\bcolou?rs?\b")) == {"color", "colour", "colors", "colours"}
    for form in ("x*", r"\d+", "(?i)gun", "a|", "", "[^a]", "(?:a|.)"):
        assert needed(re.compile(form)) is None


def test_only_what_could_match_is_let_through_in_order() -> None:
    sieve = Sieve([re.compile(form) for form in ("bomb", r"\d", "gun", "弹", "bo+m")])
    assert sieve.possible("a bomb") == [0, 1, 4]
    assert sieve.possible("") == sieve.possible("hello there") == [1]
    assert sieve.possible("弹" * 10_000 + "gun\ud800\x00") == [1, 2, 3]
