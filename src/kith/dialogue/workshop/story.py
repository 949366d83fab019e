"""Stories: scripted conversations of several turns, read from a file and replayed against a flow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kith.dialogue.flows.flow import Flow
from kith.dialogue.flows.reading import Reading
from kith.dialogue.flows.schema import Words
from kith.dialogue.session import Session
from kith.runtime.documents import Document, read_document, validate
from kith.runtime.settings import Section

_IDLE = 1800.0


class StepPart(Section):
    """One message and what has to come of it; what is not given is not looked at.

    `who` says it, in a story of a group. `wait` seconds pass before it. `answer` is the whole reply, `has` a part
    or parts of it, `lacks` what must not be in it; `by` tells who answers: the flow, or something else to which the
    flow leaves it. Of `slots` those that are named are compared; null is for one that must have no value.
    """

    say: Words
    who: str = Field("", max_length=64)
    wait: float = Field(0.0, ge=0, le=31_536_000)
    intent: str | None = None
    answer: str | None = None
    has: str | list[str] = Field(default_factory=list[str])
    lacks: str | list[str] = Field(default_factory=list[str])
    by: Literal["flow", "model", "tool", "recall", "handover", "persona"] | None = None
    state: str | None = None
    asking: str | None = None
    slots: dict[str, str | int | float | None] = Field(default_factory=dict[str, str | int | float | None])
    outcome: str | None = None
    language: Literal["en", "zh"] | None = None


class StoryPart(Section):
    """A story file: `flow` is a path beside the file, the shipped flow when absent; `at` when the story begins."""

    name: str = ""
    flow: Path | None = None
    locale: str = ""
    at: datetime = datetime(2025, 11, 21, 8, 0, tzinfo=UTC)
    steps: list[StepPart] = Field(min_length=1, max_length=500)


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where a story came out otherwise: the line in its file, what was said, and what was wanted and came."""

    line: int
    say: str
    what: str
    wanted: str
    got: str


def load_story(path: Path) -> tuple[StoryPart, Document]:
    """Read a story. Raises `Invalid` with file, line and reason of every mistake."""
    document = read_document(path)
    return validate(StoryPart, document), document


def play(story: StoryPart, document: Document, flow: Flow, zone: tzinfo = UTC) -> list[Deviation]:
    """Replay a story on a flow, on a clock that only the story moves; empty when all came as written."""
    now, state, found = story.at.timestamp(), Session(), list[Deviation]()
    for index, step in enumerate(story.steps):
        now += step.wait
        session = Session.restore(state.keep(), now, _IDLE)
        session.turn_to(step.who, now, _IDLE)
        reading = flow.read(
            step.say, session.flow, locale=story.locale, now=now, values={}, pick=lambda texts: texts[0], zone=zone
        )
        session.flow, session.seen = dict(reading.state), now
        state = session
        line = document.line(("steps", index))
        found += [Deviation(line, step.say, *difference) for difference in _differences(step, reading)]
    return found


def _differences(step: StepPart, reading: Reading) -> list[tuple[str, str, str]]:
    """What was looked at, wanted and got, where the two differ."""
    said = "\n".join(filter(None, (reading.answer, reading.coda)))
    asking: dict[str, Any] = reading.state.get("asking", {})
    slots: dict[str, str] = reading.state.get("slots", {})
    by = reading.action.kind if reading.action else "flow" if reading.answer is not None else "model"
    outcome = reading.path[-1].outcome if reading.path else ""
    got = {
        "intent": reading.understanding.intent,
        "answer": said,
        "by": by,
        "state": str(reading.state.get("at", "")),
        "asking": f"{asking['intent']}: {asking['slot'] or 'confirm'}" if asking else "",
        "outcome": outcome,
        "language": reading.language,
    }
    found = [
        (name, str(wanted), value)
        for name, value in got.items()
        if (wanted := getattr(step, name)) not in (None, value)
    ]
    found += [("has", part, said) for part in _listed(step.has) if part not in said]
    found += [("lacks", part, said) for part in _listed(step.lacks) if part in said]
    for name, wanted in step.slots.items():
        if slots.get(name) != (None if wanted is None else str(wanted)):
            found.append((f"slots.{name}", str(wanted), str(slots.get(name))))
    return found


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
