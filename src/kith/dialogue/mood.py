"""The feeling that a text shows, by a lexicon in both languages, and a person's mood over time."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

from kith.core.ports import Records
from kith.dialogue.normal import normal

EMOTIONS = {"joy": 1.0, "love": 1.0, "sadness": -1.0, "anger": -0.8, "fear": -0.8, "tired": -0.5, "surprise": 0.1}

_HALF_LIFE = 6 * 3600.0  # seconds in which a mood halves by itself
_WEIGHT = 0.4  # of a new message
_LIMIT = 1000
_KIND = "person.mood"
_NOT = re.compile(
    r"(?:不|没|没有|(?<!特)别|不太|并不|not|never|no longer|n't|hardly) ?(?:very |so |really |that |太|很|怎么|那么)?$"
)
_UNSURE = (
    "The person may be in distress: listen, take it seriously, ask gently how they are and whom they have near, "
    "give no methods, and do not lecture."
)
_GUIDANCE = {
    "sadness": "The person sounds sad: be gentle, listen first, do not cheer up at once.",
    "fear": "The person sounds worried: be calm, concrete and reassuring.",
    "anger": "The person sounds annoyed: stay calm, be brief, get to the point, do not argue.",
    "tired": "The person sounds tired: be brief and kind.",
    "joy": "The person sounds glad: share the good mood lightly.",
    "love": "The person sounds warm: be warm, but never claim feelings of your own.",
}


def emotion(text: str) -> str:
    """One of `EMOTIONS`, or "" for none that shows: the one with most words; a negated word counts for nothing."""
    said = normal(text[:_LIMIT])
    counts: dict[str, int] = {}
    for name, form in _forms():
        for match in form.finditer(said):
            if not _NOT.search(said[max(0, match.start() - 14) : match.start()]):
                counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else ""


async def lasting(records: Records, person: str, now: float) -> float:
    """The mood of a person as it is now, from whatever conversation; 0 where nothing is known."""
    kept = await records.get(_KIND, person) or {}
    mood, at = kept.get("mood", 0.0), kept.get("at", now)
    if not isinstance(mood, int | float) or not isinstance(at, int | float):
        return 0.0
    return moved(min(max(float(mood), -1.0), 1.0), "", now - float(at))


async def keep(records: Records, person: str, mood: float, now: float) -> None:
    """Keep a person's mood: a number and when, nothing of what was said."""
    await records.put(_KIND, person, {"mood": round(mood, 3), "at": now})


async def forget(records: Records, person: str) -> None:
    """Let go of a person's mood."""
    await records.delete(_KIND, person)


def moved(mood: float, shown: str, passed: float) -> float:
    """The mood (-1 to 1) after a message that showed an emotion, `passed` seconds after the one before."""
    faded = mood * math.pow(0.5, max(passed, 0.0) / _HALF_LIFE)
    return faded if not shown else faded + _WEIGHT * (EMOTIONS[shown] - faded)


def guidance(shown: str, mood: float, *, unsure: bool = False) -> str:
    """How a model should speak now, in one sentence; "" when nothing is special. `unsure`: danger is not ruled out."""
    if unsure:
        return _UNSURE
    if shown in _GUIDANCE:
        return _GUIDANCE[shown]
    return "The person has been low lately: be kind." if mood < -0.35 else ""


@cache
def _forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The lexicon ``moods.txt``: an emotion and its words on each line. Latin words count whole."""
    found: list[tuple[str, re.Pattern[str]]] = []
    for line in (Path(__file__).parent / "moods.txt").read_text("utf-8").splitlines():
        name, _, words = line.partition(":")
        if name in EMOTIONS:
            forms = [normal(word) or word.strip() for word in words.split(",")]
            ordered = sorted(filter(None, forms), key=len, reverse=True)
            pattern = "|".join(rf"\b{re.escape(w)}\b" if w.isascii() else re.escape(w) for w in ordered)
            found.append((name, re.compile(pattern)))
    return tuple(found)
