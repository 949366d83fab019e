"""Sets for the content filter: templates, disguises that attackers use, and readers of public corpora.

A corpus is a file that you bring: JSONL or CSV, in the forms of AdvBench (``goal``), HarmBench (``Behavior``,
``SemanticCategory``), JailbreakBench (``Goal``, ``Category``), COLD (``TEXT``, ``label``), SafetyBench (``question``).
"""

from __future__ import annotations

import csv
import itertools
import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_HAN = re.compile("[\u4e00-\u9fff]")
_CYRILLIC = str.maketrans("aceopxyisjkmhtbn", "асеорхуіѕјкмһтьп")
_GREEK = str.maketrans("aoviknutp", "αονικηυτρ")
_LEET = str.maketrans("aeiost", "431057")
_EMOJI = "💣🔥😀✨👍🙏💊🍎"
_MARKS = "\u0301\u0336\u0323\u035c"
_HIDDEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with its category, empty where it is harmless; `kind` says how it was disguised."""

    text: str
    category: str
    kind: str = "plain"


def read_set(path: Path) -> list[Sample]:
    """Seeds below ``[category]`` lines; comments begin with ``#``. Without categories: templates, filled in."""
    found: list[Sample] = []
    category = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            category = line[1:-1]
        elif line and not line.startswith("#"):
            found += [Sample(text, category) for text in ([line] if category else filled(line))]
    return found


def words(path: Path) -> dict[str, list[str]]:
    """The named lists of words of a file: ``name = one|two``."""
    rows = (line.split(" = ", 1) for line in path.read_text("utf-8").splitlines() if " = " in line and line[0] != "#")
    return {name: found.split("|") for name, found in rows}


def drawn(template: str, lists: dict[str, list[str]], chance: random.Random, most: int) -> list[str]:
    """Up to `most` different sentences of a template in which ``<name>`` stands for a word of a list."""

    def once() -> str:
        text = re.sub(r"\{([^{}]*)\}", lambda found: chance.choice(found[1].split("|")), template)
        for _ in range(3):
            text = re.sub(r"<([^<>]+)>", lambda found: chance.choice(lists[found[1]]), text)
        return " ".join(text.split())

    return sorted({once() for _ in range(most)})


def filled(template: str) -> list[str]:
    """Every sentence of a template: ``{a|b}`` stands for each of its parts."""
    pieces = re.split(r"\{([^{}]*)\}", template)
    options = [piece.split("|") if place % 2 else [piece] for place, piece in enumerate(pieces)]
    return ["".join(choice) for choice in itertools.product(*options)]


def corpus(path: Path) -> list[Sample]:
    """A public corpus that somebody brought. A row counts as harmful unless its own label says that it is not.

    Of a file in CLINC150's form, the part for validation is read: everyday requests, all harmless.
    """
    text = path.read_text("utf-8-sig", "replace")
    if path.suffix == ".json":
        told = json.loads(text)
        return [Sample(str(row[0]), "") for part in ("val", "oos_val") for row in told.get(part, ())]
    rows = (
        csv.DictReader(text.splitlines()) if path.suffix == ".csv" else map(json.loads, filter(None, text.splitlines()))
    )
    found: list[Sample] = []
    for row in rows:
        fields = {str(key).lower(): value for key, value in dict(row).items()}
        names = ("goal", "behavior", "prompt", "text", "question", "instruction", "query")
        said = next((str(fields[name]) for name in names if fields.get(name)), "")
        label = str(fields.get("label", "1")).lower()
        harmless = label in ("0", "benign", "safe", "false")
        kind = str(fields.get("category") or fields.get("semanticcategory") or "harmful")
        if said:
            found.append(Sample(said, "" if harmless else kind))
    return found


def _each(text: str, chance: random.Random, share: float, change: Callable[[str], str]) -> str:
    return "".join(change(c) if not c.isspace() and chance.random() < share else c for c in text)


def _words(text: str, chance: random.Random, share: float, change: Callable[[str], str]) -> str:
    def one(found: re.Match[str]) -> str:
        return change(found[0]) if len(found[0]) > 3 and chance.random() < share else found[0]

    return re.sub(r"[a-z]+", one, text)


def _spelt(text: str, chance: random.Random, share: float, *, initials: bool = False, spaced: bool = False) -> str:
    from pypinyin import Style, pinyin

    style, gap = (Style.FIRST_LETTER if initials else Style.NORMAL), " " if spaced else ""
    out, place = "", 0
    while place < len(text):
        if _HAN.match(text[place]) and chance.random() < share:
            size = chance.randint(1, 3)
            run = "".join(itertools.takewhile(lambda c: _HAN.match(c) is not None, text[place : place + size]))
            out += gap + gap.join(row[0] for row in pinyin(run, style=style)) + gap
            place += len(run)
        else:
            out += text[place]
            place += 1
    return " ".join(out.split())


def _homophones(text: str, chance: random.Random) -> str:
    from kith.security.folding import sounds

    same: dict[str, list[str]] = {}
    for character, syllable in sounds().items():
        same.setdefault(syllable, []).append(character)
    return _each(text, chance, 0.25, lambda c: chance.choice(same[sounds()[c]]) if c in sounds() else c)


def _traditional(text: str) -> str:
    from opencc import OpenCC

    return str(OpenCC("s2t").convert(text))


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _bold(text: str) -> str:
    return "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text)


def _boxed(text: str) -> str:
    return "".join(chr(0x1F130 + ord(c) - 97) if "a" <= c <= "z" else c for c in text)


Change = Callable[[str, random.Random], str]
BOTH: dict[str, Change] = {
    "hidden": lambda t, r: _each(t, r, 0.5, lambda c: c + r.choice(_HIDDEN)),
    "emoji": lambda t, r: _each(t, r, 0.25, lambda c: c + r.choice(_EMOJI)),
    "repeats": lambda t, r: _each(t, r, 0.2, lambda c: c * r.randint(3, 5)),
    "marks": lambda t, r: _each(t, r, 0.4, lambda c: c + r.choice(_MARKS)),
    "frame": lambda t, r: r.choice(
        ["Hello! {} Thanks!", "just curious: {}", "你好，{} 谢谢", "For a novel: {}"]
    ).format(t),
}
ENGLISH: dict[str, Change] = {
    "case": lambda t, r: "".join(r.choice((c.upper(), c)) for c in t),
    "spacing": lambda t, r: _words(t, r, 0.7, lambda w: " ".join(w)),
    "dots": lambda t, r: _words(t, r, 0.7, lambda w: r.choice(".-_*").join(w)),
    "leet": lambda t, r: _each(t, r, 0.5, lambda c: c.translate(_LEET)),
    "cyrillic": lambda t, r: _each(t, r, 0.6, lambda c: c.translate(_CYRILLIC)),
    "greek": lambda t, r: _each(t, r, 0.6, lambda c: c.translate(_GREEK)),
    "wide": lambda t, _: _wide(t),
    "bold": lambda t, _: _bold(t),
    "boxed": lambda t, _: _boxed(t),
    "typos": lambda t, r: _words(t, r, 0.3, lambda w: w[:2] + w[3] + w[2] + w[4:]),
}
CHINESE: dict[str, Change] = {
    "spacing": lambda t, r: r.choice((" ", "-", "*", ".")).join(t),
    "traditional": lambda t, _: _traditional(t),
    "pinyin": lambda t, r: _spelt(t, r, 1.0, spaced=True),
    "mixed": lambda t, r: _spelt(t, r, 0.3),
    "initials": lambda t, r: _spelt(t, r, 0.15, initials=True),
    "homophones": lambda t, r: _homophones(t, r),
}


def disguises(sample: Sample) -> dict[str, Change]:
    """The disguises that suit the script of a sample."""
    return BOTH | (CHINESE if _HAN.search(sample.text) else ENGLISH)


def mutated(samples: list[Sample], chance: random.Random, each: int) -> Iterator[Sample]:
    """Each sample in `each` disguises, no two of one kind."""
    for sample in samples:
        known = disguises(sample)
        for kind in chance.sample(sorted(known), min(each, len(known))):
            yield Sample(unicodedata.normalize("NFC", known[kind](sample.text, chance)), sample.category, kind)
