"""Making disguised texts equal to plain ones: width, look-alikes, hidden characters, spacing, leet, repeats, pinyin.

Look-alikes are the ones that Unicode's "confusables" (UTS 39) gives for Latin letters, as far as they occur in words;
which sound a Chinese character has stands in ``sounds.txt`` (the 3,755 commonest of GB 2312; from pypinyin, MIT).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from kith.runtime.script import lookalikes, rejoined, simplified

_HAN = "\u3400-\u9fff"
_BOXED = {
    **{0x1F130 + n: chr(97 + n) for n in range(26)},
    **{0x1F150 + n: chr(97 + n) for n in range(26)},
    **{0x1F170 + n: chr(97 + n) for n in range(26)},
    **{0x1F1E6 + n: chr(97 + n) for n in range(26)},
}
_LEET = str.maketrans("013457@$!|89+", "oieastasilbgt")
_RUN = re.compile(r"[a-z0-9@$!|+]+")
_SIGN, _LETTER = re.compile(r"[0-9@$|+]|!(?=[a-z])"), re.compile("[a-z]")
_INNER = re.compile(r"(?<=[a-z])[._\-*·~|^`'#=/+]+(?=[a-z])")
_BETWEEN = re.compile(rf"(?<=[{_HAN}])[\s\-_*·.|/+~^#=,]+(?=[{_HAN}])")
_REPEAT = re.compile(r"(\D)\1{2,}")
_DOUBLE = re.compile(rf"([a-z{_HAN}])\1")
_LATIN = re.compile(r"[a-z]+")


def plain(text: str) -> str:
    """The form that rules read: lower case, simplified, without disguise; words stand apart by single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_BOXED)).casefold()
    kept = "".join(map(_seen, decomposed))
    folded = unicodedata.normalize("NFC", kept).translate(lookalikes()).translate(simplified())
    folded = rejoined(folded)
    folded = _BETWEEN.sub("", _INNER.sub("", folded))
    folded = _RUN.sub(_read, folded)
    return " ".join(_REPEAT.sub(r"\1", folded).split())


def squeezed(text: str) -> str:
    """A plain text with every letter that stands twice in a row standing once: the form that is counted."""
    return _DOUBLE.sub(r"\1", text)


def sound(text: str) -> str:
    """How a plain text sounds, in letters without tones and spaces; empty where nothing of it is Chinese."""
    table, chinese = sounds(), False
    parts: list[str] = []
    for character in text:
        if heard := table.get(character):
            parts.append(heard)
            chinese = True
        elif character.isalnum():
            parts.append(character)
    return _DOUBLE.sub(r"\1", "".join(parts)) if chinese or _spelt(text) else ""


@cache
def sounds() -> dict[str, str]:
    """The syllable of each common character."""
    rows = (Path(__file__).parent / "sounds.txt").read_text("utf-8").splitlines()
    pairs = (row.split(" ") for row in rows if row and not row.startswith("#"))
    return {character: syllable for syllable, characters in pairs for character in characters}


def _spelt(text: str) -> bool:
    """Whether most of the words could be pinyin."""
    words = _LATIN.findall(text)
    fitting = sum(len(word) for word in words if _syllables().fullmatch(word))
    return bool(words) and fitting >= 0.7 * sum(map(len, words))


@cache
def _syllables() -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(sorted(set(sounds().values()), key=lambda one: (-len(one), one))) + ")+")


def _read(found: re.Match[str]) -> str:
    """A run with letters among its digits and signs as the letters that were meant."""
    run = found[0]
    return run.translate(_LEET) if _SIGN.search(run) and _LETTER.search(run) else run


@lru_cache(maxsize=16384)
def _seen(character: str) -> str:
    """The character where it can be seen and means something, a space for a gap, nothing for mere decoration."""
    category = unicodedata.category(character)
    if category in ("Cf", "Cs", "Co", "Cn", "Mn", "Me", "So", "Sk"):
        return ""
    return " " if category in ("Cc", "Zs", "Zl", "Zp") else character
