"""When something is due: a rule in somebody's wall-clock time, and the instants that it means in their time zone.

A local time that a change of clocks leaves out is read with the offset before the change, and one that comes twice is
its first: RFC 5545 (iCalendar), section 3.3.5.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal, cast

Every = Literal["instant", "once", "minutes", "day", "week", "month", "year"]

_HORIZON = 366 * 9  # days: a 29 February may be eight years away
_LAST = -1


@dataclass(frozen=True, slots=True)
class Rule:
    """How often and when.

    `at` are times of day (HH:MM). `step` is every how many minutes, days, weeks or months; `start` the date (ISO) that
    it counts from and the day of ``once`` and ``year``, for ``minutes`` and ``instant`` an instant in seconds. `days`
    are weekdays (Monday is 0) for ``week``, days of the month for ``month`` (-1 the last); with `nth`, the month's nth
    (-1 the last) day that is one of the weekdays `days`. A day that a month or a year lacks is its last of that month.
    """

    every: Every
    at: tuple[str, ...] = ()
    step: int = 1
    days: tuple[int, ...] = ()
    nth: int = 0
    start: str = ""

    def keep(self) -> Mapping[str, Any]:
        """JSON-shaped; `restore` reads it."""
        return asdict(self)

    @classmethod
    def restore(cls, kept: Mapping[str, Any]) -> Rule:
        """From what `keep` gave."""
        at = tuple(str(one) for one in cast("list[Any]", kept.get("at", ())))
        days = tuple(int(one) for one in cast("list[Any]", kept.get("days", ())))
        every = cast("Every", str(kept["every"]))
        return cls(every, at, int(kept.get("step", 1)), days, int(kept.get("nth", 0)), str(kept.get("start", "")))


@dataclass(frozen=True, slots=True)
class Due:
    """One occurrence: its name, the same whatever the clock does meanwhile, and its instant."""

    name: str
    at: float


def following(rule: Rule, after: float, zone: tzinfo | None) -> Due | None:
    """The first occurrence later than the instant `after`; None when there is none."""
    if rule.every == "instant":
        start = float(rule.start)
        return Due(str(int(start)), start) if start > after else None
    if rule.every == "minutes":
        start, gap = float(rule.start or 0), rule.step * 60.0
        number = max(int((after - start) // gap) + 1, 1)
        return Due(str(int(start + number * gap)), start + number * gap)
    first = datetime.fromtimestamp(after, UTC).astimezone(zone).date() - timedelta(days=1)
    for day in _days(rule, first):
        dues = sorted((_due(day, at, zone) for at in rule.at), key=lambda due: due.at)
        for due in dues:
            if due.at > after:
                return due
    return None


def latest(rule: Rule, due: Due, now: float, zone: tzinfo | None) -> tuple[Due, int]:
    """The last occurrence from `due` on that is not later than `now`, and how many before it were missed."""
    missed = 0
    while (after := following(rule, due.at, zone)) is not None and after.at <= now and missed < _HORIZON:
        if rule.every == "minutes":
            gap = rule.step * 60.0
            missed += int((now - due.at) // gap) - 1
            after = following(rule, due.at + gap * int((now - due.at) // gap) - 1, zone) or after
        due, missed = after, missed + 1
    return due, missed


def instant(day: date, at: str, zone: tzinfo | None) -> float:
    """The instant of a local time (HH:MM) on a day."""
    hour, minute = at.split(":")
    local = datetime.combine(day, time(int(hour), int(minute)))
    return (local.replace(tzinfo=zone) if zone else local).timestamp()


def _due(day: date, at: str, zone: tzinfo | None) -> Due:
    return Due(f"{day.isoformat()}T{at}", instant(day, at, zone))


def _days(rule: Rule, first: date) -> Iterator[date]:
    """The rule's days from `first` on, within nine years."""
    start = date.fromisoformat(rule.start) if rule.start else first
    if rule.every == "once":
        yield start
        return
    day = max(first, start) if rule.every != "year" else first
    for _ in range(_HORIZON):
        if _falls(rule, day, start):
            yield day
        if day >= date.max - timedelta(days=1):
            return
        day += timedelta(days=1)


def _falls(rule: Rule, day: date, start: date) -> bool:
    match rule.every:
        case "day":
            return (day - start).days % rule.step == 0
        case "week":
            weeks = ((day - timedelta(days=day.weekday())) - (start - timedelta(days=start.weekday()))).days // 7
            return day.weekday() in rule.days and weeks % rule.step == 0
        case "month":
            months = (day.year - start.year) * 12 + day.month - start.month
            return months % rule.step == 0 and _in_month(rule, day)
        case "year":
            length = calendar.monthrange(day.year, start.month)[1]
            return (day.month, day.day) == (start.month, min(start.day, length))
        case _:
            return False


def _in_month(rule: Rule, day: date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    if rule.nth:
        if day.weekday() not in rule.days:
            return False
        fitting = [number for number in range(1, length + 1) if (day.weekday() + number - day.day) % 7 in rule.days]
        return day.day == (fitting[-1] if rule.nth == _LAST else fitting[min(rule.nth, len(fitting)) - 1])
    return any(day.day == (length if wanted == _LAST else min(wanted, length)) for wanted in rule.days)
