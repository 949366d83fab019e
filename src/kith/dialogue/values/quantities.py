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
from itertools import chain

from kith.dialogue.values.dates import DATES
from kith.dialogue.values.hours import HOURS
from kith.dialogue.values.numerals import CHINESE, DIGITS, ENGLISH, HAN, HAN_DIGITS, number, shown
from kith.dialogue.values.places import ADDRESSES, PEOPLE, PLACES

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
    "pound": "GBP", "quid": "GBP", "英镑": "GBP",
    "镑": "GBP", "欧": "EUR", "刀": "USD", "蚊": "HKD", "¥": "CNY", "￥": "CNY", "cny": "CNY",
    "rmb": "CNY", "yuan": "CNY", "元": "CNY",
    "圆": "CNY", "元钱": "CNY", "块钱": "CNY", "块": "CNY", "元人民币": "CNY", "人民币": "CNY",
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
    "cny", "rmb", "jpy", "hkd", "chf", "aud", "cad", "inr", "人民币", "美元", "美金", "港币",
    "港元", "台币", "新台币", "日元", "欧元", "英镑"))  # fmt: skip
_SPANS = {
    "秒": 1, "秒钟": 1, "s": 1, "second": 1, "sec": 1, "分钟": 60, "m": 60, "min": 60, "minute": 60, "小时": 3600,
    "钟头": 3600, "钟": 3600, "h": 3600, "hr": 3600, "hour": 3600, "天": 86400, "day": 86400,
    "周": 604800, "星期": 604800, "礼拜": 604800,
    "week": 604800, "月": 2592000, "month": 2592000, "年": 31536000, "year": 31536000,
}  # fmt: skip
_HAN_SPAN = (
    "秒钟?|分钟|小时|钟头|(?<=个)钟(?![表楼声])|天|周(?!年|[一二三四五六日末])|星期(?![一二三四五六日天])"
    "|礼拜(?![一二三四五六日天])"
)
_AMOUNT = rf"(?:{DIGITS}|{CHINESE}|\b{ENGLISH})"
_COUNT = rf"(?:{_AMOUNT}|半)"
_SOME_DAY = re.compile(r"(?:(?<=one) day)? (?:i|we|you|he|she|they|it|my|your|our|the|maybe|soon)\b", re.IGNORECASE)
_DONE = re.compile(
    r"\b(?:ran|did|done|finished|made|took|walked|swam|cycled|drove|lost|learn(?:ed|t)|wrote|was|were)\b(?:[^.;!?]|\.\d)*$",
    re.IGNORECASE,
)
_RATE = re.compile(r"(?:an?|one) |[一1] ?个?(?!半)[^\d半]", re.IGNORECASE)
_PRICED = re.compile(
    r"(?:[€£$]\d[\d.,]*|\b(?:dollars?|pounds?|euros?|bucks|quid|times|percent|km|miles)|%|[块元]钱?) ?$", re.IGNORECASE
)
_LATIN_SPAN = (
    r"seconds?(?![ -](?:hand|place|time|floor|half|chance|date|opinion))|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?"
    r"|months?|years?"
)

_ONE = re.compile(r"(?:^|\b(?:for|just|only|exactly|about|plus|and|is|want|need))\W*$", re.IGNORECASE)
_NO_NUMBER = re.compile(
    "二维|二手|二胡|二话|二货|二哈|二次元|三角|三国|三轮|三文鱼|三八|三围|四季|四合院|五官|五金|五香|五花肉|五仁|七夕|七喜|八宝|八卦|八角"
    "|八戒|九宫格|十字|百合|百事|百科|千层|千里马|万圣|万用|万花|一线|二线|一[起下直样定些点般切旦边共会路生向致律时身心旁再贯味番方眼]|十分(?!钟)|万一|千万[别不要]|四川|九江|三亚|百度|百货|百姓|千克|三明治"
    "|一晚上|一下午|一上午|一整|一辈子|一家人|一家老|一家[三四五]口|一口气|一早上|万岁|万能|六神|两边|三星|十足"
)
_IDIOM = re.compile(
    "不管三七二十一|三七二十一|乱七八糟|七上八下|不三不四|三心二意|十全十美|九九归一|五颜六色|四面八方|一心一意|千方百计|千辛万苦|五花八门|三番五次|一举两得"
    "|半信半疑|百里挑一|独一无二|九牛一毛|丢三落四|接二连三|一五一十|万无一失|一模一样|成千上万|千千万万|数一数二"
)
_MEASURES = "个只条件瓶盒袋包份次天小杯张本串把位人两碗支斤公克箱晚月年桶盘打双"
_COUNTED = re.compile(  # what may stand behind a numeral of one sign that counts something
    r"$|[\s\W\d多来]|大?[个個只隻条條张張把件本杯瓶斤公克毫厘英勺里岁歲次遍倍楼樓层層号號位名口家座辆輛台臺套双雙份碗盘盤盒袋箱包块塊片根支枝朵棵头頭匹"
    r"场場回趟番级級点點页頁章节節题題道分人元天年月周日刻秒段篇句字步顿頓颗顆粒滴门門间間房床桌排行列队隊组組班对對种種类類样樣项項"
    r"笔筆首部幅册集期届代轮輪局盘米尺寸亩吨克升度码桶罐扇堆打束串株副盏封票票所艘架枚丝毫阵比到至加减乘除和或与给的就吧呢了啦啊]"
)
_ABOUT = re.compile("(?:一两|[一两二]三|三四|三五|四五|五六|六七|七八|八九)[十百千万]?")  # of people who do not count
_GRADE = re.compile(r"(?:上|读|念|是|在|的|我|他|她|[儿女]|^|[，,。 ])[初高大研]$")  # 上初三
_PRODUCT = re.compile(
    r"\b(?:windows|iphone|ipad|android|ios|galaxy|pixel|playstation|ps|xbox|python|gpt|macbook|kindle|fiat|airbus|boeing"
    r"|cloud|catch|covid|formula|route)[ -]?$",
    re.IGNORECASE,
)
_SAYING = re.compile(
    r"\b(?:square one|one in a million|thanks a million|a million thanks|second to none|high five|all fours|seven seas"
    r"|24/7|9 to 5|nine to five|fifty[ -]fifty|50[ -/]50|one another|one by one|at one|six feet under)\b",
    re.IGNORECASE,
)
_AFTER_NO_NUMBER = re.compile("[统唯专单逐同万]$")


def _whole(match: Match, _: _Scene) -> str:
    return match[0]


def _number(match: Match, scene: _Scene) -> str:
    before = scene.text[: match.start()]
    if match[0].casefold() == "one" and (not _ONE.search(before) or _SOME_DAY.match(scene.text, match.end())):
        return ""  # "the big one" and "one day I will" count nothing
    idioms = chain(_IDIOM.finditer(scene.text), _SAYING.finditer(scene.text))
    if _PRODUCT.search(before) or any(idiom.start() <= match.start() < idiom.end() for idiom in idioms):
        return ""
    if match[0] in "一二三四" and _GRADE.search(before):
        return ""
    if _ABOUT.fullmatch(match[0]) or scene.text[match.end() : match.end() + 1] in ("几", "折") or before[-1:] == "几":
        return ""
    if len(match[0]) == 1 and match[0] in HAN and not _COUNTED.match(scene.text, match.end()):
        return ""  # 二胡, 三国, 四季 …
    if match[0] in ("一", "1") and _PRICED.search(before):
        return ""  # 80块钱一小时
    if _NO_NUMBER.match(scene.text, match.start()) or (match[0] == "一" and _AFTER_NO_NUMBER.search(before)):
        return ""
    negative = match[0][0] == "负" or match[0].casefold().startswith("minus ")
    value = number(re.sub(r"^(?:负|minus )", "", match[0], flags=re.IGNORECASE))
    return "" if value is None else ("-" if negative else "") + shown(value)


def _measured(match: Match, _: _Scene) -> str:
    """一米八, 1米75, 三十八度五."""
    whole, part = number(match[1]), number(match[2])
    return "" if whole is None or part is None else shown(whole + part / 10 ** len(shown(part)))


def _money(match: Match, scene: _Scene) -> str:
    sign, amount = (match["sign"], match["after"]) if match["sign"] else (match["unit"], match["before"])
    if sign.casefold().startswith("pound") and re.match(r" of ", scene.text[match.end() :], re.IGNORECASE):
        return ""  # of potatoes
    value = None if _ABOUT.fullmatch(amount) else number(amount)
    return "" if value is None else f"{shown(value)} {_CURRENCY[sign.casefold()]}"


def _small_money(match: Match, _: _Scene) -> str:
    """三块五, 两块五毛, 5毛, 两毛五, 十二元三角."""
    cents = match.groups()[2] if len(match.groups()) > 2 else None
    whole, tenth, hundredth = number(match[1] or "0"), number(match[2]), number(cents or "0")
    if whole is None or tenth is None or hundredth is None or tenth > 9:
        return ""
    return f"{shown(whole + tenth / 10 + hundredth / 100)} CNY"


def _cents(match: Match, _: _Scene) -> str:
    value = number(match[1])
    return "" if value is None else f"{shown(value / 100)} {'USD' if match[2].startswith(('c', 'C')) else 'GBP'}"


def _percent(match: Match, _: _Scene) -> str:
    if match[4]:
        return "0.5 %"
    value = number(match[1] or match[2] or match[3])
    return "" if value is None else f"{shown(value * (10 if match[3] else 1))} %"


def _duration(match: Match, scene: _Scene) -> str:
    """A row of amounts with their units, halves included: "1 hour 30 minutes", "两个半小时", "一年半"."""
    if match[0].casefold() == "one day" and (
        not _ONE.search(scene.text[: match.start()]) or _SOME_DAY.match(scene.text, match.end())
    ):
        return ""  # "one day I will"
    if _RATE.match(match[0]) and _PRICED.search(scene.text[: match.start()]):
        return ""  # "£30 an hour", "50块一小时"
    if _ABOUT.match(match[0]):
        return ""
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
    rf"(?P<count>{_COUNT}|an?)[ -]?(?:个)?(?P<half>半|and a half )?(?:个)?"
    rf"(?P<unit>{_HAN_SPAN}|月|年|{_LATIN_SPAN})(?P<behind>半)?"
    r"|(?P<bare>\d+(?:\.\d+)?) ?(?P<short>[hs]|min|m(?=\b))",
    re.IGNORECASE,
)
_ONE_SPAN = (
    rf"(?:(?:{_COUNT}|\ban?)[ -]?(?:个)?(?:半|and a half )?(?:个)?"
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
    (
        "url",
        (
            r"(?<![@\w.-])(?:[a-z0-9-]{1,63}\.){1,4}(?:com|cn|org|net|io|dev|edu|gov|app|co|uk|de|hk|tw|info|me|ai|tv)\b"
            r"(?:/[^\s<>\"'，。！？；、（）\u4e00-\u9fff]{0,1000}[^\s<>\"'.,!?;:)，。！？；、（）\u4e00-\u9fff])?(?!@|\.\w)"
        ),
        _whole,
    ),
    ("email", r"(?<![a-z0-9_.+-])[a-z0-9_.+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,4}", _whole),
    *(("address", form, _address) for form in ADDRESSES),
    (
        "percent",
        (
            rf"({DIGITS}|\b{ENGLISH}) ?(?:%|per ?cent\b)|百分之({CHINESE}|{DIGITS})"
            rf"|([{HAN}])成(?![{HAN}功为长人立本员绩])|\b(half a per ?cent)\b"
        ),
        _percent,
    ),
)
_LATER_FORMS: tuple[tuple[str, str, _Reader], ...] = (
    *(("person", form, _named) for form in PEOPLE),
    ("money", rf"(?:({CHINESE}|{DIGITS})[块元]零?)?([{HAN}\d])[毛角]([一二三四五六七八九\d])?(?:钱)?", _small_money),
    ("money", rf"({CHINESE}|\d+)[块元]([一二三四五六七八九\d])(?![{HAN}\d千百万{_MEASURES}])", _small_money),
    ("money", rf"({DIGITS}|\b{ENGLISH}) ?(cents?|pence|(?<=\d)p)\b", _cents),
    (
        "money",
        (
            rf"(?P<sign>{_BEFORE}) ?(?P<after>{_AMOUNT})(?:元|块钱?|圆)?"
            rf"|(?P<before>{_AMOUNT}) ?[多来余个]?(?P<unit>{_SIGNS})(?![a-z洲盟具刃])"
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
    ("number", rf"([{HAN}\d]{{1,4}})[米度]([{HAN_DIGITS}\d]{{1,2}})(?![{HAN}\d{_MEASURES}米])", _measured),
    (
        "number",
        (
            rf"(?<![a-z0-9_.])-?{DIGITS}(?!\d)|负?{CHINESE}|\b(?:minus )?{ENGLISH}\b"
            r"|[俩仨]|半(?=[斤杯盒瓶碗勺袋箱块片包桶只条打])"
        ),
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


def moments(text: str, found: list[Found], now: float, zone: tzinfo | None = None) -> list[Found]:
    """`found`, with the hours and minutes between now and then ("in two hours", 十分钟前) read as the time then.

    The day comes with it where it is another than today.
    """
    told: list[Found] = []
    for name, value, start, end in found:
        sign = _direction(text, start, end) if name == "duration" and float(value) < 86400 else 0
        if not sign:
            told.append((name, value, start, end))
            continue
        here, then = local(now, zone), local(now + sign * float(value), zone)
        if then.date() != here.date():
            told.append(("date", then.date().isoformat(), start, end))
        told.append(("time", f"{then:%H:%M}", start, end))
    return told


def _direction(text: str, start: int, end: int) -> int:
    """1 for what is ahead, -1 for what has passed, 0 for a length of time."""
    before, after = text[max(0, start - 8) : start], text[end : end + 10]
    if re.match(r" ?(?:ago\b|earlier\b|之?前|以前)", after, re.IGNORECASE):
        return -1
    ahead = re.match(r" ?(?:[之以]后|后|过后|from now\b|later\b)", after, re.IGNORECASE)
    if not ahead and _DONE.search(text[:start]):
        return 0  # "I ran 8 km in 47 minutes"
    return 1 if ahead or re.search(r"\bin $|再过$", before, re.IGNORECASE) else 0


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
