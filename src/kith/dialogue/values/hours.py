"""Times of day in Chinese and English: each form is a regular expression and how to read it as HH:MM."""

from __future__ import annotations

import re
from collections.abc import Callable

from kith.dialogue.values.numerals import ENGLISH, HAN, number

Match = re.Match[str]
Reader = Callable[[Match, str], str]

_PERIOD = r"凌晨|清晨|清早|早晨|早上|今早|明早|上午|中午|下午|傍晚|晚上|夜里|半夜|今晚|明晚|昨晚|今夜"
_LATE = re.compile(r"(下午|傍晚|晚上?|夜里?)的?[^，。,.;；\d]{0,4}$")
_EVENING = re.compile(
    r"\b(?:afternoon|evening|tonight|night)\b[^.;!?\d]{0,24}$|^[^.;!?]{0,12}\b(?:afternoon|evening|tonight|at night)\b",
    re.IGNORECASE,
)
_WORD = r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_HAN_HOUR = rf"(?:2[0-4]|[01]?\d|[{HAN}]{{1,3}})"
_HAN_MINUTE = (
    rf"半|一刻|三刻|零[一二三四五六七八九]分?|[二三四五]?十[一二三四五六七八九]?分?|[{HAN}]{{1,3}}分|[0-5]?\d分?|整|钟"
)
_UNITS = (
    r"(?! ?(?:%|percent|dollars?|euros?|pounds?|minutes?|mins?|hours?|days?|weeks?|months?|years?|km|miles?|people|\$|/"
    r"|[.,:]\d|-\d|st\b|nd\b|rd\b|th\b|\d))"
)
_ON = r" ?(?:(?:tomorrow|(?:on )?(?:next )?(?:mon|tues|wednes|thurs|fri|satur|sun)day) ?)?"
_AT = r"(?:at|by|around|about|before|after|until|till|from|since|to)"


_FEW = ("两", "二", "三", "四", "五", "六", "2", "3", "4", "5", "6")
_POINT = re.compile("建议|意见|要求|想法|看法|原因|理由|问题|说明|好处|坏处|不同|体会|注意|疑问|感受|经验|教训|内容")


def _time(hour: int, minute: int) -> str:
    return f"{hour % 24:02}:{minute:02}" if 0 <= hour <= 24 and 0 <= minute < 60 else ""


def _halved(hour: int, half: str) -> int:
    """Of an hour on a dial: ``a`` before noon, ``p`` after it."""
    return hour % 12 + (12 if half == "p" else 0) if half and hour <= 12 else hour


def _half(match: Match, text: str, said: str = "") -> str:
    """Which half of the day the words around an English time tell: "in the evening", "tonight at"."""
    if said:
        return "a" if said.casefold().startswith("m") else "p"
    before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() : match.end() + 40]
    if re.match(rf"{_ON}(?:in the|this)? ?morning\b", after, re.IGNORECASE):
        return "a"
    if re.match(rf"{_ON}(?:tonight|(?:in the|this)? ?(?:evening|afternoon)|(?:at )?night)\b", after, re.IGNORECASE):
        return "p"
    return "p" if _EVENING.search(before) and not re.match(r"^.*\b(?:morning)\b", before) else ""


def _clock(match: Match, text: str) -> str:
    hour, half = int(match[1]), (match[3] or "")[:1].casefold()
    if not half and hour <= 12:
        half = {"": "", **dict.fromkeys(("下午", "傍晚", "晚上", "今晚", "明晚", "昨晚", "夜里"), "p")}.get(
            _before(match, text), ""
        ) or (_half(match, text) if hour < 12 else "")
    return _time(_halved(hour, half), int(match[2]))


def _before(match: Match, text: str) -> str:
    found = re.search(rf"({_PERIOD}) ?$", text[: match.start()])
    return found[1] if found else ""


def _hour(match: Match, _: str) -> str:
    return _time(_halved(int(match[1]), match[3].casefold()), int(match[2] or 0))


def _past(match: Match, text: str) -> str:
    """ "Half past seven", "ten to six"."""
    words = {"half": 30, "quarter": 15, "a quarter": 15}
    amount = words.get(match[1].casefold())
    counted = number(match[1]) if amount is None else amount
    hour = number(match[3])
    if counted is None or hour is None or not 0 < counted < 60 or not 1 <= hour <= 12:
        return ""
    after = re.match(r" (?:in the (morning|afternoon|evening)|at (night))", text[match.end() :], re.IGNORECASE)
    base = _halved(int(hour), _half(match, text, (after[1] or after[2]) if after else ""))
    minute = int(counted)
    return _time(base, minute) if match[2].casefold() in ("past", "after") else _time((base - 1) % 24, 60 - minute)


def _at(match: Match, text: str) -> str:
    hour = number(match[2])
    if hour is None or hour != int(hour) or not 0 <= hour <= 23:
        return ""
    said = (match[3] or match[4] or "").casefold()
    return _time(_halved(int(hour), _half(match, text, said)), 0)


def _word(match: Match, text: str) -> str:
    said = match[0].casefold()
    if "night" in said or said in ("午夜", "半夜", "零点"):
        return "00:00"
    if said == "正午" and text[match.end() : match.end() + 1].isdigit():
        return ""
    return "12:00"


def _han(match: Match, text: str) -> str:
    value = number(match[2])
    if value is None or value != int(value) or value > 24:
        return ""
    period = match[1] or ""
    if not period and not match[3] and re.match(r"[零一二三四五六七八九](?![分十零])", text[match.end() :]):
        return ""  # "三点五" is 3.5
    if not period and match[2] in ("一", "几") and not _sure(match, text):
        return ""  # "早一点" is a little, not one o'clock
    if not period and not match[3] and match[2] in _FEW and _POINT.match(text, match.end()):
        return ""  # two points of a list
    if not period and (late := _LATE.search(text[max(0, match.start() - 8) : match.start()])):
        period = late[1]
    minute = _minute(match[3] or "")
    return _time(_of_period(int(value), period), minute)


def _sure(match: Match, text: str) -> bool:
    if match[3] or re.match(r"[之以]?[前后]|左右|开始|见|到", text[match.end() :]):
        return True
    return text[max(0, match.start() - 1) : match.start()] in ("在", "到", "是", "至", "从")


def _of_period(hour: int, period: str) -> int:
    if period in ("下午", "傍晚"):
        return hour + 12 if hour < 12 else hour
    if "晚" in period or period in ("夜里", "夜", "半夜", "今夜"):
        if hour == 12:
            return 0
        return hour + 12 if 5 <= hour < 12 else hour
    if period == "中午":
        return hour + 12 if hour < 6 else hour
    return 0 if hour == 12 and period == "凌晨" else hour


def _minute(said: str) -> int:
    known = {"": 0, "整": 0, "钟": 0, "半": 30, "一刻": 15, "三刻": 45}
    if said in known:
        return known[said]
    value = number(said.removesuffix("分"))
    return int(value) if value is not None else -1


def _short_of(match: Match, _: str) -> str:
    """差五分八点: five minutes before eight."""
    hour = number(match[3])
    short = 15 if match[2] == "一刻" else number(match[2].removesuffix("分"))
    if hour is None or short is None or not 0 < short < 60 or hour > 24:
        return ""
    period = match[1] or ""
    return _time((_of_period(int(hour), period) - 1) % 24, 60 - int(short))


HOURS: tuple[tuple[str, Reader], ...] = (
    (r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?(?![\d:])(?: ?([ap])\.?m\b\.?)?", _clock),
    (r"(?<![\d.:])(1[0-2]|0?[1-9])(?:[.:]([0-5]\d))? ?([ap])(?:\.m\.|m\b)", _hour),
    (
        rf"\b(half|(?:a )?quarter|{ENGLISH}|[0-5]?\d)(?: minutes?)? (past|after|to) ({_WORD}|1[0-2]|[1-9])\b{_UNITS}",
        _past,
    ),
    (
        rf"\b(?:{_AT} )?()({_WORD}|1[0-2]|[1-9]) ?o['’]?clock(?: in the (morning|afternoon|evening)| at (night))?",
        _at,
    ),
    (rf"\b({_AT}) ({_WORD}|2[0-3]|1\d|[1-9]) (?:in the (morning|afternoon|evening)|at (night)|(?=tonight))", _at),
    (rf"\b(at|by|before|after|until|till) ({_WORD}|2[0-3]|1\d|[1-9])()()\b(?! ?[ap]\.?m){_UNITS}(?! [a-z]+s\b)", _at),
    (rf"({_PERIOD})?差({_HAN_MINUTE})({_HAN_HOUR})点", _short_of),
    (rf"({_PERIOD})?的?({_HAN_HOUR})(?:点钟?|时(?=[\d{HAN}整半]))(?!五?[子儿])(?:({_HAN_MINUTE})(?!点))?", _han),
    (r"\bnoon\b|\bmidday\b|\bmidnight\b|正午|午夜|零点(?![一二三四五六七八九])", _word),
)
