"""Time zones by name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_LIMIT = 120  # characters of a message that may be about a zone
_WANTED = re.compile(
    r"^(?:hi,? |please,? )?(?:my time ?zone is(?: now)?|set my time ?zone to|use(?: the)? time ?zone"
    r"|change my time ?zone to|i(?:'ve| have)? moved to|i now live in|i live in .{0,40} now,? use) (.{2,40}?)\W*$"
    r"|^(?:请)?(?:我的时区(?:现在)?(?:是|改成|改为|设为)|把(?:我的)?时区(?:改成|改为|设为|设成)|按"
    r"|我(?:已经|现在)?搬到了?|我现在住在)(.{2,20}?)(?:时间|时区)?(?:来)?(?:吧|了|提醒我)?[。！!]*$",
    re.IGNORECASE,
)
_THERE = re.compile(
    r"^(?:hi,? |please,? |kith,? )?(?:(?:can|could) you (?:please )?tell me |tell me |do you know )?"
    r"(?:what(?: ?i|['’]?)s the (?:current |local )?(?:time|date)|what (?:time|day|date) (?:is it|it is)(?: today)?"
    r"|(?:the )?(?:current |local )?time)(?: right)?(?: now)? (?:(?:over |there )?in)"
    r" (?P<en>[a-zà-ÿ][a-zà-ÿ .'’-]{1,30}?)"
    r"(?:, ?(?:uk|england|usa?|china|japan|germany|france))?(?: right now| now| today| at the moment| currently)?"
    r"(?:,? please)?\W*$"
    r"|^(?:请问)?(?:一下)?(?:现在|此刻|目前|这会儿)?(?P<zh>[\u4e00-\u9fff]{2,8}?)(?:那边|那里|当地)?(?:时间)?的?"
    r"(?:现在|此刻|目前|这会儿|今天)?的?(?:是)?(?:几点钟?|什么时间|时间是(?:几点|多少)|几月几[号日]|几[号日]|星期几|周几)"
    r"了?[呀啊呢]?\W*$",
    re.IGNORECASE,
)
_MINE = re.compile(
    r"(?:(?:do you know|tell me) )?(?:what|which)(?:['’]?s| is)? (?:my )?time ?zone"
    r"(?: (?:am i in|do you use(?: for me)?|is mine|is set))?\W*"
    r"|我的?(?:现在)?的?时区是?(?:什么|哪个|多少|哪里)?\W*|我在(?:什么|哪个)时区\W*"
    r"|你(?:按|用)(?:的是)?(?:什么|哪个)时区\W*",
    re.IGNORECASE,
)

_CLOCK = re.compile(
    r"(?<=\d|m) ?\b(?P<short>utc|gmt|est|edt|pst|pdt|cet|cest|jst)\b(?! ?[+-]?\d)"
    r"|\b(?P<en>(?:[a-z'.]{2,14} ){1,3})time\b"
    r"|(?P<zh>[\u4e00-\u9fff]{2,6})时间(?=[\d零一二两三四五六七八九十早上中下晚凌今明后])",
    re.IGNORECASE,
)
_SHORT = {"utc": "UTC", "gmt": "UTC", "est": "America/New_York", "edt": "America/New_York", "jst": "Asia/Tokyo",
          "pst": "America/Los_Angeles", "pdt": "America/Los_Angeles", "cet": "Europe/Paris",
          "cest": "Europe/Paris"}  # fmt: skip


@cache
def zone(name: str) -> ZoneInfo | None:
    """The zone of the IANA database with this name; None, the machine's own, for "". Raises `ValueError`."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


def zone_wanted(text: str) -> str | None:
    """The zone that a message asks to live by ("my time zone is …", "I moved to Tokyo"); None where it does not ask."""
    match = _WANTED.match(" ".join(text.split())) if len(text) <= _LIMIT else None
    if match is None:
        return None
    place = next(filter(None, match.groups())).strip(" .。!！的").casefold()
    named = _places()[0].get(place.removeprefix("the ").removesuffix(" time"))
    if named is None and "/" in place:
        named = next((name for name in available_timezones() if name.casefold() == place.replace(" ", "_")), None)
    return named


def zone_asked(text: str) -> bool:
    """Whether a message asks for the time zone that one lives by."""
    return len(text) <= _LIMIT and _MINE.fullmatch(" ".join(text.split())) is not None


def asked_there(text: str) -> tuple[tuple[str, str], ...]:
    """The place whose time a message asks for ("what time is it in Tokyo", "东京几点了"), as written, and its zone.

    Two cities where a place has several zones, that of most people first if most go by one; nothing for a place that
    is not known, and for other messages.
    """
    match = _THERE.match(" ".join(text.split())) if len(text) <= _LIMIT else None
    if match is None:
        return ()
    place = (match["en"] or match["zh"]).strip()
    known, wide = _places()
    wanted = place.casefold().removeprefix("the ").replace("’", "'").replace(". ", " ").strip(" .")
    there = (
        {city: known[city.casefold()] for city in wide[wanted]} if wanted in wide else {place: known.get(wanted, "")}
    )
    return tuple((city, name) for city, name in there.items() if name)


def clock_of(text: str) -> tuple[tuple[int, int], str] | None:
    """Whose clock a time is told by ("3 pm New York time", "东京时间八点"): where the text says so, and the zone."""
    for match in _CLOCK.finditer(text[:_LIMIT]):
        if match["short"]:
            return match.span("short"), _SHORT[match["short"].casefold()]
        words = match["en"].split() if match["en"] else list(match["zh"])
        glue = " " if match["en"] else ""
        for skipped in range(len(words)):
            place = glue.join(words[skipped:])
            if named := _places()[0].get(place.casefold()):
                return (match.end() - len(place + glue) - (4 if glue else 2), match.end()), named
    return None


@cache
def _places() -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The names of ``cities.txt``: each with its zone, and the wide ones each with two cities."""
    found: dict[str, str] = {}
    wide: dict[str, tuple[str, ...]] = {}
    mainly: list[str] = []
    for line in (Path(__file__).parent / "cities.txt").read_text("utf-8").splitlines():
        name, _, places = line.partition(": ")
        kind, _, names = name.partition(" ")
        if kind in ("mainly", "several"):
            cities = tuple(places.split(", "))
            wide |= dict.fromkeys(names.split(", "), cities)
            mainly += names.split(", ") if kind == "mainly" else []
        elif kind != "#":
            found |= dict.fromkeys(places.split(", "), name)
    return found | {name: found[wide[name][0].casefold()] for name in mainly}, wide
