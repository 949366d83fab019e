"""Speaking first: reminders and check-ins that somebody asked for, each said exactly once.

What is due is put into the inbox under a name made of the reminder and the occurrence, and only then is the reminder
moved on to its next one. A process that dies in between finds the same name taken when it tries again; from the inbox
on it is a turn like any other, answered and sent by the ways that lose and double nothing. A clock that is set back
finds occurrences whose names are taken; one that is set forward finds several due at once, of which the last is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, cast

from pydantic import Field

from kith.core.audit import Act
from kith.core.clock import Clock
from kith.core.errors import KithError, NotFound, Refused
from kith.core.message import Envelope, Message, Text
from kith.core.people import Person
from kith.core.ports import Inbox, People, Records
from kith.dialogue.initiative.almanac import about_day
from kith.dialogue.initiative.diction import clock_there, moment, rhythm
from kith.dialogue.initiative.moves import meant, read_shift
from kith.dialogue.initiative.schedule import Due, Rule, following, instant, latest
from kith.dialogue.initiative.wishes import Wish, all_cancelled, amended, apart, read_wish, timed
from kith.dialogue.values.zones import asked_there, zone, zone_asked, zone_wanted
from kith.runtime.locale import tr
from kith.runtime.settings import Section
from kith.runtime.telemetry import counter, get_logger

_log = get_logger(__name__)
_said = counter("kith_dialogue_reminders_total", "Reminders that came due.", ("outcome",))
_KIND, _COUNTS = "reminder", "reminder.count"
_LOOK = 30.0  # seconds between looks for what other processes have added
_LATE = 300.0  # seconds after which a reminder says when it was due
_CORRECTED = 900.0  # seconds in which one that was just made can be corrected
_AGAIN = 12 * 3600.0  # seconds for which one that was said can be put off


class InitiativeSettings(Section):
    """The section ``dialogue.initiative``: how far Kith speaks first, which it does only where it was asked to."""

    quiet: str = Field(
        default="22:00-08:00",
        pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="Hours without check-ins and hourly reminders, in the person's time zone; empty for none.",
    )
    daily: int = Field(default=20, ge=0, le=1000, description="Most reminders that a person gets in a day.")
    limit: int = Field(default=100, ge=1, le=10_000, description="Most reminders that a person may have.")

    def silent(self, at: float, where: tzinfo | None) -> float:
        """The instant at which quiet hours that hold at `at` end; 0 when none do."""
        if not self.quiet:
            return 0.0
        first, last = self.quiet.split("-")
        local = datetime.fromtimestamp(at, UTC).astimezone(where)
        now = f"{local:%H:%M}"
        inside = first <= now < last if first < last else now >= first or now < last
        if not inside:
            return 0.0
        return instant(local.date() + timedelta(days=now >= last), last, where)


@dataclass(frozen=True, slots=True)
class Reminder:
    """One thing to be said at its time, to a person, in the conversation where it was asked for."""

    id: str
    person: str
    what: str
    rule: Rule
    zone: str
    next: Due
    place: Mapping[str, Any]
    locale: str = ""
    care: bool = False
    held: float = 0.0

    @property
    def due(self) -> float:
        """When it is to be said: its time, or the end of what holds it back."""
        return max(self.next.at, self.held)

    def keep(self) -> Mapping[str, Any]:
        """JSON-shaped; `restore` reads it."""
        return {**asdict(self), "rule": dict(self.rule.keep())}

    @classmethod
    def restore(cls, kept: Mapping[str, Any]) -> Reminder:
        """From what `keep` gave."""
        due = cast("Mapping[str, Any]", kept["next"])
        fixed: dict[str, Any] = {"rule": Rule.restore(kept["rule"]), "next": Due(str(due["name"]), float(due["at"]))}
        return cls(**{**kept, **fixed})


class Agenda:
    """Everybody's reminders. `default` is the household's time zone by name."""

    def __init__(
        self,
        records: Records,
        people: People,
        inbox: Inbox,
        clock: Clock,
        settings: InitiativeSettings,
        default: str = "",
    ) -> None:
        self._records, self._people = records, people
        self._inbox, self._clock, self._settings = inbox, clock, settings
        self._default = default
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._last: dict[str, tuple[float, Reminder]] = {}
        self._made: dict[str, tuple[float, Reminder]] = {}
        self._open: dict[str, tuple[float, str, str]] = {}
        self._spoken: dict[str, float] = {}

    async def run(self, wake: Callable[[], None]) -> None:
        """Say what comes due, for ever; `wake` is called after something was put into the inbox."""
        while True:
            wait = _LOOK
            try:
                said, next_due = await self.tick()
                if said:
                    wake()
                wait = min(max(next_due - self._clock.now(), 0.0), _LOOK) if next_due else _LOOK
            except KithError as error:
                _log.warning("reminders wait", code=error.code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0.05)):
                    await self._changed.wait()
            self._changed.clear()

    async def tick(self) -> tuple[int, float]:
        """Say everything that is due now. How many were said, and when the next one is due (0 for none)."""
        said, soonest = 0, 0.0
        async with self._lock:
            for reminder in await self._all():
                left: Reminder | None = reminder
                if reminder.due <= self._clock.now():
                    left, spoken = await self._fire(reminder)
                    said += spoken
                if left is not None:
                    soonest = min(soonest or left.due, left.due)
        return said, soonest

    def zone(self, person: Person | None) -> tzinfo | None:
        """The time zone of a person, else the household's."""
        return zone(self._zone_name(person))

    async def move(self, person: str, name: str) -> None:
        """A person's reminders keep their time of day by the clocks of the zone `name` (empty: the household's).

        Raises `Refused` for a zone that is not known.
        """
        try:
            where = zone(name or self._default)
        except ValueError as error:
            raise Refused(str(error), code="unknown_zone", hint="use a name like Asia/Shanghai") from None
        async with self._lock:
            for reminder in await self._all():
                if reminder.person == person and (due := following(reminder.rule, self._clock.now(), where)):
                    await self._put(replace(reminder, zone=name, next=due, held=0.0))
        self._changed.set()

    async def find(self, person: str = "") -> Sequence[Reminder]:
        """The reminders of one person, or of all; soonest first."""
        return sorted((r for r in await self._all() if person in ("", r.person)), key=lambda r: (r.due, r.id))

    async def described(self, person: str) -> Sequence[Mapping[str, Any]]:
        """As `find`, for programs: ``next`` in seconds since the epoch, ``rule`` in words."""
        return [
            {
                "id": one.id,
                "text": _matter(one, one.locale),
                "next": one.due,
                "rule": rhythm(one.rule, one.locale),
                "timezone": one.zone,
                "channel": one.place["channel"],
            }
            for one in await self.find(person)
        ]

    async def cancel(self, reminder: str, person: str = "") -> None:
        """Forget one reminder, of `person` where given. Raises `NotFound`."""
        async with self._lock:
            found = await self._records.get(_KIND, reminder)
            if found is None or person not in ("", found.get("person")):
                raise NotFound(f"there is no reminder {reminder!r}", code="reminder_not_found")
            await self._records.delete(_KIND, reminder)

    async def wipe(self, person: str, _: Sequence[str] = ()) -> None:
        """Let go of what is only in memory about a person; the rest goes with their records."""
        self._open = {place: kept for place, kept in self._open.items() if kept[1] != person}
        self._spoken.pop(person, None)
        for told in (self._last, self._made):
            for place in [place for place, kept in told.items() if kept[1].person == person]:
                del told[place]

    def wish(self, text: str, person: Person | None) -> Wish | None:
        """What a message wishes of the agenda, without doing it."""
        return read_wish(text, self._clock.now(), self.zone(person))

    async def hear(
        self, text: str, person: Person, envelope: Envelope, turn: str, locale: str, *, part: bool = False
    ) -> str | None:
        """Do what a message wishes of the agenda or asks of a clock, and say so; else None. Harmless to do again.

        `part` of a message that wishes for more, it may ask for the present day, which is the flow's matter otherwise.
        """
        if (told := await self._clock_asked(text, person, locale, part=part)) is not None:
            return told
        where = self._zone_name(person)
        if parts := apart(text, self._clock.now(), zone(where)):
            said = [
                await self.hear(one, person, envelope, f"{turn}_{n}", locale, part=True) for n, one in enumerate(parts)
            ]
            return "\n".join(filter(None, said))
        wish = read_wish(text, self._clock.now(), zone(where))
        place = _where(_place(envelope))
        looks = wish is not None and wish.kind == "list"  # who looks at the list may correct afterwards
        if not looks and (changed := await self._amended(text, person, place, locale)) is not None:
            return changed
        at, who, asked = self._open.pop(place, (0.0, "", ""))
        if wish is None and who == person.id and self._clock.now() - at < _CORRECTED:
            wish = timed(text, asked, self._clock.now(), zone(where))
        if wish is None:
            return await self._shifted(text, person, place, locale) or await self._cleared(text, person.id, locale)
        match wish.kind:
            case "add":
                return await self._add(wish, person, envelope, f"r_{turn}", (where, locale))
            case "list":
                return await self._tell(person.id, locale)
            case "cancel":
                return await self._drop(wish, person.id, locale)
            case "snooze":
                told = await self._put_off(wish, envelope, f"r_{turn}", locale)
                return told or await self._add(wish, person, envelope, f"r_{turn}", (where, locale))
            case "when":
                self._open[place] = self._clock.now(), person.id, text
                return tr(f"dialogue.agenda.{'past' if wish.rule else 'when'}", locale)
            case "other" | "beyond":
                return tr(f"dialogue.agenda.{wish.kind}", locale)

    async def _clock_asked(self, text: str, person: Person, locale: str, *, part: bool) -> str | None:
        """What a clock or a calendar answers, of whatever place; None where neither is asked."""
        now = self._clock.now()
        if there := asked_there(text):
            told = [clock_there(*one, now, locale) for one in there]
            return "\n".join(told if len(told) < 2 else [tr("dialogue.agenda.several", locale), *told])
        if (name := zone_wanted(text)) is not None:
            await self._people.change(person.id, {"timezone": name}, Act("person.change", person.id, person.id))
            await self.move(person.id, name)
            clock = f"{datetime.fromtimestamp(now, UTC).astimezone(zone(name)):%H:%M}"
            return tr("dialogue.agenda.moved", locale, zone=name, time=clock)
        where = self._zone_name(person)
        if zone_asked(text):
            clock = f"{datetime.fromtimestamp(now, UTC).astimezone(zone(where)):%H:%M}"
            return tr(f"dialogue.agenda.{'zone' if where else 'zoneless'}", locale, zone=where, time=clock)
        return about_day(text, now, zone(where), locale, today=part)

    async def _add(
        self, wish: Wish, person: Person, envelope: Envelope, reminder: str, ways: tuple[str, str]
    ) -> str | None:
        where, locale = ways
        now, rule = self._clock.now(), cast("Rule", wish.rule)
        mine = await self.find(person.id)
        if len(mine) >= self._settings.limit and all(one.id != reminder for one in mine):
            return tr("dialogue.agenda.full", locale, limit=self._settings.limit)
        due = following(rule, now, zone(where))
        if due is None:
            return tr("dialogue.agenda.past", locale)
        made = Reminder(reminder, person.id, wish.what, rule, where, due, _place(envelope), locale, wish.care)
        async with self._lock:
            await self._put(made)
        self._made[_where(made.place)] = now, made
        self._spoken[person.id] = now
        self._changed.set()
        key = "care_added" if wish.care else "added" if wish.what else "added_bare"
        return tr(f"dialogue.agenda.{key}", locale, what=wish.what, when=self._when(made, locale))

    async def _amended(self, text: str, person: Person, place: str, locale: str) -> str | None:
        """Correct the reminder that the message right before this one made; None where this is about something else."""
        at, made = self._made.pop(place, (0.0, None))
        now = self._clock.now()
        if made is None or made.person != person.id or now - at > _CORRECTED:
            return None
        rule = amended(text, made.rule, now, zone(made.zone))
        due = following(rule, now, zone(made.zone)) if rule else None
        if rule is None or due is None or await self._records.get(_KIND, made.id) is None:
            return None
        made = replace(made, rule=rule, next=due, held=0.0)
        async with self._lock:
            await self._put(made)
        self._made[place] = now, made
        self._changed.set()
        return tr("dialogue.agenda.changed", locale, what=_matter(made, locale), when=self._when(made, locale))

    async def _shifted(self, text: str, person: Person, place: str, locale: str) -> str | None:
        """Move a reminder that is called by its matter; None where none is called so, or nothing is to be moved."""
        now = self._clock.now()
        shift = read_shift(text, now, self.zone(person))
        found = meant(shift.what, await self.find(person.id)) if shift else []
        if shift is None or len(found) != 1:
            return None
        (old,) = found
        rule = shift.rule(old.rule, old.next.at, now, zone(old.zone))
        if rule is None:
            return tr("dialogue.agenda.unmoved", locale, what=old.what)
        due = following(rule, now, zone(old.zone))
        if due is None:
            return tr("dialogue.agenda.past", locale)
        moved = replace(old, rule=rule, next=due, held=0.0)
        async with self._lock:
            await self._put(moved)
        self._made[place] = now, moved
        self._changed.set()
        return tr("dialogue.agenda.changed", locale, what=_matter(moved, locale), when=self._when(moved, locale))

    async def _cleared(self, text: str, person: str, locale: str) -> str | None:
        """Cancel all that there is, for who says no more than that right after reminders were spoken of."""
        lately = self._clock.now() - self._spoken.get(person, 0.0) < _CORRECTED
        if not lately or not all_cancelled(text) or not await self.find(person):
            return None
        return await self._drop(Wish("cancel", everything=True), person, locale)

    async def _tell(self, person: str, locale: str) -> str:
        mine = await self.find(person)
        self._spoken[person] = self._clock.now()
        if not mine:
            return tr("dialogue.agenda.none", locale)
        lines = [f"{n}. {self._when(r, locale)}: {_matter(r, locale)}" for n, r in enumerate(mine, 1)]
        return "\n".join((tr("dialogue.agenda.list", locale), *lines))

    async def _drop(self, wish: Wish, person: str, locale: str) -> str | None:
        mine = await self.find(person)
        if (wish.everything and not wish.what) or (not wish.what and not wish.number and len(mine) == 1):
            chosen = list(mine)
        elif wish.number:
            chosen = list(mine[wish.number - 1 : wish.number])
        else:
            chosen = meant(wish.what, mine)
        if not chosen:
            return tr("dialogue.agenda.unknown", locale) if mine else tr("dialogue.agenda.none", locale)
        exact = [one for one in chosen if one.what.casefold() == wish.what.casefold()]
        chosen = exact if exact and not wish.everything else chosen
        if len(chosen) > 1 and not wish.everything:
            lines = [f"{mine.index(one) + 1}. {self._when(one, locale)}: {_matter(one, locale)}" for one in chosen]
            return "\n".join((tr("dialogue.agenda.which", locale, number=mine.index(chosen[0]) + 1), *lines))
        for reminder in chosen:
            with contextlib.suppress(NotFound):
                await self.cancel(reminder.id)
        return tr("dialogue.agenda.cancelled", locale, what=", ".join(_matter(r, locale) for r in chosen))

    async def _put_off(self, wish: Wish, envelope: Envelope, reminder: str, locale: str) -> str | None:
        at, last = self._last.get(_where(_place(envelope)), (0.0, None))
        now = self._clock.now()
        if last is None or now - at > _AGAIN:
            return None if wish.rule else tr("dialogue.agenda.nothing", locale)
        rule = Rule("instant", start=str(now + wish.seconds))
        again = replace(last, id=reminder, rule=rule, next=Due(rule.start, now + wish.seconds), held=0.0)
        async with self._lock:
            await self._put(again)
        self._changed.set()
        return tr("dialogue.agenda.snoozed", locale, when=self._when(again, locale))

    def _when(self, reminder: Reminder, locale: str) -> str:
        where = zone(reminder.zone)
        often, soon = rhythm(reminder.rule, locale), moment(reminder.next.at, self._clock.now(), where, locale)
        if reminder.rule.every in ("day", "week") and reminder.rule.step > 1:
            return tr("dialogue.agenda.next", locale, often=often, when=soon)
        return often or soon

    async def _fire(self, reminder: Reminder) -> tuple[Reminder | None, int]:
        """Say one reminder, or hold it back; what is left of it, and 1 when it was said."""
        now, where = self._clock.now(), zone(reminder.zone)
        if (held := await self._holds(reminder, now, where)) > now:
            kept = replace(reminder, held=held)
            await self._put(kept)
            _said.add(1, outcome="held")
            return kept, 0
        due, missed = latest(reminder.rule, reminder.next, now, where)
        name = f"reminder:{reminder.id}@{due.name}"
        accepted = await self._inbox.accept(_envelope(reminder, name, self._words(reminder, due, now), now))
        self._last[_where(reminder.place)] = (now, reminder)
        if not accepted.duplicate:
            await self._count(reminder.person, now, where)
        _said.add(1, outcome="said")
        _log.info("reminder said", reminder=reminder.id, missed=missed, duplicate=accepted.duplicate)
        after = following(reminder.rule, due.at, where)
        if after is None:
            await self._records.delete(_KIND, reminder.id)
            return None, 1
        left = replace(reminder, next=after, held=0.0)
        await self._put(left)
        return left, 1

    async def _holds(self, reminder: Reminder, now: float, where: tzinfo | None) -> float:
        """Until when quiet hours or the day's measure hold a reminder back; 0 when nothing does."""
        soft = reminder.care or reminder.rule.every == "minutes"
        if soft and (until := self._settings.silent(now, where)) > now:
            return until
        local = datetime.fromtimestamp(now, UTC).astimezone(where)
        counted = await self._records.get(_COUNTS, reminder.person) or {}
        if counted.get("day") == f"{local:%Y-%m-%d}" and int(counted.get("count", 0)) >= self._settings.daily:
            morning = self._settings.quiet.partition("-")[2] or "08:00"
            return instant(local.date() + timedelta(days=1), morning, where)
        return 0.0

    async def _count(self, person: str, now: float, where: tzinfo | None) -> None:
        day = f"{datetime.fromtimestamp(now, UTC).astimezone(where):%Y-%m-%d}"
        counted = await self._records.get(_COUNTS, person) or {}
        before = int(counted.get("count", 0)) if counted.get("day") == day else 0
        await self._records.put(_COUNTS, person, {"day": day, "count": before + 1})

    def _words(self, reminder: Reminder, due: Due, now: float) -> str:
        locale = reminder.locale
        if reminder.care:
            number = int(hashlib.blake2b(due.name.encode(), digest_size=2).hexdigest(), 16) % 3
            return tr(f"dialogue.agenda.care{number}", locale)
        text = tr("dialogue.agenda.say", locale, what=_matter(reminder, locale))
        if now - due.at > _LATE and not reminder.held:
            text += tr("dialogue.agenda.late", locale, when=moment(due.at, now, zone(reminder.zone), locale))
        return text

    async def _all(self) -> Sequence[Reminder]:
        found: list[Reminder] = []
        for key, kept in (await self._records.all(_KIND)).items():
            try:
                found.append(Reminder.restore(kept))
            except (KeyError, TypeError, ValueError):
                _log.warning("reminder unreadable", reminder=key)
        return found

    async def _put(self, reminder: Reminder) -> None:
        await self._records.put(_KIND, reminder.id, reminder.keep())

    def _zone_name(self, person: Person | None) -> str:
        return (person.timezone if person else "") or self._default


def _place(envelope: Envelope) -> Mapping[str, Any]:
    """Where to say it: the conversation in which it was asked for."""
    names = ("channel", "account", "sender", "conversation", "kind", "sender_name", "persona", "deliver")
    return {name: getattr(envelope, name) for name in names}


def _where(place: Mapping[str, Any]) -> str:
    return "\x1f".join(str(place[name]) for name in ("channel", "account", "conversation"))


def _matter(reminder: Reminder, locale: str) -> str:
    return reminder.what or tr("dialogue.agenda.care" if reminder.care else "dialogue.agenda.bare", locale)


def _envelope(reminder: Reminder, name: str, text: str, now: float) -> Envelope:
    """What the house itself says to the inbox. Its role is one that nobody outside can give a message."""
    message = Message(f"m_{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}", "system", (Text(text),), now)
    return Envelope(platform_id=name, message=message, locale=reminder.locale, **reminder.place)
