"""Does somebody speak of ending or harming a life, their own or that of somebody near? In Chinese and English.

Rules, so that they can be read, run in well under a millisecond and work at any length; tuned for recall, because a
needless list of help lines costs little. Words of danger count unless their sentence is plainly about something else
(a film, a rate, a figure of speech). What is measured on is in ``tests/dialogue/crisis.txt``.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from kith.runtime.script import lookalikes, rejoined, simplified

_PIECE, _OVERLAP = 400, 100  # characters
_HAN = "\u4e00-\u9fff"
_SENTENCE = re.compile(r"[.!?;\n。！？；…]+")
_BETWEEN = re.compile(rf"(?<=[{_HAN}])[\s\-_*·.]+(?=[{_HAN}])")
_LEET = str.maketrans("01345", "oieas")
_SHORT = {"wanna": "want to", "gonna": "going to", "kms": "kill myself", "dont": "do not", "don't": "do not",
          "cant": "can not", "can't": "can not", "cannot": "can not", "won't": "will not", "wont": "will not",
          "im": "i am", "i'm": "i am", "i've": "i have", "ive": "i have", "i'd": "i would", "isn't": "is not",
          "they'd": "they would", "he's": "he is", "she's": "she is", "isnt": "is not", "doesn't": "does not",
          "who've": "who have", "there's": "there is", "what's": "what is", "whats": "what is", "that's": "that is",
          "i'll": "i will", "hes": "he is",
          "unalive": "kill", "wasn't": "was not",
          "weren't": "were not", "he'll": "he will", "she'll": "she will", "they'll": "they will"}  # fmt: skip
_WORD = re.compile(r"[a-z0-9']+")

_SELF = r"(?:my ?self|her ?self|him ?self|them ?sel(?:f|ves))"
_WANT = (
    r"(?:want(?:s|ed)? to|going to|about to|plan(?:s|ning)? (?:to|on)|decided to|ready to|need to"
    r"|try(?:ing)? to|tried to"
    r"|threaten(?:s|ed|ing)? to"
    r"|think(?:s|ing)? (?:about|of)|thought(?:s)? (?:about|of)|feel(?:s|ing)? like|urges? to"
    r"|have to|should|might|will|let me|can not stop|keep|started|been|tempted to|hoping to|hope to|wish to|how to)"
)
_GAP = r"(?: \w+){0,3}? "

_SHEET = (Path(__file__).parent / "crisis.txt").read_text("utf-8")


def _read(section: str) -> list[str]:
    """The expressions of one section of ``crisis.txt``."""
    body = _SHEET.split(f"[{section}]\n", 1)[1].split("\n\n", 1)[0]
    return [line.replace("<want>", _WANT).replace("<self>", _SELF).replace("<gap>", _GAP) for line in body.split("\n")]


_DANGER = tuple(re.compile(form) for form in _read("danger") if form)
_HURT = tuple(re.compile(form) for form in _read("hurt") if form)
_ABOUT, _DENIED, _FIGURE, _UNHURT = (
    re.compile("|".join(filter(None, _read(name)))) for name in ("about", "denied", "figure", "unhurt")
)
_MERE = re.compile("|".join(filter(None, _read("mere"))))
_LAUGH = re.compile(r"哈哈|笑哭|233|hhh|\blol\b|\blmao\b|\bhaha")
_DEGREE = re.compile("没有.{1,6}活不下去|[得到](?:我|都|人|简直|真)*(?:想死|想跳楼|想自杀|想去死)")


def endangered(text: str) -> bool:
    """Whether a message of any length speaks of suicide or self-harm as something that may happen."""
    folded = plain(text)
    return any(_sentence(piece) for piece in sentences(folded))


def struck(folded: str) -> bool:
    """Whether a plain text says outright that a person strikes, chokes or rapes the one who writes, and means it."""
    return any(_blow(piece) for piece in sentences(folded)) and not _UNHURT.search(folded)


def mere(folded: str) -> bool:
    """Whether a plain text says what one has, or goodbye for ever, and not a word more."""
    return bool(_MERE.fullmatch(" ".join(_SENTENCE.sub(" ", folded).replace(",", " ").split())))


def _blow(sentence: str) -> bool:
    said = " ".join(sentence.split())
    return any(form.search(said) for form in _HURT)


def sentences(folded: str) -> list[str]:
    """The sentences of a plain text, long ones in pieces, and the beginning of the whole."""
    parts = [*_SENTENCE.split(folded), _SENTENCE.sub(" ", folded)[:_PIECE]]
    return [piece for sentence in dict.fromkeys(parts) for piece in _pieces(sentence)]


def _pieces(sentence: str) -> list[str]:
    """A long sentence in pieces that overlap, so that the work grows no faster than the text."""
    return [sentence[at : at + _PIECE] for at in range(0, max(len(sentence), 1), _PIECE - _OVERLAP)]


def _sentence(sentence: str) -> bool:
    said = " ".join(sentence.split())
    if not said or _ABOUT.search(said):
        return False
    if _LAUGH.search(said):
        said = _DEGREE.sub("", said)
    said = bare(said)
    return any(form.search(said) for form in _DANGER)


def bare(sentence: str) -> str:
    """A plain sentence without what it denies and without figures of speech."""
    return _DENIED.sub(" ", _FIGURE.sub(" ", sentence))


def plain(text: str) -> str:
    """Width, case, script, hidden characters and the commonest disguises made equal; sentences stay apart."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(simplified()).replace("’", "'")
    folded = "".join(c for c in folded if c == "\n" or unicodedata.category(c)[0] != "C")
    return _WORD.sub(_spelt, _BETWEEN.sub("", rejoined(folded.translate(lookalikes()))))


def _spelt(match: re.Match[str]) -> str:
    word = match[0]
    if any(c.isdigit() for c in word) and any(c.isalpha() for c in word):
        word = word.translate(_LEET)
    return _SHORT.get(word, word)
