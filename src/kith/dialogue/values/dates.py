"""Days in Chinese and English, counted from today: each form is a regular expression and how to read it."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date, timedelta

from kith.dialogue.values.numerals import ENGLISH, HAN, HAN_DIGITS, PLAIN, number

Match = re.Match[str]
Reader = Callable[[Match, date], str]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b"
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT = "|".join(name[:3] for name in _WEEKDAYS) + "|tues|thur|thurs"
_DAYS = {
    "今天": 0, "今日": 0, "今晚": 0, "今早": 0, "今夜": 0, "明天": 1, "明日": 1, "明晚": 1, "明早": 1, "后天": 2,
    "大后天": 3,
    "昨天": -1, "昨日": -1, "昨晚": -1, "前天": -2, "大前天": -3, "today": 0, "tonight": 0, "tomorrow": 1, "tmr": 1,
    "yesterday": -1, "the day after tomorrow": 2, "day after tomorrow": 2, "the day before yesterday": -2,
    "day before yesterday": -2, "this morning": 0, "this afternoon": 0, "this evening": 0, "last night": -1,
}  # fmt: skip
_FEASTS = {
    "元旦": (1, 1), "new year's day": (1, 1), "情人节": (2, 14), "valentine's day": (2, 14), "妇女节": (3, 8),
    "愚人节": (4, 1), "april fools' day": (4, 1), "劳动节": (5, 1), "五一": (5, 1), "labour day": (5, 1),
    "儿童节": (6, 1), "六一": (6, 1), "教师节": (9, 10), "国庆节": (10, 1), "国庆": (10, 1), "halloween": (10, 31),
    "万圣节": (10, 31), "双十一": (11, 11), "平安夜": (12, 24), "christmas eve": (12, 24), "圣诞节": (12, 25),
    "圣诞": (12, 25), "christmas day": (12, 25), "christmas": (12, 25), "xmas": (12, 25),
    "new year's eve": (12, 31), "跨年夜": (12, 31),
}  # fmt: skip
# Feasts of the lunar calendar, by the tables of the Hong Kong Observatory.
_LUNAR = {
    "春节": ("2026-02-17", "2027-02-06", "2028-01-26", "2029-02-13", "2030-02-03"),
    "chinese new year": ("2026-02-17", "2027-02-06", "2028-01-26", "2029-02-13", "2030-02-03"),
    "端午节": ("2026-06-19", "2027-06-09", "2028-05-28"),
    "中秋节": ("2026-09-25", "2027-09-15", "2028-10-03"),
}  # fmt: skip
_YEARS = {"前年": -2, "去年": -1, "今年": 0, "明年": 1, "后年": 2}
_HAN_NUMBER = rf"(?:\d{{1,2}}|[{HAN}]{{1,3}})"
_YEAR = rf"(?:\d{{4}}|[{HAN_DIGITS}]{{4}})"
_UNIT = r"(?P<unit>days?|weeks?|months?|years?)"
_HAN_UNIT = "(?P<unit>天|周|个?星期|个?礼拜|个月|年)"
_COUNT = rf"(?:{PLAIN}|{ENGLISH}|an?|a few)"
_ORDINAL = r"(\d{1,2})(?:st|nd|rd|th)"


def _alternatives(words: dict[str, object]) -> str:
    ordered = sorted(words, key=len, reverse=True)
    return "|".join(rf"\b{word}\b" if word.isascii() else word for word in ordered)


def made(year: int, month: int, day: int) -> str:
    """An ISO date, "" for one that does not exist."""
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""


def moved(day: date, *, days: int = 0, months: int = 0) -> str:
    """An ISO date so many days and months away, at the month's last day where it is shorter; "" beyond time."""
    try:
        if months:
            index = day.year * 12 + day.month - 1 + months
            year, month = divmod(index, 12)
            day = date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
        return (day + timedelta(days=days)).isoformat()
    except (OverflowError, ValueError):
        return ""


def _int(text: str | None) -> int:
    value = number(text or "")
    return int(value) if value is not None and abs(value) < 10**6 else -1


def _full(match: Match, _: date) -> str:
    return made(_int(match[1]), _int(match[2]), _int(match[3]))


def _european(match: Match, _: date) -> str:
    return made(int(match[3]), int(match[2]), int(match[1]))


def _slashed(match: Match, _: date) -> str:
    """Only where month and day cannot be mistaken for each other."""
    first, second = int(match[1]), int(match[2])
    if first > 12 or first == second:
        return made(int(match[3]), second, first)
    return made(int(match[3]), first, second) if second > 12 else ""


def _year_month(match: Match, _: date) -> str:
    year, month = _int(match[1]), _int(match[2])
    return f"{year:04}-{month:02}" if 1 <= month <= 12 and year > 0 else ""


def _named_month(match: Match, _: date) -> str:
    return f"{int(match[2]):04}-{_MONTHS.index(match[1][:3].casefold()) + 1:02}"


def _coming(month: int, day: int, today: date) -> str:
    """The next such day, today included; the 29th of February in the next year that has one."""
    years = range(today.year, today.year + 9)
    return next((found for year in years if (found := made(year, month, day)) >= today.isoformat()), "")


def _month_day(match: Match, today: date) -> str:
    month, day = _int(match[2]), _int(match[3])
    return made(today.year + _YEARS[match[1]], month, day) if match[1] else _coming(month, day, today)


def _bare(match: Match, today: date) -> str:
    """12/25, which is no fraction."""
    return _coming(int(match[1]), int(match[2]), today)


def _this_month(match: Match, today: date) -> str:
    """上/这/本/下(个)月 with a day, its end or its beginning."""
    step = {"上": -1, "下": 1}.get(match[1][0], 0)
    first = moved(today.replace(day=1), months=step)
    if not first:
        return ""
    month = date.fromisoformat(first)
    last = calendar.monthrange(month.year, month.month)[1]
    day = last if match[3] else 1 if match[4] else _int(match[2])
    return made(month.year, month.month, day)


def _in_month(match: Match, today: date) -> str:
    """ "The 5th of next month"."""
    step = {"next": 1, "last": -1}.get(match[2].casefold(), 0)
    first = moved(today.replace(day=1), months=step)
    return made(int(first[:4]), int(first[5:7]), int(match[1])) if first else ""


def _day_only(match: Match, today: date) -> str:
    """ "15号" or "the 15th": the next such day, today included."""
    day = _int(match[1])
    for ahead in range(12):
        first = moved(today.replace(day=1), months=ahead)
        found = made(int(first[:4]), int(first[5:7]), day) if first else ""
        if found and found >= today.isoformat():
            return found
    return ""


def _named(match: Match, today: date) -> str:
    month, day = (match[1], match[2]) if match[2].isdigit() else (match[2], match[1])
    number_of = _MONTHS.index(month[:3].casefold()) + 1
    return made(int(match[3]), number_of, int(day)) if match[3] else _coming(number_of, int(day), today)


def _day(match: Match, today: date) -> str:
    return moved(today, days=_DAYS[" ".join(match[0].casefold().split())])


def _feast(match: Match, today: date) -> str:
    name = match[0].casefold().replace("’", "'")
    if name in _LUNAR:
        return next((day for day in _LUNAR[name] if day >= today.isoformat()), "")
    return _coming(*_FEASTS[name], today)


def _han_weekday(match: Match, today: date) -> str:
    """The next such day, today excluded; 下 means that of the week after this one, 这 and 本 that of this one."""
    wanted = "一二三四五六日".index(match[2].replace("天", "日").replace("末", "六"))
    return _of_week(today, wanted, match[1] or "")


def _weekday(match: Match, today: date) -> str:
    name = match[2].casefold()
    wanted = 5 if name == "weekend" else next(i for i, day in enumerate(_WEEKDAYS) if day.startswith(name[:3]))
    step = {"next": "下", "last": "上", "this": "这"}.get((match[1] or "").casefold().strip(), "")
    return _of_week(today, wanted, step)


def _of_week(today: date, wanted: int, step: str) -> str:
    ahead = wanted - today.weekday()
    if step.startswith("下"):
        ahead += 7 * step.count("下")
    elif step.startswith("上"):
        ahead -= 7 * step.count("上")
    elif not step and ahead <= 0:
        ahead += 7
    return moved(today, days=ahead)


def _away(match: Match, today: date) -> str:
    """Days, weeks, months and years from now or ago."""
    count = _int(match["count"].replace("a few", "3")) if match["count"] not in ("a", "an", "A", "An") else 1
    if count < 0:
        return ""
    unit = match["unit"].casefold().removesuffix("s")
    sign = -1 if match["past"] else 1
    if unit in ("month", "个月", "year", "年"):
        return moved(today, months=sign * count * (12 if unit in ("year", "年") else 1))
    return moved(today, days=sign * count * (7 if unit in ("week", "周", "星期", "个星期", "礼拜", "个礼拜") else 1))


def _from_weekday(match: Match, today: date) -> str:
    """ "A week from Monday", "two weeks on Friday"."""
    count = 1 if match["count"].casefold() in ("a", "an") else _int(match["count"])
    wanted = next(i for i, day in enumerate(_WEEKDAYS) if day == match["day"].casefold())
    days = count * (7 if match["unit"].casefold().startswith("week") else 1)
    return moved(date.fromisoformat(_of_week(today, wanted, "")), days=days) if 0 < count < 1000 else ""


def _end(match: Match, today: date) -> str:
    said = match[0].casefold()
    if "年" in said or "year" in said:
        return made(today.year, 12, 31)
    return made(today.year, today.month, calendar.monthrange(today.year, today.month)[1])


DATES: tuple[tuple[str, Reader], ...] = (
    (r"(?<!\d)(\d{4})([-/.])\d{1,2}\2\d{1,2}(?!\d)", lambda match, _: _dashed(match)),
    (rf"(?<!\d)({_YEAR})年({_HAN_NUMBER})月({_HAN_NUMBER})(?:[日号]|(?!\d))", _full),
    (r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![\d.])", _european),
    (r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])", _slashed),
    (rf"(?<!\d)({_YEAR})年({_HAN_NUMBER})月(?:份)?", _year_month),
    (rf"({'|'.join(_YEARS)})?({_HAN_NUMBER})月({_HAN_NUMBER})[日号]", _month_day),
    (rf"([上下]个?月|[这本]个?月)(?:({_HAN_NUMBER})[日号]|(月?底|末)|(初))", _this_month),
    (rf"(?:the )?{_ORDINAL} of (this|next|last) month", _in_month),
    (rf"\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?\b(?!:)", _named),
    (rf"\b(?:the )?(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTH})(?:,? (\d{{4}}))?\b", _named),
    (rf"\b({_MONTH}),? (\d{{4}})\b", _named_month),
    (r"(?<![\d/.])(1[0-2]|0?[1-9])/(3[01]|2\d|1[3-9])(?![\d/.])(?! ?(?:of\b|cups?\b|inch))", _bare),
    (rf"\b(?P<count>{_COUNT}) (?P<unit>days?|weeks?) (?:from|on) (?P<day>{'|'.join(_WEEKDAYS)})\b", _from_weekday),
    (
        rf"(?P<count>{PLAIN}|[{HAN}]{{1,5}}) ?{_HAN_UNIT}(?:(?P<past>之?前|以前)|[之以]?后)",
        _away,
    ),
    (rf"\bin (?P<count>{_COUNT}) {_UNIT}\b(?P<past>(?!))?", _away),
    (
        rf"\b(?P<count>{_COUNT}) {_UNIT} (?:(?P<past>ago|earlier)|from (?:now|today)|later)\b",
        _away,
    ),
    (_alternatives({**_DAYS}), _day),
    (_alternatives({**_FEASTS, **_LUNAR}).replace("'", "['’]"), _feast),
    (r"(下{1,2}个?|上{1,2}个?|[这本]个?)?(?:周|星期|礼拜)([一二三四五六日天末])", _han_weekday),
    (rf"\b(?:(next|last|this|coming) )?({'|'.join(_WEEKDAYS)})\b", _weekday),
    (r"\b(next|last|this) (weekend)\b", _weekday),
    (rf"\b(?:on|(next|last|this|by)) ({_SHORT})\b(?![.'-]?\w)", _weekday),
    (r"月底|年底|\bend of (?:the|this) (?:month|year)\b", _end),
    (
        r"(下个月|上个月|这个月|本月|下月|上月)(?![\d底初末亮饼球光季])|\b(?:(?:next|last|this) month)\b",
        lambda m, t: _whole(m, t),
    ),
    (rf"(?<![\d{HAN}第])({_HAN_NUMBER})号(?![线楼房店馆门机院厅库桌车码])", _day_only),
    (rf"\b(?:on )?the {_ORDINAL}\b(?! (?:of|floor|time|century|place|birthday|edition|anniversary))", _day_only),
)


def _dashed(match: Match) -> str:
    year, month, day = re.split(r"[-/.]", match[0])
    return made(int(year), int(month), int(day))


def _whole(match: Match, today: date) -> str:
    step = {"下": 1, "n": 1, "上": -1, "l": -1}.get(match[0][0].casefold(), 0)
    return moved(today.replace(day=1), months=step)[:7]
