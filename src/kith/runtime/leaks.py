"""What must not leave the house by accident: keys and passwords, numbers of cards and papers, addresses of people.

Everything is found by its shape and, where it has one, its checksum: Luhn for cards (ISO/IEC 7812-1), MOD 11-2 for
Chinese identity numbers (GB 11643), MOD 97-10 for bank accounts (ISO 13616). Shapes of vendors' keys are those that
they publish for secret scanning. What is found is replaced by a mark that names its kind, and nothing of it is kept.
"""

from __future__ import annotations

import datetime
import re
import string
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from kith.runtime.telemetry import counter

SECRETS = frozenset({"key", "token", "private_key", "password"})
NUMBERS = frozenset({"card", "identity", "account"})
CONTACTS = frozenset({"phone", "email"})
MARK = "[hidden: {}]"

_masked = counter("kith_security_masked_total", "Secrets and personal data that were hidden.", ("kind",))

_VENDORS = (
    r"sk-(?:ant-|proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,512}",  # OpenAI, Anthropic, OpenRouter, DeepSeek, …
    r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,255}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|LTAI[0-9A-Za-z]{12,24}|AKID[0-9A-Za-z]{13,40}",  # Amazon, Alibaba, Tencent
    r"AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,512}|GOCSPX-[0-9A-Za-z_-]{28}",
    r"xox[abeoprs]-[0-9A-Za-z-]{10,255}|xapp-[0-9A-Za-z-]{10,255}",
    r"(?:hf|gsk|npm|dop_v1|shpat|shpss|nvapi|pplx|xai|glsa|dp\.pt)[_-][0-9A-Za-z_-]{30,255}|pypi-[0-9A-Za-z_-]{40,255}",
    r"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,255}|whsec_[0-9A-Za-z+/=]{24,255}|sq0[a-z]{3}-[0-9A-Za-z_-]{22,255}",
    r"SG\.[0-9A-Za-z_-]{16,64}\.[0-9A-Za-z_-]{16,64}|key-[0-9a-f]{32}|AGE-SECRET-KEY-1[0-9A-Z]{58}",
    r"[0-9]{8,10}:[A-Za-z0-9_-]{35}",  # Telegram's bots
    r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,64}",  # Discord's bots
)
_OURS = (
    r"(?:kith|session)_[A-Za-z0-9_-]{43}|refresh_[A-Za-z0-9_-]{44,120}"
    r"|[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]{4}|eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,2048}"
)
_EDGE, _END = r"(?<![A-Za-z0-9_-])(?:", r")(?![A-Za-z0-9_-])"
_PEM = (
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[\s\S]{0,65536}?-----END [A-Z0-9 ]{0,40}-----|[\s\S]*\Z)"
)
_URL = r"(?<=://)[^\s/:@\"'<>]{0,128}:([^\s/@\"'<>]{1,256})@"
_SAID = (
    r"(?i:\b(?:authorization\s*:\s*(?:bearer|basic)|x-api-key\s*:|(?:api[_-]?key|secret[_-]?key|access[_-]?token"
    r"|client[_-]?secret|passwd|password)[\"']?\s*[:=])\s*[\"']?)"
    r"((?=[A-Za-z_/+=.-]{0,200}[0-9])(?=[0-9_/+=.-]{0,200}[A-Za-z])[A-Za-z0-9_/+=.-]{12,512})"
)
_CARD = r"(?<![0-9])(?<![0-9][ -])[2-6](?:[ -]?[0-9]){12,18}(?![ -]?[0-9])"
_IDENTITY = r"(?<![0-9])[1-9](?: ?[0-9]){16} ?[0-9Xx](?![0-9A-Za-z])"
_ACCOUNT = r"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])"
_EMAIL = (
    r"(?<![A-Za-z0-9.!#$%&'*+/=?^_`{|}~-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9-])"
)
_PHONE = (
    r"(?<![0-9A-Za-z+.,/-])(?:(?:\+?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"
    r"|\+[1-9][0-9]{0,2}(?:[ -]?\(?[0-9]{1,4}\)?){2,5}|\(?[2-9][0-9]{2}\)?[ -][0-9]{3}-[0-9]{4})(?![0-9A-Za-z/-])"
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Characters `start`:`end` of a text are of this `kind`."""

    kind: str
    start: int
    end: int


def luhn(text: str) -> bool:
    """Whether this is the number of a payment card: the issuer's first digits, the length, and the check digit."""
    digits = [int(c) for c in text if c.isdigit()]
    number = "".join(map(str, digits))
    known = re.match(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[47]|3[0689]|35|62|60|6[45]", number)
    lengths = (13, 16, 19) if number[:1] == "4" else (15,) if number[:2] in ("34", "37") else (14, 16, 17, 18, 19)
    total = sum(sum(divmod(2 * d, 10)) if place % 2 else d for place, d in enumerate(reversed(digits)))
    return bool(known) and len(digits) in lengths and total % 10 == 0 and len(set(digits)) > 1


def identity(text: str) -> bool:
    """Whether this is a Chinese identity number of 18 places: a day of birth that there was, and the check digit."""
    number = text.replace(" ", "").upper()
    try:
        datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(number[:17]))
    return number[17] == "10X98765432"[total % 11] and 1850 <= int(number[6:10]) <= 2150


def account(text: str) -> bool:
    """Whether this is an international bank account number."""
    number = text.replace(" ", "")
    if not 15 <= len(number) <= 34 or not number.isalnum() or not number.isascii():
        return False
    return int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1


_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool] | None], ...] = (
    ("private_key", re.compile(_PEM), None),
    ("token", re.compile(_EDGE + _OURS + _END), None),
    ("key", re.compile(_EDGE + "|".join(_VENDORS) + _END), None),
    ("password", re.compile(_URL), None),
    ("password", re.compile(_SAID), None),
    ("identity", re.compile(_IDENTITY), identity),
    ("card", re.compile(_CARD), luhn),
    ("account", re.compile(_ACCOUNT), account),
    ("email", re.compile(_EMAIL), None),
    ("phone", re.compile(_PHONE), None),
)


# No form matches a text without one of these: a run as long as the shortest key, as many digits as the shortest number,
# the beginning of an account, of an address with a password, or of a block. One look instead of ten, for most texts.
_TRACE = re.compile(r"[A-Za-z0-9_/+=.-]{12}|-----|://|[0-9](?:[ -]?[0-9]){12}|[A-Z]{2}[0-9]{2}")
_CONTACT = re.compile(r"[@0-9]")


def traced(text: str, kinds: Collection[str], start: int = 0) -> bool:
    """Whether anything of these kinds can stand in `text` from `start` on."""
    if _TRACE.search(text, max(start - len("://"), 0)):  # what stands before a password decides that it is one
        return True
    return not CONTACTS.isdisjoint(kinds) and _CONTACT.search(text, start) is not None


def leaks(text: str, kinds: Collection[str], start: int = 0) -> list[Leak]:
    """What of these kinds stands in `text` from `start` on, in order, not overlapping; the first form wins."""
    return _found(text, kinds, start) if traced(text, kinds, start) else []


def _found(text: str, kinds: Collection[str], start: int) -> list[Leak]:
    found: list[Leak] = []
    for kind, form, check in _FORMS:
        if kind not in kinds:
            continue
        for match in form.finditer(text, start):
            if check is None or check(match[0]):
                place = match.span(1) if form.groups and match[1] is not None else match.span()
                found.append(Leak(kind, *place))
    kept: list[Leak] = []
    for leak in sorted(found, key=lambda leak: (leak.start, -leak.end)):
        if not kept or leak.start >= kept[-1].end:
            kept.append(leak)
    return kept


def masked(text: str, kinds: Collection[str] = SECRETS, known: Collection[str] = (), start: int = 0) -> str:
    """`text` from `start` on, with marks instead of what is found; what is `known` to the reader already stays.

    `known` holds values as `bare` gives them.
    """
    return replaced(text, leaks(text, kinds, start), known, start, len(text))


def replaced(text: str, found: Iterable[Leak], known: Collection[str], start: int, stop: int) -> str:
    """Characters `start`:`stop` of `text`, with marks instead of what was `found` there and is not `known`."""
    pieces: list[str] = []
    place = start
    for leak in found:
        if leak.end > stop or bare(text[leak.start : leak.end]) in known:
            continue
        pieces += (text[place : leak.start], MARK.format(leak.kind))
        place = leak.end
        _masked.add(1, kind=leak.kind)
    return "".join((*pieces, text[place:stop]))


def values(texts: Collection[str], kinds: Collection[str]) -> frozenset[str]:
    """Everything of these kinds that was said in `texts`: who said it may hear it again."""
    return frozenset(bare(text[leak.start : leak.end]) for text in texts for leak in leaks(text, kinds))


def bare(value: str) -> str:
    """A value without what people put between its parts."""
    return re.sub(r"[\s-]", "", value).casefold()


_BEGIN = (
    "sk- sk_ rk_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- AKIA ASIA LTAI AKID AIza ya29. GOCSPX- xox xapp- hf_ gsk_ "
    "npm_ dop_v1_ shpat_ shpss_ nvapi- pplx- xai- glsa_ dp.pt. pypi- whsec_ sq0 SG. key- AGE-SECRET-KEY-1 kith_ eyJ "
    "session_ refresh_ -----BEGIN authorization x-api-key api_key api-key apikey secret access_token client_secret "
    "passwd password"
)
_STARTS = tuple(_BEGIN.split())
_ANY_START = re.compile("|".join(map(re.escape, _STARTS)))
_PARTS = frozenset(begin[:size] for begin in _STARTS for size in range(1, len(begin)))
_BORDER = re.compile("[^A-Za-z0-9_-]")
_DIGIT = re.compile("[0-9]")
_RUN = string.ascii_letters + string.digits + "_-+/=.@:%~!#$&'*?^`{|}\"("
_DIGITS = re.compile(r"(?<![A-Za-z0-9_-])[+(]?[A-Z]{0,2}[0-9A-Z()][0-9A-Z ()-]*\Z")
_CHAIN = re.compile(r"(?<![A-Za-z0-9_-])(?:[+(]?[0-9A-Z()]+[ -]+)+\Z")
_WORDS = ("author", "key", "token", "secret", "passw")  # each of the next pattern's has one of these in it, case-folded
_OPEN_SAID = re.compile(
    r"(?i:authorization|x-api-key|api[_-]?key|secret[_-]?key|token|client[_-]?secret|passwd|password)"
    r"[\"']?\s*[:=]?\s*(?i:bearer|basic)?\s*[\"']?[A-Za-z0-9_/+=.-]*\Z"
)


def open_from(text: str, *, contacts: bool) -> int:
    """Where the end of `text` begins that may be the first part of something to be hidden; its length where nothing is.

    Ordinary words are let go at once; a run that begins like a key, has digits, or may be an address, waits.
    """
    places = [match.start() for match in _opened(text)]
    begin = len(text.rstrip(_RUN))
    if begin < len(text) and (contacts or _suspicious(text[begin:])):
        places.append(begin)
    if not places:
        return len(text)
    place = min(places)
    before = _CHAIN.search(text, max(place - 60, 0), place)
    return before.start() if before and place < len(text) else place


def begins(text: str) -> bool:
    """Whether `text` begins as a secret does."""
    return text.startswith(_STARTS)


def _opened(text: str) -> Iterator[re.Match[str]]:
    if (begin := text.rfind("-----BEGIN")) >= 0 and (match := re.compile(_PEM).match(text, begin)):
        if match.end() == len(text):
            yield match
    elif begin >= 0 and "-----" not in text[begin + 10 :] and (open_pem := re.compile("-----BEGIN").match(text, begin)):
        yield open_pem
    tail = max(len(text) - 60, 0)
    if _DIGIT.search(text, tail) and (digits := _DIGITS.search(text, tail)) and _DIGIT.search(digits[0]):
        yield digits
    tail = max(len(text) - 700, 0)
    folded = text[tail:].casefold()
    if any(word in folded for word in _WORDS) and (said := _OPEN_SAID.search(text, tail)):
        yield said


def _suspicious(run: str) -> bool:
    """Whether a run of `_RUN` at the end of a text may be the beginning of something to be hidden."""
    if "@" in run or "://" in run or run.count("-") > 1 or _DIGIT.search(run) or _ANY_START.search(run):
        return True
    return run in _PARTS or any(run[border.end() :] in _PARTS for border in _BORDER.finditer(run))
