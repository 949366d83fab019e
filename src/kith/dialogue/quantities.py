"""The built-in kinds of value in Chinese and English, each found by its forms and normalised.

A number is decimal ("三百二十" is "320"); a date ISO 8601 ("2026-03-05",
or "2026-03" for a month); a time HH:MM; money
"12.5 CNY"; a percentage "50 %"; a duration seconds (a month counts 30 days,
a year 365); phone numbers are digits with
a leading "+" where it was there; a place its English name; a person and an address the words themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal

from kith.dialogue.dates import DATES
from kith.dialogue.hours import HOURS
from kith.dialogue.numerals import CHINESE, DIGITS, ENGLISH, HAN, number, shown
from kith.dialogue.places import ADDRESSES, PEOPLE, PLACES

QUANTITIES = (
    "url", "email", "phone", "money", "percent", "date", "time", "duration", "address", "person", "place", "number",
)  # fmt: skip

Found = tuple[str, str, int, int]
Match = re.Match[str]


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a reader may look at beside its match: today, and the whole text before anything was consumed."""

    today: date
    text: str


_Reader = Callable[[Match, _Scene], str]

_CURRENCY = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollars": "USD", "dollar": "USD", "bucks": "USD", "美元": "USD",
    "美金": "USD", "€": "EUR", "eur": "EUR", "euros": "EUR", "euro": "EUR", "欧元": "EUR", "£": "GBP", "gbp": "GBP",
    "pounds": "GBP",
    "pound": "GBP", "quid": "GBP", "英镑": "GBP", "¥": "CNY", "￥": "CNY", "cny": "CNY", "rmb": "CNY", "yuan": "CNY",
    "元": "CNY", "圆": "CNY", "元钱": "CNY", "块钱": "CNY", "块": "CNY", "元人民币": "CNY", "人民币": "CNY",
    "jpy": "JPY", "yen": "JPY", "日元": "JPY", "港币": "HKD", "港元": "HKD", "hkd": "HKD", "hk$": "HKD",
    "台币": "TWD",
    "新台币": "TWD", "nt$": "TWD", "a$": "AUD", "aud": "AUD", "澳元": "AUD", "c$": "CAD", "cad": "CAD", "加元": "CAD",
    "chf": "CHF",
    "瑞士法郎": "CHF", "韩元": "KRW", "₩": "KRW", "₹": "INR", "inr": "INR", "rupees": "INR", "卢布": "RUB",
    "₽": "RUB",
}  # fmt: skip
_SIGNS = "|".join(re.escape(sign) for sign in sorted(_CURRENCY, key=len, reverse=True))
_BEFORE = "|".join(
    re.escape(s) for s in sorted(_CURRENCY, key=len, reverse=True) if not s.isalpha() or s in ("usd", "eur", "gbp",
    "cny", "rmb", "jpy", "hkd", "chf", "aud", "cad", "inr", "人民币", "美元", "港币"))  # fmt: skip
_SPANS = {
    "秒": 1, "秒钟": 1, "s": 1, "second": 1, "sec": 1, "分钟": 60, "m": 60, "min": 60, "minute": 60, "小时": 3600,
    "钟头": 3600, "h": 3600, "hr": 3600, "hour": 3600, "天": 86400, "day": 86400, "周": 604800, "星期": 604800,
    "礼拜": 604800,
    "week": 604800, "月": 2592000, "month": 2592000, "年": 31536000, "year": 31536000,
}  # fmt: skip
_HAN_SPAN = "秒钟?|分钟|小时|钟头|天|周(?!年|[一二三四五六日末])|星期(?![一二三四五六日天])|礼拜(?![一二三四五六日天])"
_AMOUNT = rf"(?:{DIGITS}|{CHINESE}|\b{ENGLISH})"
_COUNT = rf"(?:{_AMOUNT}|半)"
_LATIN_SPAN = r"seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?"

_ONE = re.compile(r"(?:^|\b(?:for|just|only|exactly|about|plus|and|is|want|need))\W*$", re.IGNORECASE)
_NO_NUMBER = re.compile(
    "一[起下直样定些点般切旦边共会路生向致律时身心旁再贯味番方眼]|十分(?!钟)|万一|千万[别不要]|四川|九江|三亚|百度|百货|百姓|千克|三明治"
    "|万岁|万能|六神|两边|三星|十足"
)
_IDIOM = re.compile(
    "乱七八糟|七上八下|不三不四|三心二意|十全十美|九九归一|五颜六色|四面八方|一心一意|千方百计|千辛万苦|五花八门|三番五次|一举两得"
    "|半信半疑|百里挑一|独一无二|九牛一毛|丢三落四|接二连三|一五一十|万无一失|一模一样|成千上万|千千万万|数一数二"
)
_AFTER_NO_NUMBER = re.compile("[统唯专单逐同万]$")


def _whole(match: Match, _: _Scene) -> str:
    return match[0]


def _number(match: Match, scene: _Scene) -> str:
    before = scene.text[: match.start()]
    if match[0].casefold() == "one" and not _ONE.search(before):
        return ""  # "the big one" counts nothing
    if any(idiom.start() <= match.start() < idiom.end() for idiom in _IDIOM.finditer(scene.text)):
        return ""
    if _NO_NUMBER.match(scene.text, match.start()) or (match[0] == "一" and _AFTER_NO_NUMBER.search(before)):
        return ""
    negative = match[0][0] == "负" or match[0].casefold().startswith("minus ")
    value = number(re.sub(r"^(?:负|minus )", "", match[0], flags=re.IGNORECASE))
    return "" if value is None else ("-" if negative else "") + shown(value)


def _money(match: Match, _: _Scene) -> str:
    sign, amount = (match["sign"], match["after"]) if match["sign"] else (match["unit"], match["before"])
    value = number(amount)
    return "" if value is None else f"{shown(value)} {_CURRENCY[sign.casefold()]}"


def _small_money(match: Match, _: _Scene) -> str:
    """三块五, 两块五毛, 5毛, 十二元三角."""
    whole, tenth = number(match[1] or "0"), number(match[2])
    return "" if whole is None or tenth is None or tenth > 9 else f"{shown(whole + tenth / 10)} CNY"


def _cents(match: Match, _: _Scene) -> str:
    value = number(match[1])
    return "" if value is None else f"{shown(value / 100)} USD"


def _percent(match: Match, _: _Scene) -> str:
    value = number(match[1] or match[2] or match[3])
    return "" if value is None else f"{shown(value * (10 if match[3] else 1))} %"


def _duration(match: Match, scene: _Scene) -> str:
    """A row of amounts with their units, halves included: "1 hour 30 minutes", "两个半小时", "一年半"."""
    if match[0].casefold() == "one day" and not _ONE.search(scene.text[: match.start()]):
        return ""  # "one day I will"
    total = Decimal(0)
    for part in _PIECE.finditer(match[0]):
        amount = part["count"] or part["bare"]
        value = Decimal(1) if amount.casefold() in ("a", "an") else number(amount)
        if value is None:
            return ""
        span = (part["unit"] or part["short"]).casefold()
        seconds = _SPANS.get(span) or _SPANS[span.removesuffix("s")]
        half = bool(part["half"] or part["behind"])
        total += (value + (Decimal("0.5") if half else 0)) * seconds
    return shown(total) if total else ""


def _special_duration(match: Match, _: _Scene) -> str:
    said = match[0].casefold()
    table = {"half": 1800, "quarter": 900, "three": 2700, "一刻": 900, "三刻": 2700, "半天": 43200, "半年": 15768000}
    if "and a half" in said:
        head = said.split(" ")[0]
        value = Decimal(1) if head in ("a", "an") else number(head)
        unit = next(unit for unit in ("minute", "hour", "day", "week", "month", "year") if unit in said)
        return "" if value is None else shown((value + Decimal("0.5")) * _SPANS[unit])
    if said.startswith("half a"):
        unit = said.rsplit(" ", 1)[1]
        return shown(Decimal("0.5") * _SPANS[unit])
    return next((str(seconds) for start, seconds in table.items() if said.removeprefix("a ").startswith(start)), "")


def _phone(match: Match, _: _Scene) -> str:
    digits = re.sub(r"\D", "", match[0])
    return ("+" if match[0].startswith("+") else "") + digits if 7 <= len(digits) <= 15 else ""


def _place(match: Match, _: _Scene) -> str:
    return PLACES[match[0].casefold()]


def _named(match: Match, _: _Scene) -> str:
    return match[1]


def _address(match: Match, _: _Scene) -> str:
    """The address without the words that lead to it ("我住在", "寄到")."""
    return re.sub(r"^[^路街道巷弄]*?(?:住在|位于|寄到|送到|地址是|[在到去往址于])", "", match[1])


_PIECE = re.compile(
    rf"(?P<count>{_COUNT}|an?) ?(?:个)?(?P<half>半|and a half )?(?:个)?"
    rf"(?P<unit>{_HAN_SPAN}|月|年|{_LATIN_SPAN})(?P<behind>半)?"
    r"|(?P<bare>\d+(?:\.\d+)?) ?(?P<short>[hs]|min|m(?=\b))",
    re.IGNORECASE,
)
_ONE_SPAN = (
    rf"(?:(?:{_COUNT}|\ban?) ?(?:个)?(?:半|and a half )?(?:个)?"
    rf"(?:{_HAN_SPAN}|(?<=个)月|(?<=半)月|(?:{_LATIN_SPAN})\b)半?"
    rf"|(?<!第)(?:\d{{1,3}}|[{HAN}]{{1,3}})年半?(?![代级前后初底末中\d{HAN}月]))"
)
_PLACE = "|".join(rf"\b{re.escape(n)}\b" if n.isascii() else n for n in sorted(PLACES, key=len, reverse=True))

_PLAIN_FORMS: tuple[tuple[str, str, _Reader], ...] = (
    (
        "url",
        r"(?:https?://|\bwww\.)[^\s<>\"'，。！？；、（）\u4e00-\u9fff]{1,1000}[^\s<>\"'.,!?;:)，。！？；、（）\u4e00-\u9fff]",
        _whole,
    ),
    ("email", r"(?<![a-z0-9_.+-])[a-z0-9_.+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,4}", _whole),
    *(("address", form, _address) for form in ADDRESSES),
    (
        "percent",
        rf"({DIGITS}|\b{ENGLISH}) ?(?:%|per ?cent\b)|百分之({CHINESE}|{DIGITS})|([{HAN}])成(?![{HAN}功为长人立本员绩])",
        _percent,
    ),
)
_LATER_FORMS: tuple[tuple[str, str, _Reader], ...] = (
    *(("person", form, _named) for form in PEOPLE),
    ("money", rf"(?:({CHINESE}|{DIGITS})[块元])?([{HAN}\d])[毛角](?:钱)?", _small_money),
    ("money", rf"({CHINESE}|\d+)[块元]([一二三四五六七八九\d])(?![{HAN}\d千百万])", _small_money),
    ("money", rf"({DIGITS}|\b{ENGLISH}) cents?\b", _cents),
    (
        "money",
        (
            rf"(?P<sign>{_BEFORE}) ?(?P<after>{_AMOUNT})(?:元|块钱?|圆)?"
            rf"|(?P<before>{_AMOUNT}) ?(?:个)?(?P<unit>{_SIGNS})(?![a-z])"
        ),
        _money,
    ),
    (
        "duration",
        (
            r"\b(?:half an hour|half a (?:day|week|month|year|minute)|(?:a )?quarter of an hour"
            r"|three quarters of an hour|(?:an?|one|two|three|four|five|\d{1,3}) (?:minute|hour|day|week|month|year)s?"
            r" and a half)\b"
            r"|[一三]刻钟|半天|半年"
        ),
        _special_duration,
    ),
    ("duration", rf"{_ONE_SPAN}(?:(?:[,零又]| and )? ?{_ONE_SPAN}){{0,3}}(?:\d{{1,2}}分(?!钟))?", _duration),
    ("duration", r"(?<![a-z0-9.])\d{1,4} ?h(?: ?\d{1,2} ?m(?:in)?)?\b|(?<![a-z0-9.])\d{1,4} ?(?:s|min)\b", _duration),
    (
        "phone",
        (
            r"(?<![a-z0-9_+])(?:\+\d[\d ()-]{6,18}\d|1[3-9]\d[ -]?\d{4}[ -]?\d{4}|400[ -]?\d{3}[ -]?\d{4}"
            r"|400[ -]\d{4}[ -]\d{3}|\(?0\d{1,4}\)?[ -/]{1,2}\d{3,8}(?:[ -]\d{3,5})?"
            r"|\(?\d{3,4}\)?[ -]\d{3,4}[ -]?\d{4})(?![a-z0-9_])"
        ),
        _phone,
    ),
    ("place", _PLACE, _place),
    (
        "number",
        rf"(?<![a-z0-9_.])-?{DIGITS}(?!\d)|负?{CHINESE}|\b(?:minus )?{ENGLISH}\b",
        _number,
    ),
)


def _dated(read: Callable[[Match, date], str]) -> _Reader:
    return lambda match, scene: read(match, scene.today)


def _timed(read: Callable[[Match, str], str]) -> _Reader:
    return lambda match, scene: read(match, scene.text)


_FORMS: tuple[tuple[str, re.Pattern[str], _Reader], ...] = tuple(
    (kind, re.compile(form, re.IGNORECASE), read)
    for kind, form, read in (
        *_PLAIN_FORMS,
        *(("date", form, _dated(read)) for form, read in DATES),
        *(("time", form, _timed(read)) for form, read in HOURS),
        *_LATER_FORMS,
    )
)


def quantities(text: str, now: float, zone: tzinfo | None = None) -> list[Found]:
    """Name, normalised value, start and end of each value in `text`; of overlapping ones, the form listed first.

    `now` (seconds since 1970) is what "tomorrow" counts from, in `zone` or the machine's own time zone.
    """
    scene = _Scene(local(now, zone).date(), text)
    taken: list[Found] = []
    for kind, expression, read in _FORMS:
        found: list[Found] = []
        for match in expression.finditer(text):
            value = read(match, scene)
            if value:
                start = match.end(1) - len(value) if kind in ("address", "person") else match.start()
                found.append((kind, value, start, match.end(1) if kind in ("address", "person") else match.end()))
        for _, _, start, end in found:  # what is read is not read again
            text = text[:start] + "\0" * (end - start) + text[end:]
        taken += found
    return taken


def local(now: float, zone: tzinfo | None = None) -> datetime:
    """The instant in `zone`, or in the machine's own; 1970 for an instant that no calendar has."""
    try:
        return datetime.fromtimestamp(now, UTC).astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return datetime(1970, 1, 1, tzinfo=UTC)


def moment(now: float, language: str, zone: tzinfo | None = None) -> Iterator[tuple[str, str]]:
    """The placeholders ``time``, ``date`` and ``weekday`` of an instant, as people of that language write them."""
    here = local(now, zone)
    yield "time", f"{here:%H:%M}"
    if language == "zh":
        yield "date", f"{here.year} 年 {here.month} 月 {here.day} 日"
        yield "weekday", "星期" + "一二三四五六日"[here.weekday()]
    else:
        yield "date", f"{here.day} {here:%B} {here.year}"
        yield "weekday", f"{here:%A}"
