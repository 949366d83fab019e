"""What a wish says besides its matter and its time: somebody else's clock, a lead, an end, or somebody else to remind.

A rhythm has no end and keeps one clock, so what asks for more than that is declined: a reminder at another time than
the one that was asked for is worse than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo

from kith.dialogue.initiative.schedule import Rule, following
from kith.dialogue.values.numerals import number
from kith.dialogue.values.zones import clock_of, zone

_UNITS = {"mi": 60.0, "ho": 3600.0, "hr": 3600.0, "da": 86400.0, "分": 60.0, "小": 3600.0, "钟": 3600.0, "天": 86400.0}
_LEAD = re.compile(
    r"\b(?P<n>\d{1,3}|an?|half an|one|two|three|five|ten|fifteen|twenty|thirty|forty-five)"
    r" (?P<u>mins?|minutes?|hours?|hrs?|days?) (?:before(?:hand)?|ahead(?: of)?|in advance(?: of)?|early)\b"
    r"|提前(?P<m>半|[\d一二两三四五六七八九十]{1,3})个?(?P<v>分钟|小时|钟头|天)",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"\b(?:until|till) (?:the |this |next )?(?:end|week|month|year|christmas|easter|\d|tomorrow|jan|feb|mar|apr|may|jun"
    r"|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)|\bexcept (?:on |for )?\w+"
    r"|\bfor (?:the )?(?:next )?(?:\w+ )?(?:days?|weeks?|months?)\b"
    r"|\b(?:once|twice|(?:\w+ )?times) (?:an?|per|every|each) (?:day|week|month|hour)\b"
    r"|直到|为止|除了|未来[\d一二两三四五六七八九十]+[天周]|接下来[\d一二两三四五六七八九十]+[天周]"
    r"|(?:提醒|叫)我们?[\d两二三四五六七八九十]+次|连续[\d一二两三四五六七八九十]+[天周]|每[天周日月][\d两二三四五六七八九十]+次",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"^(?:(?:please|can you|could you|will you|would you|kith|and|then|请|麻烦|帮我|你|能不能|可以)[\s,，]*){0,8}"
    r"(?:remind (?!me\b|us\b|myself\b|yourself\b|of\b|about\b|to\b)\w|wake (?:up )?(?!me\b|us\b|up\b)\w+ (?:up\b|at\b)"
    r"|(?:提醒|叫)(?:一下)?(?:大家|所有人|每个人|他们?(?!妈)|她们?|小[明红王李张刘陈杨赵吴孙丽芳强军华]|老[王李张刘陈杨赵吴孙]))",
    re.IGNORECASE,
)
_RHYTHM = re.compile(
    r"\b(?:every|each|weekly|monthly|daily|quarterly|hourly)\b|每个?[天周月年日季隔]|隔[天周]", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Aside:
    """`rest` is the sentence without its asides. `clock` is the zone it names ("" for none), `lead` in seconds.

    `ends` says that some end or number of times is named; `within` the matter it ends a rhythm only.
    """

    rest: str
    clock: str = ""
    lead: float = 0.0
    ends: bool = False
    within: bool = False

    def where(self, own: tzinfo | None) -> tzinfo | None:
        """The clock that the times of the sentence are read by; `own` unless it names another."""
        return zone(self.clock) if self.clock else own

    def settled(self, rule: Rule, now: float, own: tzinfo | None) -> Rule | None:
        """The rule that the sentence means by the clock of the person; None for what no rule can hold."""
        away = self.clock and str(self.where(own)) != str(own)
        if self.ends and not (self.within and rule.every in ("once", "instant")):
            return None
        if not away and not self.lead:
            return rule
        due = following(rule, now, self.where(own)) if rule.every == "once" else None
        if due is None or due.at - self.lead <= now:
            return None
        return Rule("instant", start=str(due.at - self.lead))


def read_aside(said: str) -> Aside:
    """The asides of a wish. Those in its matter, behind "to", are none."""
    found, clock, lead = said, "", 0.0
    if (named := clock_of(said)) is not None:
        (start, end), clock = named
        found = f"{said[:start]} {said[end:]}"
    match = _LEAD.search(found)
    if match is not None and not _in_matter(found, match.start()):
        amount = {"a": 1, "an": 1, "half an": 0.5}.get((match["n"] or "").casefold()) or number(
            match["n"] or match["m"]
        )
        lead = float(amount or 0) * _UNITS[(match["u"] or match["v"])[: 2 if match["u"] else 1].casefold()]
        found = f"{found[: match.start()]} {found[match.end() :]}"
    ends = _ENDS.search(said)
    return Aside(found, clock, lead, ends is not None, ends is not None and _in_matter(said, ends.start()))


def for_other(rest: str) -> bool:
    """Whether a sentence, its times blanked out, wants somebody else reminded: "remind Bob to call", "提醒小明吃药"."""
    return _OTHER.match(" ".join(rest.split()).lstrip(" ,，")) is not None


def unread(rest: str) -> bool:
    """Whether a rhythm is left in what comes before the matter, of a sentence whose times are blanked out."""
    return any(not _in_matter(rest, one.start()) for one in _RHYTHM.finditer(rest))


def _in_matter(said: str, start: int) -> bool:
    """Whether what begins at `start` is a part of the matter, behind "to" or "提醒我"."""
    return re.search(r"\bto \w|(?:提醒|叫)(?:一下)?我", said[:start]) is not None
