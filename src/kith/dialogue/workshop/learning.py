"""What could be learnt from conversations: questions that nobody answered and replies that were rated badly.

Like questions are put together (cosine of TF-IDF n-grams, each to the first group that is near enough, the most
frequent question first: leader clustering, Hartigan 1975), and for each group it is proposed where it may belong.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kith.core.turn import Turn
from kith.dialogue.flows.flow import Flow
from kith.dialogue.understanding.features import features
from kith.dialogue.understanding.normal import normal
from kith.dialogue.workshop.outcomes import feedback, unanswered

_LIKE = 0.4  # cosine from which two questions are one
_LIKELY = 0.3  # confidence from which an intent is proposed
_TEXTS = 2000
_LONGEST = 200
_SHOWN = 5


@dataclass(slots=True)
class Question:
    """A group of like questions: the texts as they were said, the commonest first, and how often each was."""

    id: str
    texts: list[str]
    count: int
    bad: int = 0
    intents: Counter[str] = field(default_factory=Counter[str])


def mark(text: str) -> str:
    """What a question is known by once it was decided about: a digest of its normal form."""
    return hashlib.blake2b(normal(text).encode(), digest_size=8).hexdigest()


def questions(
    turns: Sequence[Turn], rated: Mapping[str, int], decided: Mapping[str, object], flow: Flow
) -> list[Question]:
    """The groups, the most frequent first. What was decided about, or is understood by now, is left out."""
    counts, bad, said = Counter[str](), Counter[str](), dict[str, str]()
    intents: dict[str, Counter[str]] = {}
    for turn in turns:
        text = turn.heard.text.strip()
        poor = rated.get(turn.id, 0) < 0
        if not (poor or unanswered(turn)) or not _teachable(text) or mark(text) in decided:
            continue
        form = normal(text)
        if not poor and flow.rules.matcher.recognise(text, ()).by == "rule":
            continue
        counts[form] += 1
        bad[form] += poor
        said.setdefault(form, text)
        intents.setdefault(form, Counter()).update([turn.understanding.intent] if poor else [])
    found: list[Question] = []
    for forms in _grouped([form for form, _ in counts.most_common(_TEXTS)]):
        question = Question(mark(forms[0]), [said[form] for form in forms], sum(counts[form] for form in forms))
        question.bad = sum(bad[form] for form in forms)
        for form in forms:
            question.intents.update(intents[form])
        found.append(question)
    return sorted(found, key=lambda question: -question.count)


def proposal(question: Question, flow: Flow) -> dict[str, Any]:
    """Where the question may belong: an intent of the flow, not the one that was rated badly; else a new one."""
    classifier = flow.rules.matcher.classifier
    votes: dict[str, float] = {}
    for text in question.texts[:50] if classifier else ():
        guess = classifier.guess(normal(text)) if classifier else None
        if guess is not None and guess.label and guess.label not in question.intents:
            votes[guess.label] = votes.get(guess.label, 0.0) + guess.confidence
        elif guess is not None and guess.second:
            votes[guess.second] = votes.get(guess.second, 0.0) + min(guess.confidence, 1 - guess.confidence) / 2
    label, total = max(votes.items(), key=lambda vote: vote[1], default=("", 0.0))
    sure = total / max(len(question.texts[:50]), 1)
    patterns = question.texts[:_SHOWN]
    if label and sure >= _LIKELY:
        return {"kind": "pattern", "intent": label, "confidence": round(sure, 3), "patterns": patterns}
    return {"kind": "intent", "intent": "", "confidence": 0.0, "patterns": patterns}


def row(question: Question, flow: Flow) -> dict[str, Any]:
    """A question as JSON, with its proposal."""
    return {
        "id": question.id,
        "text": question.texts[0],
        "texts": question.texts[:20],
        "count": question.count,
        "bad": question.bad,
        "intent": question.intents.most_common(1)[0][0] if question.intents else "",
        "proposal": proposal(question, flow),
    }


def _teachable(text: str) -> bool:
    """Whether a message could be a phrase of a flow: short, in words, without gaps, and not about a reply."""
    plain = bool(normal(text)) and any(c.isalnum() for c in text)
    return plain and len(text) <= _LONGEST and not set("{}*\n") & set(text) and not feedback(text)


def _grouped(forms: Sequence[str]) -> list[list[str]]:
    bags = [{f: n for f, n in features(form).items() if _telling(f)} for form in forms]
    seen = Counter(feature for bag in bags for feature in bag)
    vectors = [_unit({f: n * math.log((1 + len(bags)) / seen[f] + 1) for f, n in bag.items()}) for bag in bags]
    groups: list[list[int]] = []
    index: dict[str, list[int]] = {}  # a feature to the groups whose leader has it
    for place, vector in enumerate(vectors):
        near: dict[int, float] = {}
        for feature, weight in vector.items():
            for group in index.get(feature, ()):
                near[group] = near.get(group, 0.0) + weight * vectors[groups[group][0]][feature]
        best = max(near.items(), key=lambda item: item[1], default=(-1, 0.0))
        if best[1] >= _LIKE:
            groups[best[0]].append(place)
            continue
        for feature in vector:
            index.setdefault(feature, []).append(len(groups))
        groups.append([place])
    return [[forms[place] for place in group] for group in groups]


def _telling(feature: str) -> bool:
    """Single letters and pairs of letters are in everything; two Chinese characters are a word."""
    return len(feature) > 2 or (len(feature) > 1 and not feature.isascii())


def _unit(vector: dict[str, float]) -> dict[str, float]:
    length = math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0
    return {feature: weight / length for feature, weight in vector.items()}
