"""Speaking with Kith about its memory: what it knows, what it shall keep, what it shall forget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kith.core.audit import By
from kith.core.memory import Fact
from kith.dialogue.memory.answers import Known, likely, question, told
from kith.dialogue.memory.endings import changes
from kith.dialogue.memory.keeper import Memory, Where
from kith.dialogue.memory.patterns import speech
from kith.dialogue.memory.quotes import quotation, statements, told_before, unkept
from kith.dialogue.memory.rules import asked_to_remember, find_facts
from kith.dialogue.understanding.normal import normal
from kith.runtime.locale import tr

_SHOWN = 40
_QUOTES = 50  # sentences that one order forgets at most
_LONGEST = 400

_SHOW, _ALL, _FORGET, _NOT_FORGET = (speech(name) for name in ("show", "all", "forget", "not_forget"))
_THAT = speech("forget_that")
_BEFORE = 2  # turns back to which "forget that" may point


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
    if _THAT.fullmatch(plain) and (meant := await _just_now(memory, where)):
        await memory.forget(where.persons, meant, By(where.persons[0], "chat"))
        return Said(tr("memory.forgotten", locale), forgot=True)
    if (found := _FORGET.match(text)) is not None and (said := await _forgotten(memory, found, where, locale)):
        return said
    if _SHOW.fullmatch(plain):
        return Said(await _shown(memory, where, locale))
    return await _asked(memory, text, where, locale)


def about_memory(text: str) -> bool:
    """Whether a message asks to remember, to forget, or for what is remembered."""
    plain = normal(text)
    asks = _ALL.fullmatch(plain) or _FORGET.match(text) or _SHOW.fullmatch(plain)
    return len(text) <= _LONGEST and bool(asks or asked_to_remember(text))


def all_forgotten(text: str) -> bool:
    """Whether a message is the order to forget everything, and nothing else."""
    return len(text) <= _LONGEST and _ALL.fullmatch(normal(text)) is not None


def noted(text: str, locale: str) -> str | None:
    """What is said to a message that asks for something to be remembered."""
    if asked_to_remember(text) is None:
        return None
    return _confirmed(text, locale)


def acknowledged(text: str, locale: str) -> str | None:
    """What can be said without a model to a message that tells something of a person; None if it tells nothing."""
    return _confirmed(text, locale) if find_facts(text) else None


async def changed(memory: Memory, text: str, where: Where, locale: str) -> str | None:
    """What can be said without a model to a message that ends a fact, or puts it right; None to any other."""
    found = changes(text, await memory.usable(where), (), memory.clock.now())
    return _remembering(found, locale) if found else None


def _confirmed(text: str, locale: str) -> str:
    return _remembering(find_facts(text), locale)


def _remembering(found: Sequence[Known], locale: str) -> str:
    mark = "；" if locale == "zh" else "; "
    said = [told(one, locale).rstrip(".。") for one in found]
    lines = [one[:1].lower() + one[1:] if one.startswith("You") else one for one in said]
    return tr("memory.noted", locale, facts=mark.join(lines))


async def _forgotten(memory: Memory, found: re.Match[str], where: Where, locale: str) -> Said | None:
    meant = next((piece for piece in found.groups() if piece), "")
    if _NOT_FORGET.match(meant.strip()):
        return None
    facts = await memory.find(where.persons, meant)
    if not facts and (wanted := question(meant)) is not None:  # "forget where I live"
        facts = [fact for fact in await memory.usable(where) if wanted.takes(fact)]
    facts = facts or await told_before(memory, meant, where)
    by = By(where.persons[0], "chat")
    if facts:
        await memory.forget(where.persons, facts, by)
    if not await _unanswerable(memory, f"{meant.strip()}?", where, by) and not facts:
        told = find_facts(meant) or re.search(r"\b(?:i|my|me)\b|我", meant, re.IGNORECASE)
        return Said(tr("memory.unknown", locale)) if told else None
    return Said(tr("memory.forgotten", locale), forgot=True)


async def _unanswerable(memory: Memory, asked: str, where: Where, by: By) -> bool:
    """Forget whatever would still be quoted as the answer ("forget where I parked"); whether there was anything."""
    for number in range(_QUOTES):
        quote = await quotation(memory, asked, where, "en")
        if quote is None:
            return number > 0
        await memory.forget(where.persons, [quote.source], by)
    return True


async def _shown(memory: Memory, where: Where, locale: str) -> str:
    if where.group:
        return tr("memory.private", locale)
    facts = (await memory.usable(where))[-_SHOWN:]
    return "\n".join((tr("memory.known", locale), _rows(facts, locale))) if facts else tr("memory.nothing", locale)


async def recollected(memory: Memory, text: str, where: Where, locale: str) -> str | None:
    """What was told of oneself and is most like a question that nothing else here could answer."""
    if len(text) > _LONGEST:
        return None
    if (quote := await quotation(memory, text, where, locale)) is not None:
        return quote.answer
    found = likely(text, await memory.usable(where))
    return None if found is None else tr("memory.recalled", locale, fact=told(found, locale).rstrip(".。"))


async def _asked(memory: Memory, text: str, where: Where, locale: str) -> Said | None:
    wanted = question(text)
    if wanted is None:
        quote = None if _models(memory) else await quotation(memory, text, where, locale, own=True)
        return Said(quote.answer) if quote else None
    facts = [fact for fact in await memory.usable(where) if wanted.takes(fact)]
    if not facts:
        if (quote := await quotation(memory, text, where, locale)) is not None:
            return Said(quote.answer)
        ask = not wanted.name and memory.settings.remember and not where.group
        return Said(tr("memory.untold", locale)) if ask else None
    if len(facts) == 1 and facts[0].kind == "note":
        return Said(tr("memory.recalled", locale, fact=told(facts[0], locale).rstrip(".。")))
    return Said(_rows(facts, locale) if len(facts) > 1 else told(facts[0], locale))


def _models(memory: Memory) -> bool:
    return any("chat" in card.capabilities for card in memory.models.cards())


async def _just_now(memory: Memory, where: Where) -> Sequence[Fact]:
    """What was told, or asked for, in the latest turns of this conversation: facts, or what nobody kept as one."""
    usable = await memory.usable(where)
    for turn in reversed(await memory.shelves.store.turns(where.conversation, _BEFORE)):
        if turn.person not in where.persons:
            continue  # in a group, what others said is theirs
        wanted = question(turn.heard.text)
        if found := [one for one in usable if one.turn == turn.id or (wanted is not None and wanted.takes(one))]:
            return found
        if statements(turn.heard.text):
            return [unkept(turn.heard.text, turn.id, where, turn.at)]
        if (quote := await quotation(memory, turn.heard.text, where, "en")) is not None:
            return [quote.source]
    return ()


def _rows(facts: Sequence[Known], locale: str) -> str:
    return "\n".join(tr("memory.row", locale, text=told(fact, locale).rstrip(".。")) for fact in facts)
