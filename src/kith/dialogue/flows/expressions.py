"""Regular expressions written by strangers: compiled only when they cannot take forever.

Python's engine tries every way to match. Three shapes make that explode: a repeat inside a repeat, a repeated choice
whose branches begin alike, and two long repeats side by side that accept the same characters. Those are refused, so
that a text of 2,000 characters costs milliseconds at most.
"""

from __future__ import annotations

import importlib
import re
import warnings
from typing import Any, cast

WIDE = 32  # a repeat that may go on longer than this counts as unbounded
_NARROW = 20_000  # the product of the shorter repeats
_STEPS = 20_000
_PROBES = "".join(map(chr, range(9, 127))) + "\u00a0éßЖλ中国年月日元一、。！１Ａ\u3000"  # and those of the pattern

Chars = frozenset[str]


def compile_safe(pattern: str) -> re.Pattern[str]:
    """Compile, ignoring case. Raises `ValueError` with the reason when it is wrong or could take forever."""
    parser = importlib.import_module("re._parser")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "possible nested set": a doubtful style, not a mistake
            compiled = re.compile(pattern, re.IGNORECASE)
            tree = cast("list[Any]", parser.parse(pattern, re.IGNORECASE))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    walk = _Walk(frozenset(_PROBES + pattern.lower() + pattern.upper() + pattern))
    walk.sequence(tree, repeated=False)
    return compiled


class _Walk:
    """One pass over the parsed pattern. `open` are the characters that the last wide repeats could still take."""

    def __init__(self, probes: Chars) -> None:
        self.probes = probes
        self.steps = 0
        self.narrow = 1
        self.open: list[Chars] = []

    def sequence(self, items: Any, *, repeated: bool) -> None:
        for code, argument in items:
            self.steps += 1
            if self.steps > _STEPS or self.narrow > _NARROW:
                raise ValueError("has too many repeats one inside or after another")
            self._item(str(code), argument, repeated=repeated)

    def _item(self, code: str, argument: Any, *, repeated: bool) -> None:
        if code in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            self._repeat(*argument, repeated=repeated)
        elif code == "SUBPATTERN":
            self.sequence(argument[3], repeated=repeated)
        elif code == "ATOMIC_GROUP":
            self.sequence(argument, repeated=repeated)
        elif code == "BRANCH":
            self._branch(argument[1], repeated=repeated)
        elif code in ("ASSERT", "ASSERT_NOT"):
            self.sequence(argument[1], repeated=True)
        elif code in ("GROUPREF", "GROUPREF_EXISTS", "GROUPREF_IGNORE"):
            raise ValueError("refers back to a group, which is not allowed here")
        elif code != "AT":
            chars = self._chars(code, argument)
            self.open = [earlier for earlier in self.open if earlier & chars]

    def _repeat(self, low: int, high: int, body: Any, *, repeated: bool) -> None:
        if low == high and high <= WIDE and not repeated:
            for _ in range(low):
                self.sequence(body, repeated=repeated)
            return
        if repeated:
            raise ValueError("has a repeat inside a repeat, which can take forever")
        if high <= WIDE:
            before = list(self.open)
            self.narrow *= high + 1
            self.sequence(body, repeated=high > 1)
            self.open = self.open if low else before
            return
        chars = self._union(body)
        if any(earlier & chars for earlier in self.open):
            raise ValueError("has two unlimited repeats that accept the same characters, which can take forever")
        before = list(self.open)
        self.sequence(body, repeated=True)
        self.open = [*before, chars]

    def _branch(self, branches: Any, *, repeated: bool) -> None:
        if repeated:
            firsts = [self._union(branch[:1]) if len(branch) else self.probes for branch in branches]
            if sum(map(len, firsts)) > len(frozenset[str]().union(*firsts)):
                raise ValueError("repeats a choice whose branches begin alike, which can take forever")
        before, after = list(self.open), list[Chars]()
        for branch in branches:
            self.open = list(before)
            self.sequence(branch, repeated=repeated)
            after += self.open
        self.open = after

    def _union(self, items: Any) -> Chars:
        """Every probe that one of the items may take."""
        found: Chars = frozenset()
        for code, argument in items:
            name = str(code)
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                found |= self._union(argument[2])
            elif name == "SUBPATTERN":
                found |= self._union(argument[3])
            elif name == "ATOMIC_GROUP":
                found |= self._union(argument)
            elif name == "BRANCH":
                found |= frozenset[str]().union(*(self._union(branch) for branch in argument[1]))
            elif name not in ("AT", "ASSERT", "ASSERT_NOT"):
                found |= self._chars(name, argument)
        return found

    def _chars(self, code: str, argument: Any) -> Chars:
        """The probes that a single-character item takes; a literal outside of them stands for itself."""
        if code == "LITERAL":
            letter = chr(argument)
            return frozenset((letter.lower(), letter.upper(), letter)) if letter in self.probes else self.probes
        if code == "NOT_LITERAL":
            return self.probes - {chr(argument)}
        if code == "ANY":
            return self.probes
        if code != "IN":
            return self.probes
        found: Chars = frozenset()
        negated = False
        for kind, value in argument:
            match str(kind):
                case "NEGATE":
                    negated = True
                case "RANGE":
                    low, high = value
                    inside = {
                        c for c in self.probes if any(low <= ord(x) <= high for x in (c, c.lower()[:1], c.upper()[:1]))
                    }
                    found |= inside or self.probes
                case "CATEGORY":
                    found |= self._category(str(value))
                case _:
                    found |= self._chars(str(kind), value)
        return self.probes - found if negated else found

    def _category(self, name: str) -> Chars:
        shape = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[name.removeprefix("CATEGORY_").removeprefix("NOT_")]
        inside = frozenset(c for c in self.probes if re.match(shape, c))
        return self.probes - inside if "NOT_" in name else inside
