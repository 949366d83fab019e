"""Facts as they are told to the one whom they are about, and the questions that they answer. No model is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kith.dialogue.memory.patterns import asked, groups
from kith.dialogue.memory.ranks import rate
from kith.dialogue.understanding.normal import language, normal
from kith.runtime.locale import tr

_ASKED, _SAME = asked(), groups("same")
_SURE = 0.5  # how like a question a fact has to be to be told to it
_QUESTION = re.compile(
    r"[?？]\s*$|^(?:what|where|when|who|whose|which|how|do|does|did|is|are|am|have|has|can|could|will)\b"
    r"|什么|哪|谁|几|多少|吗|怎么|是不是|有没有",
    re.IGNORECASE,
)
_OWN = re.compile(r"\b(?:i|my|me|mine|our|we)\b|我|咱", re.IGNORECASE)


_TURNED = {
    "i am": "you are", "i'm": "you're", "i’m": "you’re", "i was": "you were", "i": "you", "my": "your", "me": "you",
    "mine": "yours", "myself": "yourself", "我": "你",
}  # fmt: skip
_YOURS = re.compile(
    rf"\b(?:{'|'.join(one for one in _TURNED if one.isascii() or '’' in one)})\b|我(?!们)", re.IGNORECASE
)


class Known(Protocol):
    """A fact, kept or only found."""

    @property
    def kind(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def value(self) -> str: ...

    @property
    def topic(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Question:
    """Facts that somebody asks for: of these kinds, of whom or what (`key`), or the one that has this `name`."""

    kinds: tuple[str, ...]
    key: str = ""
    name: str = ""

    def takes(self, fact: Known) -> bool:
        """Whether a fact answers it."""
        kind = fact.topic.partition(":")[0] if fact.kind == "note" else fact.kind  # what ended is told in a note
        if kind not in self.kinds:
            return False
        if self.name:
            return normal(fact.value) == self.name
        return not self.key or _one(self.key) in {_one(key_of(fact)), _one(key_of(fact).rpartition(" ")[2])}


def question(text: str) -> Question | None:
    """What a message asks for of what was told before; None for any other."""
    plain = normal(text)
    for kinds, pattern in _ASKED:
        if (match := pattern.fullmatch(plain)) is not None:
            said = {name[0]: value for name, value in match.groupdict().items() if value}
            return Question(tuple(kinds.split("+")), said.get("k", ""), said.get("v", ""))
    return None


def likely(text: str, facts: Sequence[Known]) -> Known | None:
    """The fact that a question about oneself is most like, if one is like it enough."""
    if not _QUESTION.search(text.strip()) or not _OWN.search(text):
        return None
    rated = rate(text, [f"{told(fact, language(fact.text))} {fact.text}" for fact in facts])
    best = max(rated, key=lambda one: one.score, default=None)
    return facts[best.index] if best is not None and best.score >= _SURE else None


def told(fact: Known, locale: str) -> str:
    """A fact as it is told to whom it is about; in the language `locale` where it is of a plain kind.

    Whose or which it is (sister, colour) stays in the words that were used, and so does what they wrote themselves.
    """
    key = key_of(fact)
    name = f"{fact.kind}_of" if key else fact.kind
    plain = (tr(f"memory.fact.{name}", lang, value=fact.value, of=key).casefold() for lang in ("en", "zh"))
    if fact.kind == "note":
        return _YOURS.sub(lambda found: _TURNED[found[0].casefold()], fact.text)
    if fact.text.casefold() not in plain:
        return fact.text
    return tr(f"memory.told.{name}", language(key) if key else locale, value=fact.value, of=key)


def _one(key: str) -> str:
    """One word for those that mean the same: mother for mum and 妈妈."""
    return next((group.split()[0] for group in _SAME if key in group.split()), key)


def key_of(fact: Known) -> str:
    """Of whom or what a fact of a family, of pets or of favourites is, in small letters; else empty."""
    parts = fact.topic.split(":")
    if parts[0] == "favourite":
        return parts[1] if len(parts) > 1 else ""
    same = "_of" if parts[0] in ("family", "pet") and len(parts) > 1 else ""
    templates = (tr(f"memory.fact.{parts[0]}", lang, value=fact.value) for lang in ("en", "zh")) if same else ()
    return parts[1] if same and fact.text not in templates else ""
