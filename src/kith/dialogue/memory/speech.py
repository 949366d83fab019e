"""Speaking with Kith about its memory: what it knows, what it shall keep, what it shall forget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kith.core.audit import By
from kith.core.memory import Fact
from kith.dialogue.memory.keeper import Memory, Where
from kith.dialogue.memory.patterns import asked, speech
from kith.dialogue.memory.rules import asked_to_remember, find_facts
from kith.dialogue.normal import normal
from kith.runtime.locale import tr

_SHOWN = 40
_LONGEST = 400

_SHOW, _ALL, _FORGET, _NOT_FORGET = (speech(name) for name in ("show", "all", "forget", "not_forget"))
_ASKED = asked()
_PLAIN = ("name", "birthday", "home", "work", "age", "allergy", "like", "pet")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer about the memory. With `forgot` neither the question nor its words may be kept."""

    answer: str
    forgot: bool = False


async def spoken(memory: Memory, text: str, where: Where, locale: str) -> Said | None:
    """The answer to a message about the memory itself; None for every other message."""
    if len(text) > _LONGEST:
        return None
    plain = normal(text)
    if _ALL.fullmatch(plain):
        count = await memory.forget_all(where.persons, By(where.persons[0], "chat"))
        return Said(tr("memory.forgotten_all", locale, count=count), forgot=True)
    if (found := _FORGET.match(text)) is not None and (said := await _forgotten(memory, found, where, locale)):
        return said
    if _SHOW.fullmatch(plain):
        return Said(await _shown(memory, where, locale))
    return await _asked(memory, plain, where, locale)


def about_memory(text: str) -> bool:
    """Whether a message asks to remember, to forget, or for what is remembered."""
    plain = normal(text)
    asks = _ALL.fullmatch(plain) or _FORGET.match(text) or _SHOW.fullmatch(plain)
    return len(text) <= _LONGEST and bool(asks or asked_to_remember(text))


def noted(text: str, locale: str) -> str | None:
    """What is said to a message that asks for something to be remembered."""
    if asked_to_remember(text) is None:
        return None
    return _confirmed(text, locale)


def acknowledged(text: str, locale: str) -> str | None:
    """What can be said without a model to a message that tells something of a person; None if it tells nothing."""
    return _confirmed(text, locale) if find_facts(text) else None


def _confirmed(text: str, locale: str) -> str:
    mark = "；" if locale == "zh" else "; "
    return tr("memory.noted", locale, facts=mark.join(found.text for found in find_facts(text)))


async def _forgotten(memory: Memory, found: re.Match[str], where: Where, locale: str) -> Said | None:
    meant = next((piece for piece in found.groups() if piece), "")
    if _NOT_FORGET.match(meant.strip()):
        return None
    facts = await memory.find(where.persons, meant)
    if not facts:
        told = find_facts(meant) or re.search(r"\b(?:i|my|me)\b|我", meant, re.IGNORECASE)
        return Said(tr("memory.unknown", locale)) if told else None
    await memory.forget(where.persons, facts, By(where.persons[0], "chat"))
    return Said(tr("memory.forgotten", locale), forgot=True)


async def _shown(memory: Memory, where: Where, locale: str) -> str:
    if where.group:
        return tr("memory.private", locale)
    facts = (await memory.usable(where))[-_SHOWN:]
    return "\n".join((tr("memory.known", locale), _rows(facts, locale))) if facts else tr("memory.nothing", locale)


async def _asked(memory: Memory, plain: str, where: Where, locale: str) -> Said | None:
    kind = next((kind for kind, pattern in _ASKED if pattern.fullmatch(plain)), "")
    facts = [fact for fact in await memory.usable(where) if fact.kind == kind] if kind else []
    if not facts:
        return Said(tr("memory.untold", locale)) if kind and memory.settings.remember and not where.group else None
    return Said(_rows(facts, locale) if len(facts) > 1 else _answered(facts[0], locale))


def _answered(fact: Fact, locale: str) -> str:
    """A fact as it is told to whom it is about, in the language of the question where it is of a plain kind."""
    plain = any(fact.text == tr(f"memory.fact.{fact.kind}", lang, value=fact.value) for lang in ("en", "zh"))
    return tr(f"memory.told.{fact.kind}", locale, value=fact.value) if plain and fact.kind in _PLAIN else fact.text


def _rows(facts: Sequence[Fact], locale: str) -> str:
    return "\n".join(tr("memory.row", locale, text=fact.text) for fact in facts)
