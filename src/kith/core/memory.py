"""What is remembered of a person: facts, each with who told it, when and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about one person, who told it in `turn` of `conversation` at `at`.

    `text` is a sentence in the language it was told in and `value` the words in it that matter. Of all facts with one
    `topic` (such as ``home``) the newest holds: an older one names it in `replaced`, and is kept as history.
    `confidence` is in 0..1; `by` says who noticed it.
    """

    id: str
    person: str
    kind: str
    text: str
    value: str
    topic: str
    at: float
    confidence: float = 1.0
    conversation: str = ""
    turn: str = ""
    by: Literal["rule", "model", "person"] = "rule"
    replaced: str = ""
