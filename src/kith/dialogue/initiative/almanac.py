"""Questions about days that a calendar answers: "what is the date tomorrow", "后天周几", "离春节还有几天"."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo

from kith.dialogue.flows.entities import extract
from kith.dialogue.initiative.diction import day_named
from kith.runtime.locale import tr

_LIMIT = 80  # characters of a question about a day
_ASK = (
    r"^(?:(?:hey|hi|kith|please|and|also|then|so|can you|could you|tell me|do you know"
    r"|再|请|请问|那|那么|顺便|告诉我|你知道|问一下)[\s,，]*)*"
)
_DATE = re.compile(
    rf"{_ASK}(?:what|which)(?:['’]?s| is| was| will be)?(?: the)? (?:date|day(?: of the week)?|weekday)"
    r"(?: (?:is|was|will it be|will be|falls on|is it|does))?(?: on)? (?P<a>[\w' ,’]{3,40}?)(?: fall on| on| be)?\W*$"
    r"|^(?:what|which) (?:day|date|weekday) (?:is|was|will) (?P<b>[\w' ,’]{3,40}?)(?: be| on| fall on)?\W*$"
    r"|^when is (?P<c>[\w' ’]{3,40}?)(?: this year| next)?\W*$"
    rf"|{_ASK}(?P<d>.{{2,16}}?)的?(?:日期)?(?:是|会是)?(?:几月)?(?:几[号日]|星期几|礼拜几|周几|哪一?天|什么日子)\W*[呀啊呢了]?\W*$",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    rf"{_ASK}how (?:many days|long)(?: is it| are there| do we have| (?:are )?left| is left)?"
    r"(?: (?:until|till|to|before)| left (?:until|till|to)) (?P<a>[\w' ,’]{3,40}?)\W*$"
    rf"|{_ASK}(?:离|距离?|到)(?P<d>.{{2,14}}?)(?:还|只)?(?:有|剩下?|要|差)?(?:几天|多少天|多久)了?[呀啊呢]?\W*$",
    re.IGNORECASE,
)
_LEFT = re.compile(
    rf"{_ASK}how many days (?:are )?(?:left|remain(?:ing)?)(?: (?:are )?(?:in|of))?"
    r" ?(?:this|the) (?P<y>year|month)(?: left)?\W*$"
    rf"|{_ASK}(?:今年|这一?年|(?P<m>这个?月|本月))(?:还|只)(?:有|剩下?)(?:几|多少)天了?\W*$",
    re.IGNORECASE,
)
_NOW = re.compile(r"today|it|now|it is|it today|今天|现在|今日|今天是", re.IGNORECASE)


def about_day(text: str, now: float, zone: tzinfo | None, locale: str, *, today: bool = False) -> str | None:
    """The answer to a question about a day by the calendar of `zone`; None for any other message.

    Questions about the present day are left to the flow, unless `today`.
    """
    said = " ".join(text.split())
    if len(said) > _LIMIT:
        return None
    present = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    if (found := _LEFT.match(said)) is not None:
        month = bool(found["m"]) or (found["y"] or "").casefold() == "month"
        first = date(present.year + (not month or present.month == 12), present.month % 12 + 1 if month else 1, 1)
        return tr("dialogue.day.left", locale, count=(first - present).days - 1)
    for form, key in ((_UNTIL, "until"), (_DATE, "is")):
        if (found := form.match(said)) is None:
            continue
        named = next((piece for piece in found.groups() if piece), "").strip()
        if _NOW.fullmatch(named):
            return tr("dialogue.day.is", locale, day=day_named(present, locale)) if today and key == "is" else None
        days = [one for one in extract(named, (), now, zone) if one.name == "date" and len(one.value) == 10]
        if len(days) != 1 or days[0].end - days[0].start < len(named.removeprefix("the ").removeprefix("on ")) - 2:
            continue  # more than a day is asked about
        day = date.fromisoformat(days[0].value)
        count, name = (day - present).days, day_named(day, locale)
        if key == "until":
            return tr("dialogue.day.until" if count >= 0 else "dialogue.day.since", locale, count=abs(count), day=name)
        return tr("dialogue.day.was" if count < 0 else "dialogue.day.is", locale, day=name)
    return None
