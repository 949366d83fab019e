"""Instants and rhythms in words, in Chinese and English."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo

from kith.dialogue.initiative.schedule import Rule
from kith.dialogue.values.zones import zone
from kith.runtime.locale import language, tr

_HAN = "一二三四五六日"
_ENGLISH = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip


def moment(at: float, now: float, where: tzinfo | None, locale: str) -> str:
    """An instant as somebody in that zone says it: "tomorrow at 15:00", "明天 15:00"."""
    local, today = (datetime.fromtimestamp(one, UTC).astimezone(where) for one in (at, now))
    days, clock = (local.date() - today.date()).days, f"{local:%H:%M}"
    if -1 <= days <= 1:
        return tr(
            ("dialogue.agenda.yesterday", "dialogue.agenda.today", "dialogue.agenda.tomorrow")[days + 1],
            locale,
            time=clock,
        )
    if language(locale) == "zh":
        return f"{local.year}年{local.month}月{local.day}日（周{_HAN[local.weekday()]}）{clock}"
    return f"on {_ENGLISH[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} {local.year}, at {clock}"


def day_named(day: date, locale: str) -> str:
    """A day as it is said in full: "Monday, 23 November 2026", "2026年11月23日，星期一"."""
    if language(locale) == "zh":
        return f"{day.year}年{day.month}月{day.day}日，星期{_HAN[day.weekday()]}"
    return f"{_ENGLISH[day.weekday()]}, {day.day} {_MONTHS[day.month - 1]} {day.year}"


def clock_there(place: str, name: str, now: float, locale: str) -> str:
    """What time it is in a place, whose zone is `name`, and on which day: it may be another one there."""
    local = datetime.fromtimestamp(now, UTC).astimezone(zone(name))
    zh = language(locale) == "zh"
    day = (
        f"{local.month}月{local.day}日（周{_HAN[local.weekday()]}）"
        if zh
        else f"{_ENGLISH[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]}"
    )
    shown = place if zh or not place.islower() else place.title()
    return tr("dialogue.agenda.there", locale, place=shown, time=f"{local:%H:%M}", day=day)


def rhythm(rule: Rule, locale: str) -> str:
    """How often and when: "every day at 08:00", "每天 08:00"; "" for what happens once."""
    if rule.every in ("once", "instant"):
        return ""
    zh = language(locale) == "zh"
    clock = ("、" if zh else " and ").join(rule.at)
    if rule.every == "minutes":
        hours, minutes = divmod(rule.step, 60)
        if zh:
            return "每" + (f"{hours}小时" if hours else "") + (f"{minutes}分钟" if minutes else "")
        return "every " + " ".join(filter(None, (_many(hours, "hour"), _many(minutes, "minute"))))
    return f"{_han(rule)} {clock}" if zh else f"{_english(rule)} at {clock}"


def _many(number: int, unit: str) -> str:
    return "" if not number else unit if number == 1 else f"{number} {unit}s"


def _han(rule: Rule) -> str:
    step = f"每{rule.step}" if rule.step > 1 else "每"
    match rule.every:
        case "day":
            return f"{step}天"
        case "week":
            return f"{step}周" + "、".join(_HAN[day] for day in rule.days)
        case "month" if rule.nth:
            which = "最后一" if rule.nth < 0 else f"第{_HAN[rule.nth - 1]}"
            weekday = f"周{_HAN[rule.days[0]]}"
            return f"每月{which}个" + ("工作日" if len(rule.days) > 1 else weekday)
        case "month":
            return "每月" + "、".join("最后一天" if day < 0 else f"{day}日" for day in rule.days)
        case _:
            return f"每年{int(rule.start[5:7])}月{int(rule.start[8:10])}日"


def _english(rule: Rule) -> str:
    every = "every " + (f"{rule.step} " if rule.step > 1 else "")
    match rule.every:
        case "day":
            return every + ("days" if rule.step > 1 else "day")
        case "week":
            names = " and ".join(_ENGLISH[day] for day in rule.days)
            return (
                "every weekday"
                if rule.days == (0, 1, 2, 3, 4) and rule.step == 1
                else (f"every {names}" if rule.step == 1 else f"every {rule.step} weeks on {names}")
            )
        case "month" if rule.nth:
            nth = "last" if rule.nth < 0 else ("first", "second", "third", "fourth", "fifth")[rule.nth - 1]
            day = _ENGLISH[rule.days[0]] if len(rule.days) == 1 else "working day"
            return f"on the {nth} {day} of each month"
        case "month":
            days = ["the last day" if day < 0 else f"day {day}" for day in rule.days]
            return f"on {' and '.join(days)} of each month"
        case _:
            return f"every year on {int(rule.start[8:10])} {_MONTHS[int(rule.start[5:7]) - 1]}"
