"""What no longer holds, and what was told wrongly: "I no longer work there", "her name is Anna, not Ann"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from kith.core.memory import Fact
from kith.dialogue.memory.answers import key_of
from kith.dialogue.memory.patterns import endings, speech, vocabulary
from kith.dialogue.memory.ranks import words
from kith.dialogue.memory.rules import Found, clauses, corrects, make
from kith.dialogue.understanding.normal import language

_ENDINGS, _MENDS, _NOT_TOLD = endings(), speech("mends"), speech("not_told")
_NAMED = ("family", "pet", "name")
_PARTNERS = vocabulary("partners")
_LONGEST, _TEXT = 4000, 300
_LATELY = 180.0  # seconds
_NAME = re.compile(  # what a name looks like where nobody says which one was wrong: "no, it's for the swing" names none
    r"[A-ZÀ-ÞĀ-ſ][^\W\d_]*(?:[ '’-](?:[A-ZÀ-ÞĀ-ſ]|de|van|von|la|bin)[^\W\d_]*){0,3}"
    r"|(?![为给在因用我你您这那去来要会有好很太没可对谁哪什怎])[\u3400-\u9fff·]{1,6}"
)


def changes(said: str, facts: Sequence[Fact], found: Sequence[Found], now: float) -> list[Found]:
    """What a message said at `now` ends or puts right of these facts, beside what rules `found` in it."""
    new = {one.topic for one in found}
    gone = [one for one in ended(said, facts) if one.topic not in new]
    right = None if found or gone else mended(said, facts, now)
    return [*gone, *([right] if right else [])]


def ended(said: str, facts: Sequence[Fact]) -> list[Found]:
    """What takes the place of the facts that somebody says hold no longer: their own words for it, under its topic."""
    found: list[Found] = []
    for clause in clauses(_plain(said)):
        if _NOT_TOLD.search(clause):
            continue
        for kinds, pattern in _ENDINGS:
            match = pattern.search(clause)
            if match is None:
                continue
            meant = set(words(next((piece for piece in match.groups() if piece), "")))
            for fact in facts:
                about = set(words(fact.value)) | set(words(key_of(fact)))
                if fact.kind in kinds and (meant & about if meant else _alone(fact)):
                    text = clause.strip(" ,，.。!！")[:_TEXT]
                    found.append(Found("note", text, fact.topic, text, 0.9))
    return list({one.topic: one for one in found}.values())


def _alone(fact: Fact) -> bool:
    """Whether a fact ends with words that name nothing: of tastes, and of sons and brothers, these tell none."""
    return fact.kind in ("home", "work") or (fact.kind == "family" and key_of(fact) in _PARTNERS)


def mended(said: str, facts: Sequence[Fact], now: float) -> Found | None:
    """The fact that a message puts right, as it is now; None where it puts none right, or nobody can tell which.

    Where it does not say what was wrong, that is the last name that was told, a few minutes ago at most.
    """
    match = _MENDS.search(_plain(said)) if corrects(said) else None
    if match is None:
        return None
    # In the pattern v, x or z is what is right, w or y what was wrong.
    fresh, former = (next((match[name] for name in names if match[name]), "") for names in ("vxz", "wy"))
    if former:
        exact = re.escape(former)
        place = re.compile(rf"(?<!\w){exact}(?!\w)" if former.isascii() else exact, re.IGNORECASE)
        meant = [fact for fact in facts if place.search(fact.value)]
    else:
        place = re.compile(r".+", re.DOTALL)
        lately = [fact for fact in facts[-1:] if now - fact.at <= _LATELY]
        meant = [fact for fact in lately if fact.kind in _NAMED and _NAME.fullmatch(fresh)]
    if not fresh or not meant:
        return None
    old = meant[-1]
    value = place.sub(lambda _: fresh, old.value, count=1)
    if old.kind == "note":
        text = place.sub(lambda _: fresh, old.text, count=1)
        return Found("note", value, old.topic, text, 0.9)
    return replace(make(old.kind, value, key_of(old), 0.9, language(old.text)), topic=old.topic)


def _plain(said: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", said[:_LONGEST]).split())
