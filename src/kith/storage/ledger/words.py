"""Taking words out of stored documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from kith.core.memory import Fact

GONE = "[…]"
"""What stands where something was forgotten."""

_TELLING = re.compile(r"\w*\d\w*")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_SHORT_LATIN, _SHORT_HAN, _DIGITS = 3, 2, 3

Blot = Callable[[str], str]


def telling(facts: Iterable[Fact]) -> list[str]:
    """The words by which facts could be known again: what they say, and codes and numbers within.

    Words that are too short to mean only this are left out: of them only the places where they were told are known.
    """
    found: dict[str, None] = {}
    for fact in facts:
        words = [fact.value.strip(), *(word for word in _TELLING.findall(fact.value) if len(word) >= _DIGITS)]
        for word in words:
            if len(word) >= (_SHORT_HAN if _HAN.search(word) else _SHORT_LATIN):
                found[word] = None
    return sorted(found, key=len, reverse=True)


def blotter(words: Sequence[str]) -> Blot:
    """A function that puts `GONE` in the place of these words, whatever their case."""
    if not words:
        return lambda text: text
    pieces = [re.escape(word) if _HAN.search(word) else rf"(?<!\w){re.escape(word)}(?!\w)" for word in words]
    pattern = re.compile("|".join(pieces), re.IGNORECASE)
    return lambda text: pattern.sub(GONE, text)


def blotted(value: Any, blot: Blot, spare: Collection[str] = ()) -> Any:
    """A JSON value with every text in it gone over, but what stands under one of the names to `spare`."""
    if isinstance(value, str):
        return blot(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {key: item if key in spare else blotted(item, blot, spare) for key, item in items}
    if isinstance(value, list):
        return [blotted(item, blot, spare) for item in cast("list[Any]", value)]
    return value


def emptied(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A stored turn of which only that it happened is left."""
    said = [gone(cast("Mapping[str, Any]", message)) for message in turn["spoke"]]
    understood: dict[str, Any] = {**turn["understanding"], "entities": ()}
    rest: dict[str, Any] = {"spoke": said, "understanding": understood, "passages": (), "calls": ()}
    return {**turn, "heard": gone(turn["heard"]), **rest}


def gone(message: Mapping[str, Any]) -> dict[str, Any]:
    """A stored message without what it said."""
    return {**message, "parts": [{"text": GONE, "type": "text"}]}
