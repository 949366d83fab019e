"""The patterns of ``rules.toml``, compiled once, and the kinships of ``synonyms.txt``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of fact is told."""

    kind: str
    pattern: re.Pattern[str]
    confidence: float


def rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which they are tried."""
    found = cast("list[dict[str, Any]]", _file()["fact"])
    return tuple(Rule(str(one["kind"]), _compiled(str(one["pattern"])), float(one["confidence"])) for one in found)


def speech(name: str) -> re.Pattern[str]:
    """The pattern of one way to speak of the memory."""
    return _compiled(str(_file()["speech"][name]))


def asked() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """How people ask for facts of one kind about themselves."""
    return tuple((kind, _compiled(str(pattern))) for kind, pattern in _file()["asked"].items())


def endings() -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    """How people say that facts of some kinds hold no longer."""
    found = cast("list[dict[str, Any]]", _file()["ended"])
    return tuple((tuple(str(one["kinds"]).split("+")), _compiled(str(one["pattern"]))) for one in found)


def quoted() -> dict[str, re.Pattern[str]]:
    """How people ask for what they said, and what an answer to that has in it, by name."""
    return {name: _compiled(str(pattern)) for name, pattern in _file()["quoted"].items()}


def vocabulary(name: str) -> frozenset[str]:
    """A list of words."""
    return frozenset(str(_file()["words"][name]).split())


def kinships() -> Iterator[tuple[str, list[str], bool]]:
    """What is asked with, what it may have been told with, and whether that holds the other way too."""
    for line in (Path(__file__).parent / "synonyms.txt").read_text("utf-8").splitlines():
        asked, sign, told = line.partition(" = " if " = " in line else " > ")
        if sign and not line.startswith("#"):
            yield asked, told.split(), sign == " = "


def groups(name: str) -> tuple[str, ...]:
    """Words that mean the same, group by group."""
    return tuple(str(_file()["words"][name]).split("|"))


def _compiled(pattern: str) -> re.Pattern[str]:
    for name, text in cast("dict[str, str]", _file()["words"]).items():
        pattern = pattern.replace(f"{{{name}}}", text)
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "rules.toml").read_text("utf-8"))
