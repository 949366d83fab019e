"""What somebody wants to be reminded of, and when, read from a sentence in Chinese or English."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from kith.core.turn import Entity
from kith.dialogue.flows.entities import extract
from kith.dialogue.initiative.almanac import about_day
from kith.dialogue.initiative.asides import for_other, read_aside, unread
from kith.dialogue.initiative.schedule import Rule, following
from kith.dialogue.understanding.normal import language
from kith.dialogue.values.numerals import number
from kith.dialogue.values.zones import asked_there

Kind = Literal["add", "list", "cancel", "snooze", "when", "other", "beyond"]

MORNING = "09:00"  # of a day that was named without a time
_LIMIT = 400
_SHORT = 60  # characters of a correction
_DAYS = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6, "末": 5}
_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ENGLISH_DAY = r"(?:mon|tues?|wednes|wed|thurs?|thu|fri|satur|sat|sun)(?:days?)?\b"
_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "last": -1,
             "第一个": 1, "第二个": 2, "第三个": 3, "第四个": 4, "最后一个": -1, "最后": -1}  # fmt: skip

_STRONG = re.compile(
    r"\bremind (?:me|us)\b|\bset (?:me )?(?:a|an|another) (?:\w+ )?(?:reminder|alarm)\b"
    r"|\bwake me(?: up)?\b|\b(?:ping|nudge) me\b"
    r"|\b(?:set|start)(?: me)?\s+(?:(?:an?|another)\s+)?(?:[\w-]+\s+){0,3}timer(?: for| of)?\b"
    r"|^(?:a )?timer(?: for)?\b|^[\w-]+ [\w]+ timer\b"
    r"|(?:设|定|来|开|设置)(?:一)?个?[^，。]{0,10}?(?:的)?(?:倒计时|定时器|计时器?)|^倒计时|^计时"
    r"|提醒(?:一下|下)?我们?|(?:设|定|设置|建|加|添加)(?:一)?个?[^，。]{0,14}?(?:提醒|闹钟|闹铃)|叫醒我|给我提个醒",
    re.IGNORECASE,
)
_WEAK = re.compile(r"\btell me to\b|(?:记得|请|要)?[叫喊](?:一下|下)?我(?!什么|的)", re.IGNORECASE)
_CARE = re.compile(
    r"\bcheck (?:in|up) (?:on|with) me\b|\bask me how (?:i am|i'm|i feel|my day)\b[\w ]*"
    r"|(?:问问|问候|问一下|问|关心)(?:一下)?我(?:今天)?(?:过得|心情)?(?:怎么样|好不好|如何|还好吗)?|来?看看我(?:好不好|怎么样)?",
    re.IGNORECASE,
)
_REMINDED = re.compile(r"\b(?:remind|wake) |提醒|叫", re.IGNORECASE)
_LIST = re.compile(
    r"^(?:what|which)(?: are|'re)? (?:my )?(?:reminders|alarms)(?: do i have| are there)?(?: set)?"
    r"(?: for)?(?: today)?\W*$"
    r"|^(?:(?:do i have|have i got|are there)(?: any)?|any|my) (?:reminders|alarms)(?: set)?(?: for)?(?: today)?\W*$"
    r"|\b(?:list|show)(?: me)?(?: all)?(?: my)? (?:reminders|alarms)\b"
    r"|^(?:你|您|我)?(?:现在|今天|都)?(?:给我|替我|帮我)?(?:都)?(?:有|设了?|记了?)(?:哪些|什么|几个)(?:提醒|闹钟)(?!功能|方式|服务|软件)"
    r"|^我?(?:现在|今天)?(?:有没有(?:提醒|闹钟)|有(?:提醒|闹钟)吗)[？?]?$|(?:列出|看看|查看|显示)(?:一下)?我?的?(?:所有|全部)?的?(?:提醒|闹钟)"
    r"|我的(?:提醒|闹钟)(?:有哪些|列表)?[？?]?$"
    r"|^(?:what|which) (?:reminders|alarms) (?:are )?(?:left|(?:do i )?still (?:have|on|set))\W*$"
    r"|^(?:what(?: have i got|['’]?s| is)|(?:have i got|do i have|is there) anything)(?: on| left)? "
    r"(?:coming up|scheduled|(?:on )?my (?:agenda|schedule))(?: today| tomorrow| next| this week)?\W*$"
    r"|^(?:upcoming|remaining) (?:reminders|alarms)\W*$"
    r"|^(?:我)?(?:现在)?还(?:剩|剩下|有)(?:些|下)?(?:哪些|什么|几个|多少个?)(?:提醒|闹钟)[了呢]?[？?]?$"
    r"|^(?:提醒|闹钟)(?:还)?(?:有|剩)(?:哪些|什么|几个)[？?]?$",
    re.IGNORECASE,
)
_CLEAR = re.compile(
    r"(?:please )?(?:cancel|delete|remove|clear)(?: them)? (?:all|everything|them|all of (?:them|it))(?: please)?\W*"
    r"|(?:那就?|请|帮我)?(?:把)?(?:它们|这些)?(?:都|全部?|全都)(?:给我)?(?:取消|删|删掉|删除|不要)(?:掉)?了?吧?[。！!]*",
    re.IGNORECASE,
)
_CANCEL = re.compile(
    r"^(?:please )?(?:cancel|delete|remove|stop|turn off|clear)(?: (?:the|my|that|this))? ?"
    r"(?P<all>all(?: my)? (?:reminders|alarms))?"
    r"(?:(?:reminder|alarm)s?)?(?: (?:number|no\.?|#) ?(?P<number>\d+))?(?: (?:about|to|for|of) )?(?P<what>.*?)"
    r"(?: (?:reminder|alarm)s?)?\W*$",
    re.IGNORECASE,
)
_PLURAL = re.compile(
    r"^(?:please )?\w+(?: off)?(?: the| my| these| those)? (?:reminders|alarms)\W*$|清空", re.IGNORECASE
)
_CANCEL_WORD = re.compile(r"\b(?:reminder|alarm)s?\b|\bremind(?:ing)? me\b", re.IGNORECASE)
_STOP = re.compile(
    r"^(?:please )?(?:stop reminding me|do(?: not|n't) remind me)(?: (?:to|about|of))? ?(?P<what>.*?)\W*$",
    re.IGNORECASE,
)
_CANCEL_HAN = re.compile(
    r"^(?:请|帮我)?(?:取消|删除|删掉|关掉|去掉|清空|清除)(?:我的)?(?P<all>所有|全部)?的?(?:第(?P<number>[\d一二三四五六七八九十]+)[个条])?"
    r"(?P<what>.*?)的?(?:提醒|闹钟)[吧了。！!]*$"
    r"|^(?:请|以后)?(?:别|不要|不用)再?(?:提醒|叫)我(?P<what2>.*?)了?[吧。！!]*$"
)
_SNOOZE = re.compile(
    r"^snooze\b|\bremind me again\b|^(?:稍后|等会儿?|待会儿?|一会儿?|晚点)再?(?:提醒|叫)|(?<!过)再(?:提醒|叫)我"
    r"(?:一次|一下|[吧。！!\s]*$)",
    re.IGNORECASE,
)
_ONCE_MORE = re.compile(r"再(?:提醒|叫)我[吧。！!\s]*$")  # which may also be the first time
_AMEND = re.compile(
    r"^(?:(?:no|nope|sorry|wait|oh|actually|rather|i (?:meant|mean)|make (?:it|that)|change (?:it|that) to)\b"
    r"[\s,.!:]*)+|^(?:(?:不对|不是|说?错了|搞错了|应该是|改成|改到|改为|换成|换到|还是|不|是)[\s，,。：:]*)+",
    re.IGNORECASE,
)
_HELLO = re.compile(
    r"^(?:(?:hi|hello|hey|thanks?|thank you|okay|ok|good (?:morning|afternoon|evening))(?: kith| there)?[,.!\s]+"
    r"|(?:你好|您好|嗨|早上好|早安|早|晚上好|谢谢你?|好的|哈喽)(?:呀|啊)?[，,。.!！~、\s]+)+",
    re.IGNORECASE,
)
_APART = re.compile(
    r"[.!?;,，。！？；、]+(?!\d)\s*(?:(?:and|also|then|plus)\b\s*|还有|另外|以及|然后|再)*"
    r"|\s+(?:and|also|plus)(?:\s+(?:also|then))?\s+|\s*(?:还有|另外|以及|(?:再|然后|顺便)(?=告诉我|说|提醒我|叫我|问))\s*",
    re.IGNORECASE,
)
_AT = re.compile(
    r"^(?:at|on|in|every|tomorrow|tonight|next)\b.*\bto \w"
    r"|^(?:大?后天|[今明][天早晚]|下?下?(?:周|星期|礼拜)[一二三四五六日天末]|每[天周月年个]|(?:早上|上午|中午|下午|晚上)?[\d一二两三四五六七八九十]+[点号])"
    r".*[\u4e00-\u9fff]{2}",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"\b(?:u[mh]+|er+m?|so yeah|yeah so|you know|basically|i was wondering (?:if|whether) you (?:could|can|would)"
    r"|like(?= (?:wake|remind|at|in|tomorrow|every)\b)|(?<=at )like)\b[\s,]*"
    r"|嗯+[，,\s]*|呃+[，,\s]*|那个(?=就是|我|叫|提醒|[明今后每])|就是(?:说)?(?=我|你|[明今后每]|起|[\d一二两三四五六七八九十])|(?:我)?想问一下|那什么",
    re.IGNORECASE,
)
_GONE = re.compile(r"[这本]个?月(?!底|末)|\b(?:earlier )?(?:today|this month)\b|今天|\btonight\b|今晚", re.IGNORECASE)
_TALE = re.compile(
    r"\b(?:did|didn't|does|why|who|what|never|always)\b[^,.]*\bremind me\b"
    r"|^i(?:['’]ve| have)? (?:just |already )?(?:set|started) [^,.]*\btimer\b",
    re.IGNORECASE,
)
_TIMER = re.compile(r"timer|倒计时|定时|计时", re.IGNORECASE)
_BARE_TIMER = re.compile(  # one that is asked for without a time
    r"(?:(?:please|can you|could you|will you|kith|hey)[\s,]+)*"
    r"(?:(?:set|start)(?: me)? (?:(?:an?|another) )?(?:[\w-]+ ){0,3}|(?:an? )?)timer(?: please)?\W*"
    r"|(?:请|麻烦|帮我|给我|你|能不能|可以)*(?:设|定|来|开|设置|开始)?一?个?新?的?(?:倒计时|定时器?|计时器?)(?:吧|好吗|可以吗)?\W*",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^(?:please|can you|could you|will you|would you|kindly|hey|and|请|帮我|麻烦|记得|要|你|能不能|可以|，|,|\s)+",
    re.IGNORECASE,
)
_TO = re.compile(
    r"^(?:to|that i (?:should|have to|need to|must)|that|about|of|for|:|：|要|去|该|是|我|一下|，|,|\s)+", re.IGNORECASE
)
_TAIL = re.compile(
    r"(?:\b(?:at|on|in|by|from|every|the|of|each|starting|please|pls|plz)|[在于到的，,。.!！?？吧啊哦呀\s]|好吗|可以吗|谢谢|thanks)+$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted. `what` is the matter, or what names the reminder meant; `seconds` how long to snooze.

    Kind ``when`` is a wish without a time, ``other`` one for somebody else, ``beyond`` one that no rule can hold. With
    `everything`, all that `what` names are meant, or all that there are.
    """

    kind: Kind
    what: str = ""
    rule: Rule | None = None
    care: bool = False
    number: int = 0
    everything: bool = False
    seconds: float = 600.0


def all_cancelled(text: str) -> bool:
    """Whether a message says that all of them are to go, without a word of what they are: "都取消吧"."""
    return _CLEAR.fullmatch(" ".join(text.split())) is not None


def _spoken(text: str) -> str:
    """A message without a greeting, and without what fills the pauses of somebody who speaks."""
    said = _HELLO.sub("", " ".join(text.split()))
    if len(said) > _LIMIT or len(_FILLER.findall(said)) < 2:
        return said
    return " ".join(_FILLER.sub("", said).split())


def read_wish(text: str, now: float, zone: tzinfo | None) -> Wish | None:
    """The wish in a sentence, or None when it is about something else. Only a text up to 400 characters is one."""
    said = _spoken(text)
    if not said or len(said) > _LIMIT:
        return None
    if _LIST.search(said):
        return Wish("list")
    if (cancel := _cancelled(said)) is not None:
        return cancel
    if _SNOOZE.search(said):
        found = [e for e in extract(said, (), now, zone, spans=True) if e.name == "duration"]
        seconds = float(found[0].value) if found else 600.0
        rule = Rule("instant", start=str(now + seconds)) if found and _ONCE_MORE.search(said) else None
        return Wish("snooze", rule=rule, seconds=seconds)
    return _added(said, now, zone)


def apart(text: str, now: float, zone: tzinfo | None) -> list[str]:
    """The parts of a message that wishes for several reminders, or also asks for a clock; empty for any other.

    "Remind me at 5 to call Bob and at 6 to feed the cat" are two, the second in the words of the first.
    """
    said = _spoken(text)
    if len(said) > _LIMIT:
        return []
    pieces = [piece for piece in _APART.split(said) if re.search(r"\w", piece)]
    found: list[str] = []
    for piece in pieces:
        command = found and _STRONG.search(found[-1])
        space = " " if piece.isascii() else ""
        led = f"{command[0]}{space}{piece}" if command and _AT.match(piece) and not _STRONG.search(piece) else piece
        wish = read_wish(led, now, zone)
        if (wish is not None and wish.kind == "add") or _asks_clock(piece, now, zone):
            found.append(led)
        elif found and not _asks_clock(found[-1], now, zone):
            found[-1] += f", {piece}" if piece.isascii() else f"，{piece}"
        else:
            return []
    last = read_wish(found[-1], now, zone) if len(found) > 1 else None
    if last is not None and last.what:  # "at 9 and at 12 to drink water": the matter of both comes at the end
        wishes = [read_wish(piece, now, zone) for piece in found]
        alike = " " if found[-1].isascii() else ""
        found = [
            f"{piece}{alike}{last.what}" if one and not one.what else piece
            for piece, one in zip(found, wishes, strict=True)
        ]
    return found if len(found) > 1 else []


def _asks_clock(piece: str, now: float, zone: tzinfo | None) -> bool:
    """Whether a part of a message asks for a time somewhere or for a day."""
    return bool(asked_there(piece)) or about_day(piece, now, zone, "en", today=True) is not None


def amended(text: str, old: Rule, now: float, zone: tzinfo | None) -> Rule | None:
    """What a rule becomes by a correction right after it was made ("no, at 8", "不对，是四点"); None for anything else.

    A new time of day without a word for its part is in the same half of the day as the old one.
    """
    said = " ".join(text.split())
    lead = _AMEND.match(said)
    if lead is None or len(said) > _SHORT or old.every == "minutes":
        return None
    told = said[lead.end() :].strip(" .!。！")
    if old.every == "instant":
        today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
        ways = (_once(one, now, today, zone) for one in (told, f"in {told}", f"{told}后"))
        return next((rule for rest, rule in ways if rule and not _more(rest)), None)
    rest, times, days = _times(f"at {told}" if re.fullmatch(r"\d{1,2}", told) else told, now, zone)
    if not (times or days) or _more(rest):
        return None
    if days and old.every != "once":
        return None
    at = old.at
    if times:
        late = old.at and old.at[0] >= "12:00" and times[0] < "12:00" and not _morning(said)
        at = (f"{int(times[0][:2]) + 12:02}{times[0][2:]}" if late else times[0],)
    return replace(old, at=at, start=days[0] if days else old.start)


def timed(text: str, wish: str, now: float, zone: tzinfo | None) -> Wish | None:
    """A `wish` that had no time, with the time that `text` gives it and nothing else; None where it gives none."""
    said = " ".join(text.split()).strip(" .!。！")
    rest, rule = _rule(said, now, zone) if len(said) <= _SHORT else (said, None)
    if rule is None or _more(rest):
        return None
    chinese = language(said) == "zh"
    found = read_wish(f"{said}{wish}" if chinese else f"{wish} {said}", now, zone)
    return found if found is not None and found.kind == "add" else None


def _more(rest: str) -> bool:
    """Whether anything is left of a sentence without its times."""
    return re.search(r"\w", _TAIL.sub("", re.sub(r"\b(?:instead|then|after)\b", "", rest).strip())) is not None


def _cancelled(said: str) -> Wish | None:
    for form in (_STOP, _CANCEL if _CANCEL_WORD.search(said) else _CANCEL_HAN, _CANCEL_HAN):
        match = form.match(said)
        if match is None:
            continue
        groups = match.groupdict()
        counted = number(groups.get("number") or "")
        what = (groups.get("what") or groups.get("what2") or "").strip(" 的")
        counted = int(what) if counted is None and what.isdecimal() and len(what) < 4 else counted
        if (place := _ORDINALS.get(what.casefold().removesuffix(" one"), 0)) > 0:
            what, counted = "", place
        every = groups.get("all") or form is _STOP or groups.get("what2") or (not counted and _PLURAL.search(said))
        return Wish("cancel", what, number=int(counted or 0), everything=bool(every))
    return None


def _added(said: str, now: float, zone: tzinfo | None) -> Wish | None:
    care = _CARE.search(said)
    strong, weak = _STRONG.search(said), _WEAK.search(said)
    command = strong or care or weak
    if command is None or _TALE.search(said):
        return _for_other(said, now, zone) if command is None else None
    aside = read_aside(said)
    rest, rule = _rule(aside.rest, now, aside.where(zone))
    if _told(rest, command.re):
        return None
    if rule is None and strong and _TIMER.search(strong[0]) and not _BARE_TIMER.fullmatch(said):
        return None  # "the timer stopped working"
    if rule is not None and following(rule, now, aside.where(zone)) is not None:
        lost = rule.every in ("once", "instant") and unread(rest)
        rule = None if lost else aside.settled(rule, now, zone)
        if rule is None:
            return Wish("beyond", _matter(rest, command.re))
    if rule is None or following(rule, now, zone) is None:
        gone = rule is not None and _GONE.search(said) is not None
        return (
            Wish("when", _matter(rest, command.re), rule if gone else None) if strong and (gone or not rule) else None
        )
    if care and not strong:
        return Wish("add", "", rule, care=True) if rule.every != "once" or _asks(said) else None
    return Wish("add", _matter(rest, command.re), rule)


def _for_other(said: str, now: float, zone: tzinfo | None) -> Wish | None:
    """A wish to remind somebody else: of English words by the verb alone, of Chinese ones only at a time."""
    if not _REMINDED.search(said):
        return None
    rest, rule = _rule(said, now, zone)
    timed = rule is not None or (language(said) == "en" and re.search(r"\bto \w", rest) is not None)
    return Wish("other") if timed and for_other(rest) else None


def _told(rest: str, command: re.Pattern[str]) -> bool:
    """Whether somebody else is said to remind: "my mother reminds me that", in Chinese, where the verb has one form."""
    before, after = (part.strip(" ，,。") for part in [*command.split(rest, maxsplit=1), ""][:2])
    subject = _LEAD.sub("", before)
    return bool(after and subject and re.search(r"[\u4e00-\u9fff]$", subject) and "，" not in rest and "," not in rest)


def _asks(said: str) -> bool:
    """Asking after somebody once has to be said as a wish, not as a tale."""
    return not re.search(r"[了过]|\b(?:asked|did|does)\b", said)


def _matter(rest: str, command: re.Pattern[str]) -> str:
    """What is left when the times and the command are taken out."""
    before, after = (part.strip() for part in [*command.split(rest, maxsplit=1), ""][:2])
    before, after = _LEAD.sub("", before), _TO.sub("", after)
    before = _TAIL.sub("", before).strip()
    after = _TAIL.sub("", " ".join(after.split())).strip(" ，,。.!！")
    return after or _TO.sub("", before).strip(" ，,。.")


def _rule(said: str, now: float, zone: tzinfo | None) -> tuple[str, Rule | None]:
    """The sentence with its times blanked out, and the rule that they make."""
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    for form, make in _FORMS:
        if (match := form.search(said)) is None or (partial := make(match, now, today)) is None:
            continue
        rest = said[: match.start()] + " " * (match.end() - match.start()) + said[match.end() :]
        if partial.every == "minutes":
            return rest, partial
        rest, times, days = _times(rest, now, zone)
        at = tuple(dict.fromkeys(_of_part(one, match[0]) for one in times)) or ((_evening(match[0]) or MORNING),)
        start = days[0] if days and days[0] > today.isoformat() and partial.every in ("day", "week") else partial.start
        start = days[0] if partial.every == "year" and days else start
        if partial.every == "year" and not days:
            return rest, None
        return rest, Rule(partial.every, at, partial.step, partial.days, partial.nth, start)
    return _once(said, now, today, zone)


_PART = re.compile(
    r"(?P<now>\btonight\b|\bthis (?:morning|afternoon|evening)\b|\bin the (?:morning|afternoon|evening)\b|今[早晚])上?"
    r"|\b(?:morning|afternoon|evening|night)\b|早[上晨]|清晨|上午|中午|下午|傍晚|晚上|夜里",
    re.IGNORECASE,
)
_DAY_BEFORE = re.compile(
    rf"(?:\b(?:tomorrow|today|{_ENGLISH_DAY})|[明今后]天|[周期拜][一二三四五六日天]|[\d一二三四五六七八九十][号日])\s*$",
    re.IGNORECASE,
)
_NOW_ON = re.compile(r"tonight|this|今", re.IGNORECASE)
_PARTS = (
    ("morning|早|清晨|上午", MORNING),
    ("中午", "12:00"),
    ("afternoon|下午", "15:00"),
    ("傍晚", "18:00"),
    (".", "20:00"),
)


def _once(said: str, now: float, today: date, zone: tzinfo | None) -> tuple[str, Rule | None]:
    found = extract(said, (), now, zone, spans=True)
    spans = [e for e in found if e.name == "duration" and _ahead(said, e)]
    if spans:
        at = datetime.fromtimestamp(now + float(spans[0].value), UTC).astimezone(zone)
        if float(spans[0].value) < 86400:
            return _blank(said, [spans[0]]), Rule("instant", start=str(now + float(spans[0].value)))
        return _blank(said, [spans[0]]), Rule("once", (f"{at:%H:%M}",), start=at.date().isoformat())
    rest, times, days = _times(said, now, zone)
    part = next((one for one in _PART.finditer(said) if one["now"] or _DAY_BEFORE.search(said[: one.start()])), None)
    if not times and part is not None:
        hour = next(hour for words, hour in _PARTS if re.search(words, part[0], re.IGNORECASE))
        rest, times = _times(f"{said[: part.start()]} {said[part.end() :]}", now, zone)[0], [hour]
        days = [today.isoformat()] if _NOW_ON.match(part[0]) else days
    if not times and not days:
        return rest, None
    at = times[0] if times else MORNING
    day = date.fromisoformat(days[0]) if days else today
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    if not days and at <= f"{local:%H:%M}":
        if at < "12:00" and f"{int(at[:2]) + 12:02}{at[2:]}" > f"{local:%H:%M}" and not _morning(said):
            at = f"{int(at[:2]) + 12:02}{at[2:]}"  # "at 5" said at noon
        else:
            day += timedelta(days=1)
    return rest, Rule("once", (at,), start=day.isoformat())


def _morning(said: str) -> bool:
    return bool(re.search(r"\d ?a\.?m\b|morning|凌晨|早|上午|\d{2}:\d{2}", said, re.IGNORECASE))


def _of_part(at: str, said: str) -> str:
    """A time of the part of the day that the recurrence names: nine "every evening" is 21:00."""
    late = re.search(r"晚|下午|evening|night|afternoon", said, re.IGNORECASE) and "04:00" < at < "12:00"
    return f"{int(at[:2]) + 12:02}{at[2:]}" if late else at


def _evening(said: str) -> str:
    return "20:00" if re.search(r"晚|night|evening", said) else "08:00" if re.search(r"早|morning", said) else ""


def _ahead(said: str, found: Entity) -> bool:
    """Whether a duration says how long from now: "in ten minutes", "十分钟后"."""
    before, after = said[max(0, found.start - 8) : found.start].casefold(), said[found.end : found.end + 8]
    ahead = re.match(
        r" ?(?:之?后|以后|过后|from now|later)|[ -]?(?:timer|alarm|countdown)|的?(?:闹钟|倒计时|定时|计时)",
        after,
        re.IGNORECASE,
    )
    timer = re.search(
        r"(?:timer|countdown)(?: for| of)? ?$|(?:倒计时|计时|定时器?) ?$", said[: found.start], re.IGNORECASE
    )
    return bool(ahead or timer or re.search(r"\b(?:in|after|within) $|再?过$", before))


def _times(said: str, now: float, zone: tzinfo | None) -> tuple[str, list[str], list[str]]:
    found = extract(said, (), now, zone, spans=True)
    times = [e for e in found if e.name == "time" and re.fullmatch(r"\d\d:\d\d", e.value)]
    days = [e for e in found if e.name == "date" and re.fullmatch(r"\d{4}-\d\d-\d\d", e.value)]
    return _blank(said, [*times, *days]), [e.value for e in times], [e.value for e in days]


def _blank(said: str, found: list[Entity]) -> str:
    for one in sorted(found, key=lambda e: -e.start):
        head = re.sub(
            r"(?:\b(?:at|on|in|by|for|and|within|after)\s+|[在于和、，,]|再?过)+$",
            " ",
            said[: one.start],
            flags=re.IGNORECASE,
        )
        tail = re.sub(r"^ ?(?:之?后|以后|过后|from now|later|的时候|时)", " ", said[one.end :], flags=re.IGNORECASE)
        said = f"{head} {tail}"
    return said


def _every_minutes(match: re.Match[str], now: float, _: date) -> Rule | None:
    groups = match.groupdict()
    amount = number(groups.get("n") or groups.get("m") or "1")
    if (groups.get("n") or groups.get("m") or "") == "半" or groups.get("half"):
        amount = 0.5
    unit = match["unit"].casefold() if match["unit"] else (match["unit2"] or "")
    if amount is None:
        return None
    minutes = int(float(amount) * (60 if unit.startswith(("hour", "小时", "个小时", "钟头", "个钟头")) else 1))
    return Rule("minutes", step=max(minutes, 5), start=str(now)) if minutes else None


def _every_day(match: re.Match[str], _: float, today: date) -> Rule | None:
    amount = number(match["n"] or "1") if "n" in match.groupdict() else 1
    if "other" in match[0].casefold() or "隔" in match[0]:
        amount = 2
    return Rule("day", step=int(amount or 1), start=today.isoformat())


def _workdays(match: re.Match[str], _: float, today: date) -> Rule | None:
    rest = re.search(r"weekend|周末", match[0], re.IGNORECASE)
    return Rule("week", days=(5, 6) if rest else (0, 1, 2, 3, 4), start=today.isoformat())


def _weekly(match: re.Match[str], _: float, today: date) -> Rule | None:
    said = match[0].casefold()
    names = re.findall(_ENGLISH_DAY, said)
    days = [_NAMES.index(name[:3]) for name in names]
    if span := re.search(r"([一二三四五六日天])[到至-][周星期礼拜]*([一二三四五六日天])", said):
        days += range(_DAYS[span[1]], _DAYS[span[2]] + 1)
    elif not names:
        days += [_DAYS[c] for c in match["han"] or "" if c in _DAYS]
    return _on(days, 2 if re.search(r"other|两周|隔周|双周", said) else 1, today) if days else None


def _on(days: Sequence[int], step: int, today: date) -> Rule:
    """Every so many weeks on some days, counted from the week in which the first of them comes."""
    soonest = min((day - today.weekday()) % 7 for day in days)
    start = today + timedelta(days=soonest if step > 1 else 0)
    return Rule("week", step=step, days=tuple(sorted(set(days))), start=start.isoformat())


def _nth(match: re.Match[str], _: float, today: date) -> Rule | None:
    nth = _ORDINALS.get(match["nth"].casefold(), -1 if match["nth"] == "最后一" else None)
    day = match["day"].casefold()
    weekday = _NAMES.index(day[:3]) if day.isascii() else _DAYS[day[-1]]
    return Rule("month", days=(weekday,), nth=nth, start=today.replace(day=1).isoformat()) if nth else None


def _workday(match: re.Match[str], _: float, today: date) -> Rule:
    last = "last" in match[0].casefold() or "最后" in match[0]
    return Rule("month", days=(0, 1, 2, 3, 4), nth=-1 if last else 1, start=today.replace(day=1).isoformat())


def _monthly(match: re.Match[str], _: float, today: date) -> Rule | None:
    groups = match.groupdict()
    said = groups.get("d") or groups.get("d2") or ""
    if re.search(r"last day|最后一天|月底|月末", match[0], re.IGNORECASE):
        day = -1
    else:
        day = int(number(re.sub(r"(?:st|nd|rd|th)$", "", said)) or 0)
    return Rule("month", days=(day,), start=today.replace(day=1).isoformat()) if day == -1 or 1 <= day <= 31 else None


def _weeks(match: re.Match[str], _: float, today: date) -> Rule | None:
    """Every so many weeks, on the days that are named, else on that of today."""
    said = match[0].casefold()
    amount = number(match["n"] or match["m"] or "1")
    step = 2 if re.search(r"other|second|fortnight|biweekly|隔", said) else int(amount or 0)
    days = [_NAMES.index(name[:3]) for name in re.findall(rf"\b{_ENGLISH_DAY}", said)]
    days = days or [_DAYS[match["han"]]] if days or match["han"] else [today.weekday()]
    return _on(days, step, today) if step else None


def _months(_: re.Match[str], __: float, today: date) -> Rule | None:
    return Rule("month", days=(today.day,), start=today.replace(day=1).isoformat())


def _yearly(_: re.Match[str], __: float, today: date) -> Rule | None:
    return Rule("year", start=today.isoformat())


_HAN = "一二两三四五六七八九十"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_AND = r"(?:, ?| and |, and | ?& ?)"
_FORMS = tuple(
    (re.compile(form, re.IGNORECASE), make)
    for form, make in (
        ((rf"\bevery (?:(?P<half>half(?: an)?) |(?P<n>\d+|\w+) )?(?P<unit>minutes?|hours?)\b"
         rf"|每(?:隔|过)?(?P<m>[\d{_HAN}半]+)?个?(?P<unit2>分钟|小时|钟头)"), _every_minutes),
        ((rf"(?:\bon )?(?:the |every |each )?\b(?P<nth>first|second|third|fourth|1st|2nd|3rd|4th|last)"
         rf" (?P<day>{_ENGLISH_DAY}) (?:of (?:each|every|the) month|every month|each month)"), _nth),
        (r"每个?月的?(?P<nth>第[一二三四]个|最后一?个?)(?:周|星期|礼拜)(?P<day>[一二三四五六日天])", _nth),
        ((r"(?:\bon )?(?:the )?\b(?:first|1st|last) (?:work(?:ing)?[ -]?day|business day)"
         r" (?:of (?:each|every|the) month|every month|each month)"
         r"|每个?月的?(?:最后一?个?|第一个?)工作日"), _workday),
        ((r"(?:\bon )?(?:the )?(?:(?P<d>\d{1,2})(?:st|nd|rd|th)?|last day) (?:of )?(?:each|every|the) month\b"
         r"|\b(?:every|each) month on the (?P<d2>\d{1,2})(?:st|nd|rd|th)?"), _monthly),
        (rf"每个?月(?:的)?(?:(?P<d>[\d{_HAN}]+)[号日]|最后一天|底|末)", _monthly),
        ((r"(?<!of )(?<!of the )\b(?:every|each) month\b(?! on\b)"
         r"|每个?月(?!的?(?:第|最后|[上中下]旬|[\d一二两三四五六七八九十几初底末]|个))"), _months),
        (rf"\b(?:every|each)(?= (?:\d{{1,2}}(?:st|nd|rd|th)? )?(?:of )?{_MONTH})", _yearly),
        (r"\bevery year\b|\beach year\b|\byearly\b|\bannually\b|每年", _yearly),
        ((r"\b(?:every|each|on) (?:weekday|working day|workday)s?\b|\b(?:every |each |on )(?:weekends?)\b"
         r"|每?个?(?:工作日|周末)(?:的)?|每?个?(?:周|星期)一[到至](?:周|星期)?五"), _workdays),
        ((rf"\b(?:(?:every|each)(?: (?P<n>other|second|two|three|four|[1-9]))? weeks?"
         rf"|(?:every )?fortnight(?:ly)?|biweekly)\b(?: on {_ENGLISH_DAY}(?:{_AND}{_ENGLISH_DAY})*)?"
         r"|(?:每(?:(?P<m>[一两二三四1-4])个?)?|隔|每隔一?个?)(?:周(?!期)|星期|礼拜)"
         r"(?:的?(?:周|星期|礼拜)(?P<han>[一二三四五六日天])|一次|的?(?![一二三四五六日天末几内到至第的\d两]))"),
         _weeks),
        ((rf"\b(?:every|each)(?: other)? {_ENGLISH_DAY}(?:{_AND}{_ENGLISH_DAY})*(?: (?:morning|evening|night"
         rf"|afternoon))?"
         rf"|\bon (?:mon|tues|wednes|thurs|fri|satur|sun)days(?:{_AND}(?:mon|tues|wednes|thurs|fri|satur|sun)days)*"
         r"|(?:每|隔|每隔|每两)(?:个)?(?:周|星期|礼拜)的?(?P<han>[一二三四五六日天末](?:[、和,，到至-]?(?:周|星期|礼拜)?[一二三四五六日天])*)"),
         _weekly),
        ((r"\b(?:every|each)(?: other| (?P<n>\d+|two|three|four|five|six))? (?:days?|mornings?|evenings?|nights?"
         r"|afternoons?)\b|\bdaily\b"
         r"|每隔一?天|每天(?:都)?|每日|每晚|天天|每(?:个)?(?:早上|早晨|晚上|中午|下午)"), _every_day),
    )
)  # fmt: skip
