"""Making equal what people mean as equal: width, case, punctuation, spaces, traditional and simplified Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from kith.runtime.script import simplified
from kith.runtime.tongue import spoken

_HAN = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHINESE = re.compile(f"[{_HAN}]")
_BETWEEN = re.compile(f"(?<=[{_HAN}]) | (?=[{_HAN}])")
_APOSTROPHE = "'’‘ʼ`´"
_APOSTROPHES = str.maketrans("", "", _APOSTROPHE)
_PARTICLES = re.compile(r"(?<=[\u4e00-\u9fff]{2})[啊呀呢吧哦噢喔嘛啦哟呗哈]+$")
_CONTRACTIONS = {
    "what's": "what is", "who's": "who is", "where's": "where is", "how's": "how is", "that's": "that is",
    "when's": "when is", "there's": "there is", "i'm": "i am", "you're": "you are", "they're": "they are",
    "don't": "do not", "can't": "can not", "doesn't": "does not", "didn't": "did not", "isn't": "is not",
    "aren't": "are not", "couldn't": "could not", "wouldn't": "would not", "i've": "i have", "cannot": "can not",
    "u": "you", "pls": "please", "plz": "please",
}  # fmt: skip
_APOSTROPHISED = {"who're": "who are", "we're": "we are", "it's": "it is", "i'll": "i will", "let's": "let us",
                  "won't": "will not", "you've": "you have"}  # fmt: skip
_CONTRACTED = {short.replace("'", ""): full for short, full in (_CONTRACTIONS | _APOSTROPHISED).items()}
_CONTRACTION = re.compile(
    r"(?<![a-z0-9'’])(?:"
    + "|".join(short.replace("'", "['’]?") for short in _CONTRACTIONS)
    + "|"
    + "|".join(short.replace("'", "['’]") for short in _APOSTROPHISED)
    + r")(?![a-z0-9'’])"
)


@dataclass(frozen=True, slots=True)
class Folded:
    """A text with width and Chinese script folded, one character after another.

    `offsets[i]` is the place in the original of folded character `i`; one more entry stands for the end.
    """

    text: str
    offsets: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original's places of the folded characters `start` to `end`."""
        if end <= start:
            return self.offsets[start], self.offsets[start]
        return self.offsets[start], self.offsets[end - 1] + 1


def normal(text: str) -> str:
    """The form in which phrases are compared. A text of symbols alone (an emoji, "???") stays as it is.

    NFKC, case folding, traditional to simplified (OpenCC's character table), English contractions spelt out,
    apostrophes dropped, any other punctuation a space, spaces single and none beside a Chinese character, and no
    modal particles at the end of a Chinese sentence.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(simplified())
    folded = _CONTRACTION.sub(lambda found: _CONTRACTED[found[0].translate(_APOSTROPHES)], folded)
    words = "".join(map(_plain, folded.translate(_APOSTROPHES)))
    found = _PARTICLES.sub("", _BETWEEN.sub("", " ".join(words.split())))
    return found or "".join(c for c in folded if unicodedata.category(c)[0] not in "CZ")


def fold(text: str) -> Folded:
    """Fold width and Chinese script, but neither case nor punctuation, keeping track of every place."""
    parts: list[str] = []
    offsets: list[int] = []
    for place, character in enumerate(text):
        part = _folded(character)
        parts.append(part)
        offsets.extend([place] * len(part))
    return Folded("".join(parts), (*offsets, len(text)))


def plain(folded: Folded) -> Folded:
    """A folded text in the form of `normal`, still keeping track of every place."""
    lowered = "".join(low if len(low := c.casefold()) == 1 else c for c in folded.text)
    parts: list[tuple[str, int]] = []
    place = 0
    for match in [*_CONTRACTION.finditer(lowered), None]:
        end = match.start() if match else len(lowered)
        parts += [(lowered[i], folded.offsets[i]) for i in range(place, end)]
        if match:
            spelt, place = _CONTRACTED[match[0].translate(_APOSTROPHES)], match.end()
            parts += [(c, folded.offsets[match.start() + min(i, len(match[0]) - 1)]) for i, c in enumerate(spelt)]
    kept = _spaced((_plain(c), at) for c, at in parts if c not in _APOSTROPHE)
    text = "".join(c for c, _ in kept)
    size = len(_PARTICLES.sub("", text))
    return Folded(text[:size], (*(at for _, at in kept[:size]), folded.offsets[-1]))


def _spaced(parts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Single spaces, none at either end or beside a Chinese character."""
    kept: list[tuple[str, int]] = []
    for character, at in parts:
        if character == " " and (not kept or kept[-1][0] == " " or _CHINESE.match(kept[-1][0])):
            continue
        if kept and kept[-1][0] == " " and _CHINESE.match(character):
            kept.pop()
        kept.append((character, at))
    if kept and kept[-1][0] == " ":
        kept.pop()
    return kept


def language(text: str, default: str = "en") -> str:
    """``zh`` or ``en``, see `kith.runtime.tongue`; `default` where there are neither Chinese nor Latin letters."""
    return spoken(text, default)


@lru_cache(maxsize=8192)
def _plain(character: str) -> str:
    """The character where it belongs to a word, else a space. Marks count as letters: Indic vowels are marks."""
    return character if unicodedata.category(character)[0] in "LNM" else " "


@lru_cache(maxsize=8192)
def _folded(character: str) -> str:
    return unicodedata.normalize("NFKC", character).translate(simplified())
