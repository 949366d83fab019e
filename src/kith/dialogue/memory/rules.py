"""Facts that people tell of themselves, found by rules in both languages: no model, microseconds, few but sure.

Each rule is looked for in one clause. Questions, conditions, quotations and hearsay tell nothing of the one who speaks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from kith.dialogue.memory.patterns import Rule, rules, speech, vocabulary
from kith.dialogue.understanding.normal import language
from kith.runtime.locale import tr

KINDS = (
    "name", "birthday", "age", "home", "origin", "work", "family", "like", "dislike", "allergy", "language", "pet",
    "goal", "note",
)  # fmt: skip
"""Every kind of fact."""

_LONGEST = 4000  # characters of a message that are looked at
_VALUE, _NOTE = 60, 300  # characters of what is kept
_MOST = 8  # facts of one message

_CLAUSE = re.compile(
    r"(?<=[.!?])\s+|[;,\n。！？；，]|\s+(?:but|because|although|though|whereas)\s+|(?:但是|可是|不过|因为)"
)
_JOINED = re.compile(r"\s+and\s+(?=(?:i|my)\b)", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"]{1,400}\"|“[^”]{1,400}”|「[^」]{1,400}」|『[^』]{1,400}』|(?<!\w)'[^']{1,400}'(?!\w)")
_NOT_TOLD = speech("not_told")


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found: `value` are the words that matter."""

    kind: str
    value: str
    topic: str
    text: str
    confidence: float


_RULES = rules()
_REMEMBER, _CORRECTS = speech("remember"), speech("corrects")
_TIME = re.compile(r"^(?:the |that )?time\b|^to\b|提醒|^叫我", re.IGNORECASE)
_EMPTY = vocabulary("empty")
_SINGLE = frozenset({"name", "birthday", "age", "home", "origin", "work"})
_TAIL = re.compile(
    r"\s+(?:now|anymore|any more|too|as well|a lot|very much|so much|right now|at the moment|these days|today|"
    r"yesterday|recently|again|(?:last|this) (?:week|month|year|spring|summer|autumn|fall|winter)|in (?:19|20)\d\d|"
    r"since .{3,20}|(?:an?|one|two|three|four|five|six|ten|\d{1,2}|a few|some) (?:days?|weeks?|months?|years?) ago)$",
    re.IGNORECASE,
)


def find_facts(text: str) -> list[Found]:
    """What `text` tells of the one who wrote it, each once, at most eight; nothing of a text that is no telling."""
    if (asked := asked_to_remember(text)) is not None:
        inner = [found for found in _told(asked) if found.kind != "note"]
        return inner[:_MOST] or [make("note", asked, locale=language(text))]
    return list(_told(text))[:_MOST]


def corrects(text: str) -> bool:
    """Whether a message says that something is otherwise than was told, or has changed."""
    return bool(_CORRECTS.search(text[:_LONGEST]))


def asked_to_remember(text: str) -> str | None:
    """What somebody asks to remember, in their words; None when they ask for nothing like it."""
    match = _REMEMBER.match(text[:_LONGEST])
    if match is None or text.rstrip().endswith(("?", "？", "吗")):
        return None
    wanted = (match["v"] or match["w"] or "").strip().rstrip("。.!！")[:_NOTE]
    return None if not wanted or _TIME.search(wanted) else wanted


def make(kind: str, value: str, key: str = "", confidence: float = 1.0, locale: str = "en") -> Found:
    """A fact of this kind as the memory keeps it: a short sentence in its own language."""
    folded = unicodedata.normalize("NFKC", value).casefold().strip()
    if kind in _SINGLE:
        topic = kind
    elif kind in ("like", "dislike"):
        topic = f"favourite:{key.casefold()}" if key else f"taste:{folded}"
    elif kind in ("family", "pet") and key:
        many = kind == "pet" or re.search(
            r"friend|sister|brother|son|daughter|cousin|哥|弟|姐|妹|儿|朋友", key, re.IGNORECASE
        )
        topic = f"{kind}:{key.casefold()}" + (f":{folded}" if many else "")
    else:
        topic = f"{kind}:{folded}"
    name = f"memory.fact.{kind}_of" if key else f"memory.fact.{kind}"
    return Found(kind, value, topic, tr(name, locale, value=value, of=key), confidence)


def _told(text: str) -> Iterator[Found]:
    seen: set[str] = set()
    clean = _QUOTED.sub(" … ", unicodedata.normalize("NFKC", text[:_LONGEST]))
    for clause in clauses(clean):
        if _NOT_TOLD.search(clause):
            continue
        for rule in _RULES:
            match = rule.pattern.search(clause)
            found = _made(rule, match) if match else None
            if found is not None and found.topic not in seen:
                seen.add(found.topic)
                yield found
                break


def clauses(text: str) -> Iterator[str]:
    """The clauses of a text, with the mark at their end, so that questions are known as such."""
    place = 0
    for match in [*_CLAUSE.finditer(text), None]:
        piece = text[place : match.start() if match else len(text)]
        mark = match[0].strip()[:1] if match and match[0].strip()[:1] in "?？" else ""
        place = match.end() if match else len(text)
        for part in _JOINED.split(piece):
            if part.strip():
                yield part.strip() + mark


def _made(rule: Rule, match: re.Match[str]) -> Found | None:
    value = _TAIL.sub("", match["v"].strip(" .!~。！～…'\"“”"))[:_VALUE].strip()
    first = re.split(r"[\s,]", value.casefold(), maxsplit=1)[0]
    if not value or value.casefold() in _EMPTY or first in _EMPTY - {"a", "an", "the", "to", "me"}:
        return None
    key = (match.groupdict().get("k") or "").strip()
    default = "zh" if re.search("[\u3400-\u9fff]", match[0]) else "en"
    return make(rule.kind, value, key, rule.confidence, language(value, default))
