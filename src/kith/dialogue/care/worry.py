"""What is done when danger shows in a message: the safe answer, a question with or without help lines, or neither.

Rules and a trained layer judge. What either is sure of is answered by the script. What is likely is asked about each
time, in words that name help; what is unclear is asked about once in a while. A yes, or new worry, is taken as it is.
"""

from __future__ import annotations

import asyncio
import math
import re
from functools import cache

import numpy as np

from kith.core.turn import Understanding
from kith.dialogue.care.crisis import bare, endangered, mere, plain, sentences, struck
from kith.dialogue.care.danger import chances, shipped
from kith.dialogue.care.measures import Tier, Worry, doubtful_answer, safe_answer
from kith.dialogue.draft import Draft
from kith.dialogue.session import Session
from kith.dialogue.settings import DialogueSettings
from kith.runtime.locale import tr

_LONG = 20_000  # characters from which a text is looked through beside the event loop
_EDGE = 600  # characters at either end of a text that the layer reads: what is pasted between is seldom one's own
_DOUBT = 0.65  # chance that each of its sentences is safe, from which what a rule saw is asked about instead
_CERTAIN = re.compile(
    r"\bto (?:kill|hang|shoot|drown) myself\b(?! (?:laughing|over|at|with|in the foot))"
    r"|我.{0,3}(?:想|要|打算|准备)自杀(?!哈)"
)
_ROUNDS = 6  # of a conversation in which the plain question is put once
_YES = re.compile(
    r"(?:yes(?!terday)|yeah|yep|yup|ya|maybe|sometimes|often|kind of|kinda|a (?:bit|little)"
    r"|i (?:do|am|have|think so)(?! (?:fine|ok|okay|good|safe|all right|alright)\b| not[.! ]*$)"
    r"|both|是|有(?!病|空|事)|嗯|对|想(?!太?多)|会|可能|也许|偶尔|经常)"
)
_NO = re.compile(
    r"(?:no+|nope|nah|not at all|of course not|never)"
    r"(?=\s*(?:[,.!;:\n]|$)|\s+(?:i am (?:fine|ok|okay|safe|not)|no\b|not\b|worries|thanks?))"
    r"|(?:不是|没有|没|不|不会|没事|当然不|才不)(?:的|啊|啦|呀|吧|呢|了)*(?=\s*(?:[,，.。!！;；~]|$))"
)
_QUESTION = re.compile(r"[?？吗]\s*$")
_QUESTIONS = ("ask", "ask_line", "ask_threatened")


def judged(text: str) -> Worry:
    """How far a text shows that somebody may take or harm their own life, or is hurt by another."""
    ruled, short = endangered(text), len(text) <= 2 * _EDGE
    if ruled and not short:
        return Worry(Tier.SURE)
    ends = text if short else f"{text[:_EDGE]}\n{text[-_EDGE:]}"
    folded = plain(ends)
    if not ruled and struck(folded):
        return Worry(Tier.SURE, other=True)
    if not ruled and mere(folded):
        return Worry(Tier.UNCLEAR)
    weights = shipped()
    seen = [chances(bare(sentence), weights) for sentence in sentences(folded)]
    safe, own, other = (np.array(seen)[:, :3]).T
    doubt, danger = 1 - safe, own + other
    worst = int(danger.argmax())
    _, owned, others, _ = chances(bare(folded), weights)  # what stands around it tells of what it is said
    score, threat = math.sqrt(danger[worst] * (owned + others)), bool(other[worst] > own[worst]) and not ruled
    if score >= weights.sure or (ruled and (safe.min() < _DOUBT or _CERTAIN.search(bare(plain(text))))):
        return Worry(Tier.SURE, threat)
    if score >= weights.likely:
        return Worry(Tier.LIKELY, threat)
    return Worry(Tier.UNCLEAR, threat) if ruled or doubt.max() >= weights.maybe else Worry()


async def in_danger(draft: Draft, settings: DialogueSettings) -> bool:
    """Whether somebody surely is in danger; then the scripted answer is the reply, whatever else would be said."""
    text = draft.heard.text
    draft.worry = await asyncio.to_thread(judged, text) if len(text) > _LONG else judged(text)
    if draft.worry.tier is Tier.SURE:
        draft.understanding = Understanding("crisis", confidence=1.0, by="rule")
        shelter(draft, settings)
    return draft.danger


async def helped(draft: Draft, settings: DialogueSettings, *, asking: bool) -> bool:
    """Whether somebody who may not speak now gets help all the same: by the script or, if `asking`, a question."""
    if await in_danger(draft, settings):
        return True
    return asking and draft.worry.tier is Tier.LIKELY and asked(draft, settings)


def asked(draft: Draft, settings: DialogueSettings) -> bool:
    """Whether the reply is a question, or the script because one was just answered with yes or with new worry.

    Where danger is likely the question names help, and is put each time; where it is unclear, once in a while.
    """
    worry, text = draft.worry, draft.heard.text
    before = _asked_before(draft)
    if before and not _refused(text) and (worry or _affirmed(text)):
        draft.worry = Worry(Tier.SURE, worry.other if worry.tier is Tier.LIKELY else before.other)
        draft.understanding = Understanding("crisis", confidence=1.0, by="rule")
        shelter(draft, settings)
        return True
    if worry.tier is Tier.LIKELY:
        draft.understanding = Understanding("crisis_likely", confidence=0.5, by="classifier")
        draft.answer = doubtful_answer(settings.care, draft.locale, threatened=worry.other)
    elif worry and draft.claim is not None and not _lately(draft.session):
        draft.understanding = Understanding("crisis_unclear", confidence=0.5, by="classifier")
        draft.answer = tr("dialogue.crisis.ask", draft.locale)
    else:
        return False
    draft.fixed = True
    return True


def shelter(draft: Draft, settings: DialogueSettings) -> None:
    """The scripted answer, and whoever is to be told will be."""
    draft.answer = safe_answer(settings.care, draft.locale, threatened=draft.worry.other)
    draft.outcome, draft.danger, draft.fixed = "handed_over", True, True


def counted(draft: Draft) -> None:
    """One round more where something was said, and whether a question about danger was put in it."""
    draft.session.rounds += 1 if draft.spoke else 0
    if draft.fixed and not draft.danger:
        draft.session.worried, draft.session.threat = draft.session.rounds, draft.worry.other


def _lately(session: Session) -> bool:
    return bool(session.worried) and 0 <= session.rounds - session.worried < _ROUNDS


def _asked_before(draft: Draft) -> Worry:
    """What the last thing that was said to the person asked about; false where it was no question about danger.

    A caller that keeps the conversation shows it by the words.
    """
    session = draft.session
    if draft.history is None:
        there = session.worried and session.rounds == session.worried
        return Worry(Tier.UNCLEAR, session.threat) if there else Worry()
    said = next((message.text for message in reversed(draft.history) if message.role == "assistant"), "")
    found = next((threat for opening, threat in _openings() if opening in said), None)
    return Worry() if found is None else Worry(Tier.UNCLEAR, found)


@cache
def _openings() -> tuple[tuple[str, bool], ...]:
    """How each question begins, in each language, and whether it is about another who hurts."""
    return tuple(
        (tr(f"dialogue.crisis.{name}", locale, lines="\0").partition("\0")[0], name == "ask_threatened")
        for name in _QUESTIONS
        for locale in ("en", "zh")
    )


def _affirmed(text: str) -> bool:
    said = plain(text).strip()
    return bool(_YES.match(said)) and not _QUESTION.search(said)


def _refused(text: str) -> bool:
    """Whether a text begins with a clear no."""
    return bool(_NO.match(plain(text).strip()))
