"""The memory: what people told of themselves, with who, when and where; theirs to see, to change and to have gone.

Facts belong to one person and are told to nobody else. In a group others read along, so there only what was told in
that very group is used. What comes from tools, documents or other people is never kept as a fact about anybody.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kith.core.audit import Act, By
from kith.core.clock import Clock
from kith.core.errors import Invalid, NotFound
from kith.core.ids import Ids, person_id
from kith.core.memory import Fact
from kith.core.message import Envelope
from kith.core.people import Principal
from kith.core.ports import Models, People
from kith.core.turn import Turn
from kith.dialogue.memory.answers import key_of
from kith.dialogue.memory.endings import changes
from kith.dialogue.memory.media import Held, let_go, taken
from kith.dialogue.memory.past import Past
from kith.dialogue.memory.ranks import rate, words
from kith.dialogue.memory.rules import Found, corrects, find_facts, make
from kith.dialogue.memory.settings import MemorySettings
from kith.dialogue.memory.shelves import Shelves
from kith.dialogue.understanding.normal import language
from kith.runtime.telemetry import counter, get_logger

Wipe = Callable[[str, Sequence[str]], Awaitable[None]]
"""Lets go of what is cached of a person (the first) and of conversations."""

_log = get_logger(__name__)
_kept = counter("kith_memory_facts_total", "Facts that were kept.", ("kind", "by"))
_KNOWN = 1000  # principals whose persons are remembered
_TEXT = 500  # characters of a fact that somebody writes
_ALIKE = 0.35  # how well a fact has to fit what is to be forgotten
_ORDER = ("name", "language", "home", "birthday", "age", "work", "allergy", "family", "pet", "origin", "note", "goal")


@dataclass(frozen=True, slots=True)
class Where:
    """Whose memory is meant and where it is spoken of: the ids of one human, and the conversation."""

    persons: tuple[str, ...]
    conversation: str = ""
    group: bool = False


class Memory:
    """Keeps, finds and forgets. `local` are the channels on which a principal's id is the address of a person."""

    def __init__(
        self,
        shelves: Shelves,
        models: Models,
        clock: Clock,
        ids: Ids,
        settings: MemorySettings | None = None,
        *,
        local: Sequence[str] = (),
        wipes: Sequence[Wipe] = (),
        media: Held | None = None,
    ) -> None:
        self.shelves, self.models, self.clock, self.ids = shelves, models, clock, ids
        self.settings = settings or MemorySettings()
        self._local, self._wipes, self._media = tuple(local), list(wipes), media
        self._same: dict[str, tuple[str, ...]] = {}
        self.past = Past(shelves.store)
        self.forgot = 0  # how often something was forgotten: what was read before is not to be kept after

    def wipe_also(self, wipe: Wipe) -> None:
        """Have another place let go of what is forgotten."""
        self._wipes.append(wipe)

    @property
    def people(self) -> People:
        """Everybody who was met."""
        return self.shelves.people

    async def mine(self, principal: str) -> tuple[str, ...]:
        """The ids under which a principal is known on the channels of this machine; that of its API first."""
        known = self._same.get(principal)
        if known is None:
            found = await self.shelves.people.who([(channel, principal) for channel in self._local])
            own = person_id("api", principal, principal)
            known = (own, *(one for one in found if one != own))
            if len(self._same) >= _KNOWN:
                self._same.clear()
            self._same[principal] = known
        return known

    async def where(self, person: str, envelope: Envelope, conversation: str) -> Where:
        """Whose memory a message may use."""
        persons: tuple[str, ...] = (person,)
        if envelope.channel in self._local:
            persons = await self.mine(envelope.sender)
            if person not in persons:
                self._same.pop(envelope.sender, None)
                persons = (person, *await self.mine(envelope.sender))
        return Where(tuple(dict.fromkeys(persons)), conversation, envelope.kind == "group")

    async def facts(self, persons: Sequence[str], *, history: bool = False) -> Sequence[Fact]:
        """What is known of a person, oldest first; with `history` also what no longer holds."""
        found = await self.shelves.facts.facts(persons)
        return found if history else [fact for fact in found if not fact.replaced]

    async def usable(self, where: Where) -> Sequence[Fact]:
        """The facts that may be used there."""
        facts = await self.facts(where.persons)
        return [fact for fact in facts if not where.group or fact.conversation == where.conversation]

    async def learn(self, turn: Turn, said: str, persons: Sequence[str] = ()) -> Sequence[Fact]:
        """Keep what the rules find in what a person `said`. Asked twice about a turn, it keeps nothing twice."""
        if not self.settings.remember or not turn.person:
            return ()
        whose = persons or (turn.person,)
        found = await self._corrected(find_facts(said), said, whose)
        changed = changes(said, await self.facts(whose), found, turn.at)
        return await self.keep([*found, *changed], turn, whose)

    async def keep(
        self, found: Sequence[Found], turn: Turn, persons: Sequence[str], by: Any = "rule"
    ) -> Sequence[Fact]:
        """Keep these facts as told in this turn; the newest of a topic replaces the others."""
        if not found:
            return ()
        made = [
            Fact(
                self.ids.new("f"), turn.person, one.kind, one.text, one.value, one.topic, turn.at,
                one.confidence, turn.conversation, turn.id, by,
            )
            for one in found
        ]  # fmt: skip
        return await self._store(persons, made)

    async def _corrected(self, found: Sequence[Found], said: str, persons: Sequence[str]) -> Sequence[Found]:
        """ "No, my sister's name is Bea" and "… is now called Bea" take the place of the one sister that was known."""
        if not found or not corrects(said):
            return found
        held = [fact.topic for fact in await self.facts(persons)]
        fixed: list[Found] = []
        for one in found:
            base = ":".join(one.topic.split(":")[:2]) + ":"
            same = [topic for topic in held if topic.startswith(base)]
            fixed.append(replace(one, topic=same[0]) if one.topic.count(":") > 1 and len(same) == 1 else one)
        return fixed

    async def remember(self, principal: Principal, text: str) -> Fact:
        """Keep what a person writes about themselves. Raises `Invalid`."""
        return await self._written(await self.mine(principal.id), text)

    async def edit(self, persons: Sequence[str], fact: str, text: str, by: By) -> Fact:
        """Put other words in a fact's place. Raises `NotFound`, `Invalid`."""
        old = await self._fact(persons, fact)
        fresh = await self._written(persons, text, old)
        if fresh.id != old.id:
            await self.forget(persons, [old], by, spare=fresh.id)
        return fresh

    async def find(self, persons: Sequence[str], text: str) -> Sequence[Fact]:
        """The facts that `text` speaks of, also former ones: those that it tells again, else those it is most like."""
        facts = await self.facts(persons, history=True)
        told = {(one.topic, one.value.casefold()) for one in find_facts(text)}
        same = [fact for fact in facts if (fact.topic, fact.value.casefold()) in told]
        if same:
            return same
        wanted = set(words(text))
        meant = [
            fact
            for fact in facts
            if any(own and own <= wanted for own in (set(words(fact.value)), set(words(key_of(fact)))))
        ]
        rated = rate(text, [f"{fact.kind} {fact.text}" for fact in facts])
        return meant or [facts[one.index] for one in rated if one.score >= max(_ALIKE, rated[0].score * 0.9)]

    async def forget(self, persons: Sequence[str], facts: Sequence[Fact], by: By, spare: str = "") -> int:
        """Have facts gone with their history, from everything where they were told; how many they were.

        Those without an id are in no store: what they quote goes from where it was said.
        One of the same topic may be `spare`d: the one that takes their place.
        """
        topics = {fact.topic for fact in facts}
        known = await self.facts(persons, history=True)
        gone = [fact for fact in known if fact.topic in topics and fact.id != spare]
        gone += [fact for fact in facts if not fact.id]
        act = Act("memory.forget", by.actor, persons[0], by.origin, detail={"facts": str(len(gone))})
        rooms = await self.shelves.dossiers.redact(persons, gone, act)
        await self._let_go(persons, rooms)
        return len(gone)

    async def forget_one(self, persons: Sequence[str], fact: str, by: By) -> int:
        """As `forget`, by the fact's id. Raises `NotFound`."""
        return await self.forget(persons, [await self._fact(persons, fact)], by)

    async def forget_all(self, persons: Sequence[str], by: By) -> int:
        """As `forget`, everything."""
        return await self.forget(persons, await self.facts(persons, history=True), by)

    async def export(self, persons: Sequence[str]) -> Mapping[str, Any]:
        """Everything that is stored of a person, the bytes of their media in base 64."""
        told = await self.shelves.dossiers.export(persons)
        return {**told, "media": await taken(self._media, told["conversations"])}

    async def erase(self, persons: Sequence[str], by: By) -> None:
        """Remove everything that is stored of a person. Raises `NotFound` when nobody is known by these ids."""
        known = {met.person.id for met in await self.shelves.people.everybody(1_000_000)}
        if not known & set(persons) and not await self.shelves.facts.facts(persons):
            raise NotFound(f"there is no person {persons[0]!r}", code="person_not_found")
        if self._media:  # before the rest: once that is gone, nobody would know whose they were
            await let_go(self._media, (await self.shelves.dossiers.export(persons))["conversations"])
        rooms = await self.shelves.dossiers.erase(persons, Act("person.erase", by.actor, persons[0], by.origin))
        self._same.clear()
        await self._let_go(persons, rooms)

    async def link(self, person: str, other: str, by: By) -> Any:
        """Two persons were one all along. Raises `NotFound`, `Invalid`."""
        act = Act("person.link", by.actor, person, by.origin, detail={"with": other})
        self._same.clear()
        return await self.shelves.people.link(person, other, act)

    def profile(self, facts: Sequence[Fact], until: float, limit: int = 40) -> str:
        """One line of what is known, the most telling first: of facts told until then, so that it stays the same."""
        rank = {kind: place for place, kind in enumerate(_ORDER)}
        told = [fact for fact in facts if fact.at <= until]
        told.sort(key=lambda fact: (rank.get(fact.kind, len(rank)), fact.at, fact.id))
        return "; ".join(dict.fromkeys(fact.text for fact in told[:limit]))

    async def _fact(self, persons: Sequence[str], fact: str) -> Fact:
        found = next((one for one in await self.facts(persons, history=True) if one.id == fact), None)
        if found is None:
            raise NotFound("there is no such fact", code="fact_not_found")
        return found

    async def _written(self, persons: Sequence[str], text: str, old: Fact | None = None) -> Fact:
        clean = " ".join(text.split())[:_TEXT]
        if not clean:
            raise Invalid("a fact needs words", code="empty_fact")
        found = next(iter(find_facts(clean)), None) or make("note", clean, locale=language(clean))
        if old is not None and found.kind == "note":
            found = replace(found, kind=old.kind, topic=old.topic)
        fact = Fact(
            self.ids.new("f"),
            persons[0],
            found.kind,
            found.text,
            found.value,
            found.topic,
            self.clock.now(),
            by="person",
        )
        (kept,) = await self._store(persons, [fact], again=True)
        return kept

    async def _store(self, persons: Sequence[str], made: Sequence[Fact], *, again: bool = False) -> list[Fact]:
        """Keep what is new; what it contradicts stays as history. What was known already is given as it was."""
        held = {fact.topic: fact for fact in await self.facts(persons)}
        fresh: list[Fact] = []
        changed: list[Fact] = []
        given: list[Fact] = []
        for fact in made:
            old = held.get(fact.topic)
            if old is not None and (old.kind, old.value.casefold()) == (fact.kind, fact.value.casefold()):
                given += [old] if again else []
                continue
            if old is not None:
                changed.append(replace(old, replaced=fact.id))
            elif len(held) + len(fresh) >= self.settings.facts:
                continue
            fresh.append(fact)
            _kept.add(1, kind=fact.kind, by=fact.by)
        await self.shelves.facts.keep([*changed, *fresh])
        return [*given, *fresh]

    async def _let_go(self, persons: Sequence[str], rooms: Sequence[str]) -> None:
        self.forgot += 1
        self.past.drop()
        for wipe in self._wipes:
            for person in persons:
                await wipe(person, rooms)


def day(at: float) -> str:
    """A date as it stands beside a source."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))
