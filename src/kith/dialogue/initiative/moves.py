"""Moving a reminder that is there already: "move the dentist to 4 pm", "把开会推迟一个小时"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol, TypeVar

from kith.dialogue.flows.entities import extract
from kith.dialogue.initiative.schedule import Rule
from kith.dialogue.initiative.wishes import amended

_LIMIT = 120  # characters of a message that moves something
_POLITE = r"^(?:(?:please|actually|no|sorry|wait|can you|could you|would you|kith|请|麻烦|帮我|能不能|你)[\s,，]*)*"
_MOVE = re.compile(
    rf"{_POLITE}(?:(?:move|change|shift|reschedule|push|bring|switch|set)(?: the| my)? (?P<a>.{{1,40}}?)"
    r"(?: (?:back|forward))? (?:to|until|till) (?P<at>.{1,40})"
    r"|make(?: the| my)? (?P<b>.{1,40}?)(?: (?:one|reminder|alarm))? (?:at |on )?"
    r"(?P<at2>(?:\d|tomorrow|today|tonight|noon|mon|tue|wed|thu|fri|sat|sun|next ).{0,40}))\W*$"
    rf"|{_POLITE}把?(?P<c>.{{1,20}}?)(?:改|挪|推迟|延后|提前|换|调整?|移|推)(?:到|成|为|至)(?P<at3>.{{2,20}}?)吧?[。！!]*$",
    re.IGNORECASE,
)
_SHIFT = re.compile(
    rf"{_POLITE}(?:(?P<late>postpone|delay|push(?: back)?|put off)|(?P<soon>bring forward))"
    r"(?: the| my)? (?P<a>.{1,40}?)(?: back)? (?:by|for) (?P<by>.{2,24}?)\W*$"
    rf"|{_POLITE}把?(?P<c>.{{1,20}}?)(?:(?P<late2>推迟|延后|往后推|晚|推后)|(?P<soon2>提前|往前挪|提早))(?P<by2>.{{1,10}}?)吧?[。！!]*$",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"^(?:the|my|that|about|关于)\s+|\s+(?:one|reminder|alarm|appointment|meeting reminder)$"
    r"|的?(?:那个|那条|这个|这条)?的?(?:提醒|闹钟|事|时间)$|的?(?:那个|那条)$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z0-9]{3,}", re.IGNORECASE)
_COMMON = {"the", "and", "for", "that", "one", "with", "about", "reminder", "alarm", "all", "please"}
_VERBS = """
my our your his her out off reminders alarms call ring phone text email send write buy get take bring pick drop pay
check make give ask tell meet visit see book order clean wash feed fix start stop turn put set look find read
"""
_SHARED = _COMMON | set(_VERBS.split())
"""Words that reminders share without being about the same: "call the bank" is not "call mum"."""


class Kept(Protocol):
    """A reminder, as far as it has a name."""

    @property
    def what(self) -> str: ...


K = TypeVar("K", bound=Kept)


@dataclass(frozen=True, slots=True)
class Shift:
    """What is to be moved: the reminder called `what`, to what `to` says, or by `seconds`."""

    what: str
    to: str = ""
    seconds: float = 0.0

    def rule(self, old: Rule, at: float, now: float, zone: tzinfo | None) -> Rule | None:
        """What `old`, whose next time is `at`, becomes; None where what is wished cannot be read or done."""
        if self.to:
            chinese = re.search(r"[\u4e00-\u9fff]", self.to)
            told = f"改到{self.to}" if chinese else f"make it {self.to}"
            return amended(told, old, now, zone) or _weekday(self.to, old, now, zone)
        moved = datetime.fromtimestamp(at + self.seconds, UTC).astimezone(zone)
        if old.every == "instant":
            return replace(old, start=str(at + self.seconds)) if at + self.seconds > now else None
        if old.every == "once":
            return replace(old, at=(f"{moved:%H:%M}",), start=moved.date().isoformat())
        same = moved.date() == datetime.fromtimestamp(at, UTC).astimezone(zone).date()
        return replace(old, at=(f"{moved:%H:%M}",)) if same and len(old.at) == 1 and old.every != "minutes" else None


def read_shift(text: str, now: float, zone: tzinfo | None) -> Shift | None:
    """The wish to move something, or None. Whether there is a reminder of that name is for the caller to see."""
    said = " ".join(text.split())
    if len(said) > _LIMIT:
        return None
    if (found := _SHIFT.match(said)) is not None:
        groups = found.groupdict()
        spans = [one for one in extract(groups["by"] or groups["by2"], (), now, zone) if one.name == "duration"]
        if spans:
            sign = 1 if groups["late"] or groups["late2"] else -1
            return Shift(_named(groups["a"] or groups["c"]), seconds=sign * float(spans[0].value))
    if (found := _MOVE.match(said)) is not None:
        groups = found.groupdict()
        what = _named(groups["a"] or groups["b"] or groups["c"])
        return Shift(what, (groups["at"] or groups["at2"] or groups["at3"]).strip()) if what else None
    return None


def meant(what: str, kept: Sequence[K]) -> list[K]:
    """Those that `what` names: by a part of their words, else by a word that they share."""
    wanted = _named(what).casefold()
    if not wanted or wanted in _COMMON:
        return []
    found = [one for one in kept if _within(wanted, one.what.casefold()) or _within(one.what.casefold(), wanted)]
    words = {word.casefold() for word in _WORD.findall(wanted)} - _SHARED
    return found or [one for one in kept if words & {word.casefold() for word in _WORD.findall(one.what)}]


def _within(part: str, whole: str) -> bool:
    """Whether one matter stands in another: "eat" is not in "heat"."""
    exact = re.escape(part)
    return bool(part) and bool(re.search(rf"(?<![a-z0-9]){exact}(?![a-z0-9])" if part.isascii() else exact, whole))


def _named(what: str) -> str:
    before, name = "", what.strip(" ,，.。'\"“”")
    while before != name:
        before, name = name, _NAME.sub("", name).strip()
    return name


def _weekday(to: str, old: Rule, now: float, zone: tzinfo | None) -> Rule | None:
    """A weekly reminder on another day of the week."""
    days = [one for one in extract(to, (), now, zone) if one.name == "date" and len(one.value) == 10]
    if old.every != "week" or len(old.days) != 1 or not days:
        return None
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    ahead = date.fromisoformat(days[0].value) - today
    fits = timedelta(0) <= ahead <= timedelta(14)
    return replace(old, days=((today + ahead).weekday(),), start=today.isoformat()) if fits else None
