"""How well a flow understands: every phrase judged as if it had not been in the file, and the file's own tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kith.dialogue.flows.flow import Flow
from kith.dialogue.workshop.labelled import OUTSIDE


@dataclass(frozen=True, slots=True)
class Score:
    """One intent: of its phrases, of what was taken for it, and the harmonic mean of both (0 to 1)."""

    intent: str
    phrases: int
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` phrases of `intent` were taken for `guess`; `example` is one of them."""

    intent: str
    guess: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A test of the file that did not come out: what was said, what was wanted and what came."""

    say: str
    wanted: str
    got: str


@dataclass(frozen=True, slots=True)
class Trial:
    """`accuracy`: the likeliest intent is right; `accepted`: right and sure enough; `wrong`: sure enough, and wrong."""

    phrases: int
    accuracy: float
    accepted: float
    wrong: float
    scores: tuple[Score, ...]
    confusions: tuple[Confusion, ...]
    tests: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a whole flow did on labelled messages, rules included; all shares 0 to 1.

    `right` of the messages in scope are understood rightly; of those out of scope `recall` are refused, of the refused
    `precision` are out of scope. `error` is the expected calibration error of what was answered, in ten bins.
    """

    messages: int
    strangers: int
    right: float
    recall: float
    precision: float
    f1: float
    error: float
    wrong: tuple[tuple[str, str, str], ...]


def judge_labelled(flow: Flow, pairs: Sequence[tuple[str, str]]) -> Verdict:
    """Read labelled messages; the labels "", "oos" and "out_of_scope" say that nothing may be understood."""
    rows: list[tuple[str, str, str, float]] = []
    for text, label in pairs:
        wanted = "" if label in OUTSIDE else label
        found = flow.read(text, {}, locale="", now=0.0, values={}, pick=lambda options: options[0]).understanding
        rows.append((text, wanted, found.intent, found.confidence))
    inside = [got == wanted for _, wanted, got, _ in rows if wanted]
    strange = [not got for _, wanted, got, _ in rows if not wanted]
    refused = sum(not got for _, _, got, _ in rows)
    precision = sum(strange) / refused if refused else 0.0
    recall = sum(strange) / max(len(strange), 1)
    return Verdict(
        messages=len(inside),
        strangers=len(strange),
        right=sum(inside) / max(len(inside), 1),
        recall=recall,
        precision=precision,
        f1=2 * recall * precision / (recall + precision) if recall + precision else 0.0,
        error=_error([(sure, got == wanted) for _, wanted, got, sure in rows if got]),
        wrong=tuple((text, wanted, got) for text, wanted, got, _ in rows if got != wanted),
    )


def _error(points: Sequence[tuple[float, bool]]) -> float:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for sure, right in points:
        bins.setdefault(min(int(sure * 10), 9), []).append((sure, right))
    gaps = (abs(sum(sure for sure, _ in found) - sum(right for _, right in found)) for found in bins.values())
    return sum(gaps) / max(len(points), 1)


def run_trial(flow: Flow) -> Trial:
    """Judge a flow. The phrases are left out one at a time, exactly and in closed form (see `classifier`)."""
    known = [(text, intent) for text, intent in flow.rules.matcher.examples if text]
    classifier = flow.rules.matcher.classifier
    guesses = classifier.held_out() if classifier else []
    threshold = flow.part.threshold
    pairs = [
        (intent, guess.label, text, guess.confidence) for (text, intent), guess in zip(known, guesses, strict=True)
    ]
    right = [wanted == got for wanted, got, _, _ in pairs]
    sure = [confidence >= threshold and bool(got) for _, got, _, confidence in pairs]
    total = max(len(pairs), 1)
    return Trial(
        phrases=len(pairs),
        accuracy=sum(right) / total,
        accepted=sum(a and b for a, b in zip(right, sure, strict=True)) / total,
        wrong=sum(b and not a for a, b in zip(right, sure, strict=True)) / total,
        scores=scores([(wanted, got) for wanted, got, _, _ in pairs]),
        confusions=confusions(
            [(wanted, got, text) for wanted, got, text, sureness in pairs if sureness >= threshold and got]
        ),
        tests=len(flow.part.tests),
        failures=_failures(flow),
    )


def scores(pairs: list[tuple[str, str]]) -> tuple[Score, ...]:
    """Per intent, from pairs of what was wanted and what was guessed."""
    owned = Counter(wanted for wanted, _ in pairs)
    taken = Counter(got for _, got in pairs)
    hits = Counter(wanted for wanted, got in pairs if wanted == got)
    found: list[Score] = []
    for intent, phrases in owned.items():
        recall = hits[intent] / phrases
        precision = hits[intent] / taken[intent] if taken[intent] else 0.0
        f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
        found.append(Score(intent, phrases, recall, precision, f1))
    return tuple(found)


def confusions(taken: list[tuple[str, str, str]]) -> tuple[Confusion, ...]:
    """What was taken for what, the most frequent first, from wanted, guessed and text."""
    wrong = [(wanted, got, text) for wanted, got, text in taken if wanted != got]
    counts = Counter((wanted, got) for wanted, got, _ in wrong)
    examples = {(wanted, got): text for wanted, got, text in reversed(wrong)}
    return tuple(Confusion(*pair, count, examples[pair]) for pair, count in counts.most_common())


def _failures(flow: Flow) -> tuple[Failure, ...]:
    found: list[Failure] = []
    for test in flow.part.tests:
        state: dict[str, Any] = {"at": test.state, "seen": 0.0} if test.state else {}
        reading = flow.read(test.say, state, locale="", now=0.0, values={}, pick=lambda options: options[0])
        understood = reading.understanding.intent
        if understood != test.intent:
            found.append(Failure(test.say, test.intent, understood))
        elif test.answer is not None and reading.answer != test.answer:
            found.append(Failure(test.say, test.answer, reading.answer or ""))
    return tuple(found)
