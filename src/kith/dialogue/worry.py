"""What is done when danger shows in a message: the safe answer, a gentle question, or neither.

Rules and a trained layer judge. What either is sure of is answered by the script; what is only likely is asked about,
once in a while, and a yes is taken as what it is.
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import Literal

import numpy as np

from kith.core.turn import Understanding
from kith.dialogue.care import safe_answer
from kith.dialogue.crisis import bare, endangered, plain, sentences, struck
from kith.dialogue.danger import chances, shipped
from kith.dialogue.draft import Draft
from kith.dialogue.settings import DialogueSettings
from kith.runtime.locale import tr

Worry = Literal["", "self", "other", "unclear"]

_LONG = 20_000  # characters from which a text is looked through beside the event loop
_EDGE = 600  # characters at either end of a text that the layer reads: what is pasted between is seldom one's own
_DOUBT = 0.65  # chance that each of its sentences is safe, from which what a rule saw is asked about instead
_CERTAIN = re.compile(
    r"\bto (?:kill|hang|shoot|drown) myself\b(?! (?:laughing|over|at|with|in the foot))"
    r"|我.{0,3}(?:想|要|打算|准备)自杀(?!哈)"
)
_ROUNDS = 6  # of a conversation in which the question is put once
_YES = re.compile(
    r"(?:yes|yeah|yep|yup|ya|maybe|sometimes|often|kind of|kinda|a (?:bit|little)|i (?:do|am|have|think so)|both"
    r"|是|有(?!病|空|事)|嗯|对|想|会|可能|也许|偶尔|经常)"
)
_QUESTION = re.compile(r"[?？吗]\s*$")


def judged(text: str) -> Worry:
    """Whether somebody may take or harm their own life ("self"), is hurt by another ("other"), or it is "unclear"."""
    ruled, short = endangered(text), len(text) <= 2 * _EDGE
    if ruled and not short:
        return "self"
    ends = text if short else f"{text[:_EDGE]}\n{text[-_EDGE:]}"
    folded = plain(ends)
    if not ruled and struck(folded):
        return "other"
    weights = shipped()
    seen = [chances(bare(sentence), weights) for sentence in sentences(folded)]
    safe, own, other = (np.array(seen)[:, :3]).T
    doubt, danger = 1 - safe, own + other
    worst = int(danger.argmax())
    _, owned, others, _ = chances(bare(folded), weights)  # what stands around it tells of what it is said
    if math.sqrt(danger[worst] * (owned + others)) >= weights.sure:
        return "other" if other[worst] > own[worst] and not ruled else "self"
    unclear, safest = ruled or doubt.max() >= weights.maybe, safe.min()
    if ruled and (safest < _DOUBT or _CERTAIN.search(bare(plain(text)))):
        return "self"
    return "unclear" if unclear else ""


async def in_danger(draft: Draft, settings: DialogueSettings) -> bool:
    """Whether somebody may be in danger; then the scripted answer is the reply, whatever else would have been said."""
    text = draft.heard.text
    draft.worry = await asyncio.to_thread(judged, text) if len(text) > _LONG else judged(text)
    if draft.worry in ("self", "other"):
        draft.understanding = Understanding("crisis", confidence=1.0, by="rule")
        shelter(draft, settings)
    return draft.danger


def asked(draft: Draft, settings: DialogueSettings) -> bool:
    """Whether the reply is a gentle question, or the script because such a question was just answered with yes."""
    session = draft.session
    if session.worried and session.rounds == session.worried and _affirmed(draft.heard.text):
        draft.understanding = Understanding("crisis", confidence=1.0, by="rule")
        shelter(draft, settings)
        return True
    lately = session.worried and 0 <= session.rounds - session.worried < _ROUNDS
    if draft.worry != "unclear" or draft.claim is None or lately:
        return False
    draft.understanding = Understanding("crisis_unclear", confidence=0.5, by="classifier")
    draft.answer, session.worried = tr("dialogue.crisis.ask", draft.locale), session.rounds + 1
    return True


def shelter(draft: Draft, settings: DialogueSettings) -> None:
    """The scripted answer, and whoever is to be told will be."""
    draft.answer = safe_answer(settings.care, draft.locale, threatened=draft.worry == "other")
    draft.outcome, draft.danger = "handed_over", True


def _affirmed(text: str) -> bool:
    said = plain(text).strip()
    return bool(_YES.match(said)) and not _QUESTION.search(said)
