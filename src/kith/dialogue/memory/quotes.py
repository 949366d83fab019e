"""What somebody said before, quoted to them when they ask for it and no rule knew it for a fact. No model is needed.

A wrong quotation is worse than none: one is given only where nearly everything that is asked for stands in one sentence
of the same person, and where that has what such a question wants, a place for "where", a time for "when". Of several
the latest is quoted, so that "I don't drink coffee any more" is the answer, not what held before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kith.core.memory import Fact
from kith.dialogue.memory.answers import told
from kith.dialogue.memory.keeper import Memory, Where, day
from kith.dialogue.memory.patterns import quoted, speech, vocabulary
from kith.dialogue.memory.ranks import kin, words
from kith.dialogue.memory.recall import rooms_of
from kith.dialogue.memory.rules import asked_to_remember, clauses, find_facts
from kith.dialogue.understanding.normal import language, normal
from kith.runtime.locale import tr

_P = quoted()
_NOT_TOLD = speech("not_told")
_LIGHT = frozenset(word for one in vocabulary("light") for word in words(one))
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；;\n])")
_LONGEST, _SHOWN = 200, 300  # characters of a question, and of a sentence that is quoted
_SURE, _ENDED = 0.7, 0.5  # the share of what is asked for that a sentence has to have, and one that ends something
_BEST = 0.15  # a sentence this much less like the question is still as good as the best, if it is later
_OWN = re.compile(r"(?:about )?(?:my|our)\s+|(?:关于)?我(?:们)?的", re.IGNORECASE)
_TELLING, _LONG = 2, 5  # terms that say what is to be forgotten, or letters of one
_NEEDS = (
    ("where", "place"), ("when", "time"), ("many", "number"), ("name", "named"), ("who", "named"),
    ("negated", "against"), ("exact", "says"),
)  # fmt: skip
"""What a question of one form wants of its answer; both are names of patterns."""
_FORMS = (*(form for form, _ in _NEEDS), "wish")


@dataclass(frozen=True, slots=True)
class Quote:
    """The `answer` to a question, and the turn it was found in as a fact that nobody kept; the fact, if one was."""

    answer: str
    source: Fact


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A question: the terms it is about, those without which nothing answers it, its forms, whether of oneself."""

    terms: tuple[str, ...]
    vital: frozenset[str]
    forms: frozenset[str]
    own: bool


async def quotation(memory: Memory, text: str, where: Where, locale: str, *, own: bool = False) -> Quote | None:
    """What this person said that answers a question.

    With `own` only what is asked of themselves, or what has every one of several words of the question.
    """
    wanted = _wanted(text)
    if wanted is None or (own and not wanted.own and len(wanted.terms) < _TELLING):
        return None
    every = {other for term in wanted.terms for other in (term, *kin(term))}
    facts = await memory.usable(where)
    current = {(fact.topic, fact.value) for fact in facts}
    best, chosen, least = 0.0, None, 1.0 if own and not wanted.own else _ENDED
    for said in await memory.past.uttered(await rooms_of(memory, where), where.persons, every):
        for sentence in statements(said.text):
            score = _fit(sentence, wanted)
            if score >= least and score > best + (_BEST if chosen else 0.0) and _holds(sentence, current):
                answer = tr("memory.quoted", locale, date=day(said.at), text=sentence)
                best, chosen = score, Quote(answer, unkept(sentence, said.turn, where, said.at))
    for fact in reversed(facts) if chosen is None else ():  # told elsewhere, or written by hand
        if (score := _fit(told(fact, language(fact.text)), wanted)) >= least and score > best:
            best, chosen = score, Quote(tr("memory.recalled", locale, fact=told(fact, locale).rstrip(".。")), fact)
    return chosen


async def told_before(memory: Memory, text: str, where: Where) -> Sequence[Fact]:
    """What this person said of what `text` speaks of, as facts that nobody kept: so that it can be forgotten."""
    own = _OWN.match(text.strip())  # "my cats" is no phrase to be found, but whose they are
    terms = set(words(text.strip()[own.end() :] if own else text))
    if not terms or (own is None and len(terms) < _TELLING and not any(len(term) >= _LONG for term in terms)):
        return ()
    return [
        unkept(sentence, said.turn, where, said.at)
        for said in await memory.past.uttered(await rooms_of(memory, where), where.persons, terms)
        for sentence in statements(said.text)
        if terms <= set(words(sentence))
    ]


def unkept(sentence: str, turn: str, where: Where, at: float) -> Fact:
    """A sentence as a fact that is in no store: for what takes the words of facts away."""
    return Fact("", where.persons[0], "note", sentence, sentence, "", at, conversation=where.conversation, turn=turn)


def statements(text: str) -> list[str]:
    """The sentences of what somebody said that tell something; what they asked to remember is a fact."""
    if asked_to_remember(text) is not None:
        return []
    found = (piece.strip() for piece in _SENTENCE.split(unicodedata.normalize("NFC", text)))
    short = [one for one in found if 0 < len(one) <= _SHOWN]
    return [one for one in short if not _NOT_TOLD.search(one) and not _P["order"].search(one)]


def _wanted(text: str) -> _Wanted | None:
    plain = normal(text)
    asks = f"{plain}?" if text.rstrip().endswith(("?", "？")) else plain
    if len(text) > _LONGEST or not _P["question"].search(asks):
        return None
    plain = _P["opening"].sub("", plain)
    if _P["foreign"].search(plain):
        return None
    bare = _P["asking"].sub(" ", plain)
    terms = tuple(dict.fromkeys(word for word in words(bare) if _counts(word)))
    named = ("".join(filter(None, found.groups())) for found in _P["vital"].finditer(plain))
    vital = frozenset(word for name in named for word in words(name) if _counts(word))
    forms = frozenset(name for name in _FORMS if _P[name].search(plain))
    return _Wanted(terms, vital, forms, bool(_P["own"].search(plain))) if terms else None


def _counts(word: str) -> bool:
    """Whether a term tells what is asked for: of Chinese the characters, of which pairs are made too."""
    return word not in _LIGHT and (word.isascii() or len(word) == 1)


def _fit(sentence: str, wanted: _Wanted) -> float:
    """How well a sentence answers, 0.0 where it does not."""
    has = set(words(sentence))
    met = {term for term in wanted.terms if term in has or kin(term) & has}
    share, ends = len(met) / len(wanted.terms), bool(_P["ends"].search(sentence))
    if share < (_ENDED if ends else _SURE) or not all(term in has or kin(term) & has for term in wanted.vital):
        return 0.0
    if any(form in wanted.forms and not _P[need].search(sentence) for form, need in _NEEDS):
        return 0.0
    about = (clause for clause in clauses(sentence) if met & set(words(clause)))
    if "wish" not in wanted.forms and any(_P["wish"].search(clause) for clause in about):
        return 0.0
    return 0.0 if wanted.own and not wanted.vital and _of_others(sentence, met) else 1.0 if ends else share


def _of_others(sentence: str, met: Collection[str]) -> bool:
    """Whether a sentence tells of somebody else what is asked of oneself: their birthday, where they live."""
    theirs = (word for found in _P["whose"].finditer(sentence) for word in words(found["v"] or found["w"]))
    return bool(_P["others"].search(normal(sentence))) or any(word in met for word in theirs)


def _holds(sentence: str, current: set[tuple[str, str]]) -> bool:
    """Whether what a sentence tells was not replaced, or forgotten, since: of what rules find, the facts know."""
    return all((found.topic, found.value) in current for found in find_facts(sentence))
