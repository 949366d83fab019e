"""What a model is told besides the window: who it speaks with, what went before, and what fits this message.

The first two stand in the prompt's constant beginning and change only when the window slides: the profile is made of
facts told before the window's first message (later ones stand in the window itself), the summary is that of its start.
What fits the message stands with the notes at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kith.core.memory import Fact
from kith.core.turn import Passage
from kith.dialogue.memory.keeper import Memory, Where, day
from kith.dialogue.memory.likeness import alike
from kith.dialogue.memory.past import Said
from kith.dialogue.memory.ranks import rate
from kith.dialogue.memory.summary import summary_of
from kith.runtime.locale import tr

_FACTS = 4
_FLOOR = 0.3
_ROOMS = 50
Count = Callable[[str], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Known:
    """Texts for a prompt: `profile` and `summary` for its beginning, `passages` for its notes."""

    profile: str = ""
    summary: str = ""
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a conversation stands: its message, the instant before which the window sees nothing, its first round."""

    query: str
    until: float
    first: int
    locale: str


async def bring(memory: Memory, where: Where, moment: Moment, room: int, count: Count) -> Known:
    """What is known that may be used there, of at most `room` tokens in the prompt's beginning."""
    settings = memory.settings
    facts = await memory.usable(where)
    told = [fact for fact in facts if fact.at < moment.until]
    profile = await _fitting(memory, told, min(settings.profile_tokens, room), moment.locale, count)
    left = min(settings.summary_tokens, room - (await count(profile) if profile else 0))
    summary = await summary_of(memory, where.conversation, moment.first) if moment.first else ""
    if summary:
        summary = tr("memory.summary", moment.locale) + summary
        summary = summary if await count(summary) <= left else ""
    shown = {fact.id for fact in told if fact.text in profile}
    about = [fact for fact in facts if fact.id not in shown]
    passages = await _facts(memory, about, moment)
    rooms = await rooms_of(memory, where)
    found = await memory.past.search(rooms, moment.query, moment.until, memory.clock.now())
    said = [passage_of(one, moment.locale) for one in found]
    return Known(profile, summary, (*passages, *await within(said, settings.recall_tokens, count)))


async def within(passages: Sequence[Passage], room: int, count: Count) -> list[Passage]:
    """The passages that fit into so many tokens together, the first ones first; a longer one gives way to a shorter."""
    kept: list[Passage] = []
    for passage in passages:
        cost = await count(f"{passage.source}: {passage.text}")
        if cost <= room:
            kept.append(passage)
            room -= cost
    return kept


async def _fitting(memory: Memory, facts: Sequence[Fact], room: int, locale: str, count: Count) -> str:
    """As many facts as fit, the most telling first."""
    most = 40
    while most and facts:
        text = tr("memory.profile", locale) + memory.profile(facts, float("inf"), most) + "."
        if await count(text) <= room:
            return text
        most //= 2
    return ""


async def _facts(memory: Memory, facts: Sequence[Fact], moment: Moment) -> list[Passage]:
    texts = [fact.text for fact in facts]
    now = memory.clock.now()
    rated = rate(moment.query, texts, [now - fact.at for fact in facts])
    scores = {one.index: one.score for one in rated}
    for index, score in (await alike(memory.models, moment.query, texts)).items():
        scores[index] = max(scores.get(index, 0.0), score)
    best = sorted((index for index in scores if scores[index] >= _FLOOR), key=lambda i: -scores[i])[:_FACTS]
    source = {index: tr("memory.source", moment.locale, date=day(facts[index].at)) for index in best}
    return [Passage(texts[index], source[index], scores[index]) for index in best]


def passage_of(one: Said, locale: str) -> Passage:
    """What was said, as a passage with its day."""
    return Passage(one.text, tr("memory.said", locale, date=day(one.at)), one.score)


async def rooms_of(memory: Memory, where: Where) -> list[str]:
    """This group, or all talks that this person had with nobody else by, the latest first."""
    if where.group:
        return [where.conversation]
    rooms: list[str] = []
    for person in where.persons:
        rooms += [one.id for one in await memory.shelves.store.conversations(person, _ROOMS) if one.kind == "direct"]
    return list(dict.fromkeys(rooms))[:_ROOMS]
