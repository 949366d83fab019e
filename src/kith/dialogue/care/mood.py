"""A person's mood over time, by the feelings that their messages show, and how a model should speak with them."""

from __future__ import annotations

import math

from kith.core.ports import Records

_WORTH = {"joy": 1.0, "love": 1.0, "sadness": -1.0, "anger": -0.8, "fear": -0.8, "tired": -0.5, "surprise": 0.1}

_HALF_LIFE = 6 * 3600.0  # seconds in which a mood halves by itself
_WEIGHT = 0.4  # of a new message
_KIND = "person.mood"
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


def moved(mood: float, shown: str, passed: float, sure: float = 1.0) -> float:
    """The mood (-1 to 1) after a message that showed a feeling, `passed` seconds after the one before.

    The surer (0 to 1) the feeling is, the more it weighs.
    """
    faded = mood * math.pow(0.5, max(passed, 0.0) / _HALF_LIFE)
    return faded if not shown else faded + _WEIGHT * sure * (_WORTH[shown] - faded)


def guidance(shown: str, mood: float, *, unsure: bool = False) -> str:
    """How a model should speak now, in one sentence; "" when nothing is special. `unsure`: danger is not ruled out."""
    if unsure:
        return _UNSURE
    if shown in _GUIDANCE:
        return _GUIDANCE[shown]
    return "The person has been low lately: be kind." if mood < -0.35 else ""
