"""The built-in kinds of value in Chinese and English, in a first form: what is common is read, what is rare is not.

Values are normalised: a number is decimal ("三百二十" is "320"), a date ISO 8601, a time HH:MM, money "12.5 CNY", a
duration in seconds, phone numbers are digits with a leading "+" where it was there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

QUANTITIES = ("url", "email", "phone", "money", "date", "time", "duration", "number")

Found = tuple[str, str, int, int]

_DIGIT_PAIRS = ("零〇", "一壹", "二贰两", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
_DIGITS = {character: digit for digit, pair in enumerate(_DIGIT_PAIRS) for character in pair}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000, "万": 10**4, "亿": 10**8}
_ENGLISH = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
}  # fmt: skip
_HAN = "".join(_DIGITS) + "".join(_UNITS)
_MONTHS: tuple[str, ...] = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_WEEKDAYS: tuple[str, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_AMOUNT = rf"\d[\d,]{{0,20}}(?:\.\d{{1,9}})?|[{_HAN}]{{1,20}}"
_COUNT = rf"(?:{_AMOUNT}|" + "|".join(sorted(_ENGLISH, key=len, reverse=True)) + "|半)"
_CURRENCY = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollars": "USD", "dollar": "USD", "美元": "USD", "美金": "USD",
    "€": "EUR", "eur": "EUR", "euros": "EUR", "euro": "EUR", "欧元": "EUR", "£": "GBP", "gbp": "GBP", "pounds": "GBP",
    "英镑": "GBP", "¥": "CNY", "￥": "CNY", "cny": "CNY", "rmb": "CNY", "yuan": "CNY", "元": "CNY", "块钱": "CNY",
    "块": "CNY", "人民币": "CNY", "jpy": "JPY", "日元": "JPY", "港币": "HKD", "hkd": "HKD",
}  # fmt: skip
_SIGNS = "|".join(re.escape(sign) for sign in sorted(_CURRENCY, key=len, reverse=True))
_DAYS = {"今天": 0, "今日": 0, "今晚": 0, "明天": 1, "明日": 1, "明晚": 1, "后天": 2, "昨天": -1, "前天": -2,
         "today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}  # fmt: skip
_SPANS = {"秒": 1, "second": 1, "sec": 1, "分钟": 60, "minute": 60, "min": 60, "小时": 3600, "钟头": 3600, "hour": 3600,
          "天": 86400, "day": 86400, "周": 604800, "星期": 604800, "week": 604800}  # fmt: skip

_ONE = re.compile(r"(?:^|\b(?:for|just|only|exactly|about|plus|and|is|want|need))\W*$", re.IGNORECASE)
_NO_NUMBER = re.compile("一[起下直样定些点般切旦边共会]|十分|万一|千万[别不要]|三心二意")

_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(form, re.IGNORECASE))
    for name, form in (
        (
            "url",
            r"https?://[^\s<>\"'，。！？；、（）\u4e00-\u9fff]{1,1000}[^\s<>\"'.,!?;:)，。！？；、（）\u4e00-\u9fff]",
        ),
        ("email", r"(?<![a-z0-9_.+-])[a-z0-9_.+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,4}"),
        ("iso_date", r"(?<!\d)(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})(?:[日号]|(?!\d))"),
        ("month_day", r"(?<!\d)(\d{1,2})月(\d{1,2})[日号]"),
        ("named_date", rf"\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?\b"),
        ("dated_name", rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({_MONTH})(?:,? (\d{{4}}))?\b"),
        ("day", "|".join(rf"\b{w}\b" if w.isascii() else w for w in _DAYS)),
        ("weekday", r"(下个?)?(?:周|星期|礼拜)([一二三四五六日天])|\b(next )?(" + "|".join(_WEEKDAYS) + r")\b"),
        ("clock", r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)? ?([ap]\.?m\b)?"),
        ("hour", r"\b(1[0-2]|0?[1-9]) ?([ap])\.?m\b"),
        ("han_hour", rf"(凌晨|早上|上午|中午|下午|晚上)?([01]?\d|2[0-4]|[{_HAN}]{{1,3}})点(半|一刻|三刻|[0-5]?\d分?)?"),
        ("money", rf"({_SIGNS}) ?({_AMOUNT})|({_AMOUNT}) ?({_SIGNS})(?![a-z])"),
        ("duration", rf"({_COUNT}) ?(?:个)?({'|'.join(_SPANS)})s?(?![a-z])"),
        ("phone", r"(?<![a-z0-9_+])(?:\+\d[\d -]{6,17}\d|1[3-9]\d{9}|\(?\d{3,4}\)?[ -]\d{3,4}[ -]?\d{4})(?![a-z0-9_])"),
        (
            "number",
            rf"(?<![a-z0-9_.])-?\d[\d,]{{0,20}}(?:\.\d{{1,9}})?(?!\d)|[{_HAN}]{{1,20}}|\b(?:{'|'.join(_ENGLISH)})\b",
        ),
    )
)


def quantities(text: str, now: float) -> list[Found]:
    """Name, normalised value, start and end of each value in `text`; of overlapping ones, the form listed first.

    `now` (seconds since 1970) is what "tomorrow" counts from, in the machine's own time zone.
    """
    today = _local(now).date()
    taken: list[Found] = []
    for form, expression in _FORMS:
        found: list[Found] = []
        for match in expression.finditer(text):
            read = _READ.get(form)
            value = read(match, today) if read else match[0]
            if value:
                found.append((_KIND.get(form, form), value, *match.span()))
        for _, _, start, end in found:  # what is read is not read again
            text = text[:start] + "\0" * (end - start) + text[end:]
        taken += found
    return taken


def number(text: str) -> Decimal | None:
    """The number that digits, Chinese numerals or an English word say; None where they say none."""
    plain = text.strip().replace(",", "").casefold()
    if plain in _ENGLISH:
        return Decimal(_ENGLISH[plain])
    if plain == "半":
        return Decimal("0.5")
    try:
        return Decimal(plain)
    except InvalidOperation:
        return _chinese(plain)


def _chinese(text: str) -> Decimal | None:
    if not text or any(c not in _DIGITS and c not in _UNITS for c in text):
        return None
    if not any(c in _UNITS for c in text):
        return Decimal("".join(str(_DIGITS[c]) for c in text))
    large = middle = section = digit = last = 0
    for character in text:
        unit = _UNITS.get(character, 0)
        if unit >= 10**4:
            middle = (middle + section + digit) * unit if unit == 10**4 else middle + section + digit
            large, middle = (large + middle * unit, 0) if unit == 10**8 else (large, middle)
            section = digit = 0
        elif unit:
            section += (digit or 1) * unit
            digit = 0
        else:
            digit = _DIGITS[character]
        last = unit or (last if character not in "零〇" and character == text[-1] else 0)
    colloquial = last // 10 if last >= 100 and digit else 1  # 一万二 is 12000, 一万零二 is 10002
    return Decimal(large + middle + section + digit * colloquial)


def _local(now: float) -> datetime:
    try:
        return datetime.fromtimestamp(now, UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return datetime(1970, 1, 1, tzinfo=UTC)


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(match: re.Match[str], _: date) -> str:
    if match[0].casefold() == "one" and not _ONE.search(match.string[: match.start()]):
        return ""  # "the big one" counts nothing
    if _NO_NUMBER.match(match.string, match.start()):
        return ""
    value = number(match[0])
    return "" if value is None else _plain(value)


def _money(match: re.Match[str], _: date) -> str:
    sign, amount = (match[1], match[2]) if match[1] else (match[4], match[3])
    value = number(amount)
    return "" if value is None else f"{_plain(value)} {_CURRENCY[sign.casefold()]}"


def _duration(match: re.Match[str], _: date) -> str:
    value = number(match[1])
    return "" if value is None else _plain(value * _SPANS[match[2].casefold()])


def _phone(match: re.Match[str], _: date) -> str:
    digits = re.sub(r"\D", "", match[0])
    return ("+" if match[0].startswith("+") else "") + digits if 7 <= len(digits) <= 15 else ""


def _date(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""


def _named(match: re.Match[str], today: date) -> str:
    month, day = (match[1], match[2]) if match[2].isdigit() else (match[2], match[1])
    return _date(int(match[3] or today.year), _MONTHS.index(month[:3].casefold()) + 1, int(day))


def _day(match: re.Match[str], today: date) -> str:
    try:
        return (today + timedelta(days=_DAYS[match[0].casefold()])).isoformat()
    except OverflowError:
        return ""


def _weekday(match: re.Match[str], today: date) -> str:
    """The next such day, today excluded; "next" and "下" mean that of the week after this one."""
    wanted = "一二三四五六日".index(match[2].replace("天", "日")) if match[2] else _WEEKDAYS.index(match[4].casefold())
    ahead = wanted - today.weekday()
    ahead += 7 if match[1] or match[3] or ahead <= 0 else 0
    try:
        return (today + timedelta(days=ahead)).isoformat()
    except OverflowError:
        return ""


def _clock(match: re.Match[str], _: date) -> str:
    hour, half = int(match[1]), (match[3] or "")[:1].casefold()
    hour = hour % 12 + (12 if half == "p" else 0) if half and hour <= 12 else hour
    return f"{hour:02}:{match[2]}"


def _hour(match: re.Match[str], _: date) -> str:
    return f"{int(match[1]) % 12 + (12 if match[2].casefold() == 'p' else 0):02}:00"


def _han_hour(match: re.Match[str], _: date) -> str:
    value = number(match[2])
    if value is None or value > 24:
        return ""
    hour = int(value)
    hour += 12 if match[1] in ("下午", "晚上", "中午") and hour < (12 if match[1] != "中午" else 6) else 0
    rest = {"半": "30", "一刻": "15", "三刻": "45"}.get(match[3] or "0", (match[3] or "0").removesuffix("分"))
    return f"{hour % 24:02}:{int(rest or 0):02}"


_KIND = {"iso_date": "date", "month_day": "date", "named_date": "date", "dated_name": "date", "day": "date",
         "weekday": "date", "clock": "time", "hour": "time", "han_hour": "time"}  # fmt: skip
_READ: dict[str, Callable[[re.Match[str], date], str]] = {
    "iso_date": lambda match, _: _date(int(match[1]), int(match[2]), int(match[3])),
    "month_day": lambda match, today: _date(today.year, int(match[1]), int(match[2])),
    "named_date": _named,
    "dated_name": _named,
    "day": _day,
    "weekday": _weekday,
    "clock": _clock,
    "hour": _hour,
    "han_hour": _han_hour,
    "money": _money,
    "duration": _duration,
    "phone": _phone,
    "number": _number,
}


def moment(now: float, language: str) -> Iterator[tuple[str, str]]:
    """The placeholders ``time``, ``date`` and ``weekday`` of an instant, as people of that language write them."""
    local = _local(now)
    yield "time", f"{local:%H:%M}"
    if language == "zh":
        yield "date", f"{local.year} 年 {local.month} 月 {local.day} 日"
        yield "weekday", "星期" + "一二三四五六日"[local.weekday()]
    else:
        yield "date", f"{local.day} {local:%B} {local.year}"
        yield "weekday", f"{local:%A}"
