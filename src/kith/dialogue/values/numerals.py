"""Numbers as people write them: digits, Chinese numerals, English words, and mixtures ("3.5万", "2 million")."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_DIGIT_PAIRS = ("零〇", "一壹", "二贰两", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
_DIGITS = {character: digit for digit, pair in enumerate(_DIGIT_PAIRS) for character in pair}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000, "万": 10**4, "亿": 10**8}
_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_SCALES = {"thousand": 1000, "million": 10**6, "billion": 10**9}
_SUFFIXES = {"k": 1000, "m": 10**6, "bn": 10**9, "dozen": 12, "hundred": 100, **_SCALES, "万": 10**4, "亿": 10**8,
             "百": 100, "千": 1000, "百万": 10**6, "千万": 10**7, "万亿": 10**12}  # fmt: skip
_PHRASES = {"half": Decimal("0.5"), "半": Decimal("0.5"), "a dozen": Decimal(12), "half a dozen": Decimal(6),
            "half a million": Decimal(500_000), "a couple of": Decimal(2), "a couple": Decimal(2),
            "俩": Decimal(2), "仨": Decimal(3)}  # fmt: skip

HAN = "".join(_DIGITS) + "".join(_UNITS)
HAN_DIGITS = "".join(_DIGITS)
_WORD = "|".join(sorted((*_SMALL, *_TENS), key=len, reverse=True))
_LARGE = "|".join(("hundred", *_SCALES))
ENGLISH = (
    rf"(?:half a million|half a dozen|a dozen|a couple of|(?:a|{_WORD})(?: |-)(?:{_LARGE}|dozen)"
    rf"(?:(?: and |[ -])(?:{_WORD}|{_LARGE})){{0,24}}|(?:{_WORD})(?:(?: and |[ -])(?:{_WORD}|{_LARGE})){{0,24}})"
)
PLAIN = r"(?:\d{1,3}(?:\.\d{3}){1,4},\d{2}(?!\d)|\d[\d,]{0,20}(?:\.\d{1,9})?)"  # 1.299,00 is European
DIGITS = (
    rf"(?:\d{{1,4}}[万千]\d{{1,4}}千?|{PLAIN})"
    r"(?: ?(?:万亿|百万|千万|[百千万亿]|(?:k|bn|m|million|billion|thousand|hundred|dozen)(?![a-z])))?"
)
CHINESE = rf"(?:[{HAN}]{{1,20}}(?:点[{HAN_DIGITS}]{{1,6}}[万亿]?)?)"

_EUROPEAN = re.compile(r"\d{1,3}(?:\.\d{3}){1,4},\d{2}")
_SPOKEN = re.compile(r"(\d{1,4})([万千])(\d{1,4})千?")
_MIXED = re.compile(rf"({PLAIN}) ?([a-z]+|[百千万亿]+)")


def number(text: str) -> Decimal | None:
    """The number that digits, Chinese numerals or English words say; None where they say none."""
    if _EUROPEAN.fullmatch(text.strip()):
        text = text.replace(".", "").replace(",", ".")
    plain = " ".join(text.replace(",", "").casefold().replace("-", " ").split())
    if text.strip().startswith("-") and plain[:1].isdigit():
        plain = "-" + plain
    if plain in _PHRASES:
        return _PHRASES[plain]
    try:
        return Decimal(plain)
    except InvalidOperation:
        pass
    if spoken := _SPOKEN.fullmatch(plain):  # 3万5 is 35,000, 3万500 is 30,500
        unit, rest = _UNITS[spoken[2]], spoken[3]
        return Decimal(int(spoken[1]) * unit + int(rest) * (unit // 10 if len(rest) == 1 else 1))
    if (mixed := _MIXED.fullmatch(plain)) and mixed[2] in _SUFFIXES:
        return Decimal(mixed[1]) * _SUFFIXES[mixed[2]]
    if plain[:1].isascii():
        return _english(plain.split())
    whole, _, fraction = plain.partition("点")
    return _decimal(whole, fraction) if fraction else _chinese(plain)


def shown(value: Decimal) -> str:
    """A number without an exponent and without zeros that say nothing."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _english(words: list[str]) -> Decimal | None:
    """Words in the order in which people count; None for a mere row of digits ("one two three")."""
    total = part = 0
    for word in words:
        if word in ("a", "an"):
            part = 1
        elif word in _SMALL:
            if part % 10 or (part % 100 and _SMALL[word] > 9):
                return None
            part += _SMALL[word]
        elif word in _TENS:
            if part % 100:
                return None
            part += _TENS[word]
        elif word == "hundred":
            part = (part or 1) * 100
        elif word == "dozen":
            part = (part or 1) * 12
        elif word in _SCALES:
            total, part = total + (part or 1) * _SCALES[word], 0
        elif word != "and":
            return None
    return Decimal(total + part) if words and words != ["and"] else None


def _decimal(whole: str, fraction: str) -> Decimal | None:
    scale = _UNITS.get(fraction[-1], 1)
    digits = fraction[:-1] if scale > 1 else fraction
    head = _chinese(whole)
    if head is None or not digits or any(c not in _DIGITS for c in digits):
        return None
    return (head + Decimal("0." + "".join(str(_DIGITS[c]) for c in digits))) * scale


def _chinese(text: str) -> Decimal | None:
    if not text or any(c not in _DIGITS and c not in _UNITS for c in text):
        return None
    if text[0] in "万亿":
        return None  # 万一, 亿万
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
