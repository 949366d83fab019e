"""Which of many expressions could match a text, found without running them: each has letters that it cannot do without.

For an expression the strings of which one has to occur are read off its parse tree, as RE2's prefilter does it (Cox,
"Regular Expression Matching with a Trigram Index", 2012). A text is cut into pieces of one to three characters; only
an expression one of whose strings begins with such a piece, and stands in the text, is worth a search. What it lets
through may still not match; what it holds back cannot. An expression without such strings is always let through.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, cast

_PARSER: Any = importlib.import_module("re._parser")  # the standard library's own, so nothing is read differently
_MOST, _PIECE = 128, 3  # strings of one expression; characters
Found = tuple[frozenset[str] | None, frozenset[str] | None]
"""All that a part of an expression can match where that is little, and strings of which its match contains one."""
_ANYTHING: Found = (None, None)
_NOTHING: Found = (frozenset({""}), None)


class Sieve:
    """Holds back expressions that cannot match."""

    def __init__(self, forms: Sequence[re.Pattern[str]]) -> None:
        self._always: list[int] = []
        self._table: dict[str, list[tuple[str, int]]] = {}
        for number, form in enumerate(forms):
            strings = needed(form)
            if strings is None:
                self._always.append(number)
            for one in strings or ():
                self._table.setdefault(one[:_PIECE], []).append((one, number))
        self._keys = frozenset(self._table)

    def possible(self, text: str) -> list[int]:
        """The places, in order, of the expressions that could match somewhere in `text`."""
        found = set(self._always)
        pairs = {*text, *map(str.__add__, text, text[1:])}
        pieces = pairs.union(map(str.__add__, map(str.__add__, text, text[1:]), text[2:]))
        for piece in self._keys & pieces:
            for one, number in self._table[piece]:
                if number not in found and one in text:
                    found.add(number)
        return sorted(found)


def needed(form: re.Pattern[str]) -> frozenset[str] | None:
    """Strings of which every match of `form` contains at least one; None where there are none, or too many."""
    if form.flags & re.IGNORECASE:
        return None
    whole, some = _sequence(_PARSER.parse(form.pattern, form.flags & ~re.UNICODE))
    return some if whole is None else _solid(whole)


def _sequence(items: Iterable[Any]) -> Found:
    run, best, broken = frozenset({""}), cast("frozenset[str] | None", None), False
    for item in items:
        whole, some = _part(*item)
        if whole is not None and len(run) * len(whole) <= _MOST:
            run = frozenset(map("".join, product(run, whole)))
            continue
        broken = True
        best = _better(_better(best, _solid(run)), some if whole is None else None)
        run = frozenset({""}) if whole is None else whole
    best = _better(best, _solid(run))
    return (None, best) if broken else (run, best)


def _part(kind: Any, given: Any) -> Found:
    match kind.name:
        case "LITERAL":
            return frozenset({chr(given)}), None
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return _NOTHING
        case "IN":
            return _class(given)
        case "BRANCH":
            return _either([_sequence(items) for items in given[1]])
        case "SUBPATTERN":
            return _ANYTHING if given[1] & re.IGNORECASE else _sequence(given[3])
        case "MAX_REPEAT" | "MIN_REPEAT":
            return _repeated(given[0], given[1], _sequence(given[2]))
        case _:
            return _ANYTHING


def _repeated(least: int, most: int, found: Found) -> Found:
    whole, some = found
    if least == most == 1:
        return found
    if least == 0:
        return (whole | {""}, None) if whole is not None and most == 1 else _ANYTHING
    return None, some if whole is None else _solid(whole)


def _either(found: Sequence[Found]) -> Found:
    wholes = [whole for whole, _ in found if whole is not None]
    if len(wholes) == len(found) and sum(map(len, wholes)) <= _MOST:
        return frozenset[str]().union(*wholes), None
    needs = [some if whole is None else _solid(whole) for whole, some in found]
    present = [some for some in needs if some is not None]
    if len(present) < len(needs) or sum(map(len, present)) > 2 * _MOST:
        return _ANYTHING
    return None, frozenset[str]().union(*present)


def _class(given: Sequence[tuple[Any, Any]]) -> Found:
    letters: set[str] = set()
    for kind, value in given:
        if kind.name == "LITERAL":
            letters.add(chr(value))
        elif kind.name == "RANGE" and value[1] - value[0] < _MOST:
            letters.update(map(chr, range(value[0], value[1] + 1)))
        else:
            return _ANYTHING
    return (frozenset(letters), None) if len(letters) <= _MOST else _ANYTHING


def _solid(strings: frozenset[str]) -> frozenset[str] | None:
    """`strings` where none is empty: an empty one is in every text."""
    return strings if strings and "" not in strings else None


def _better(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """The one that lets fewer texts through: longer strings before fewer strings."""
    given = [strings for strings in (one, other) if strings]
    return max(given, key=lambda strings: (min(_PIECE, *map(len, strings)), -len(strings)), default=None)
