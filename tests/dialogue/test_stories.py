"""Scripted conversations, one file each: forms, corrections, interruptions, digressions, time-outs, two languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kith.dialogue.flows.flow import DEFAULT, Flow, load_flow
from kith.dialogue.workshop.story import load_story, play

STORIES = sorted((Path(__file__).parent / "stories").glob("*.yaml"))
_flows: dict[Path, Flow] = {}


def flow_of(path: Path) -> Flow:
    if path not in _flows:
        _flows[path] = load_flow(path)
    return _flows[path]


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_comes_out_as_it_is_written(path: Path) -> None:
    story, document = load_story(path)
    flow = flow_of((path.parent / story.flow).resolve() if story.flow else DEFAULT)
    found = play(story, document, flow)
    assert not found, "\n".join(
        f"{path.name}:{d.line} {d.say!r} {d.what}: wanted {d.wanted!r}, got {d.got!r}" for d in found
    )


def test_there_are_thirty_stories_in_both_languages() -> None:
    texts = [path.read_text("utf-8") for path in STORIES]
    assert len(texts) >= 30
    assert sum(any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts) >= 12


_SAID = """i want a shirt|book a table for 4|call me a taxi|red|large|no|yes|never mind|tomorrow|7 pm|skip|why?|40|算了
不对，是周二|我要订座|三个人|change the day|when are you open|I want to speak to a human|Market Street 5||?|{date} *
i want a shirt, and also call me a taxi"""
_WORDS = [*(text for line in _SAID.splitlines() for text in line.split("|")), "\ud800", "x" * 3000]


@given(st.lists(st.tuples(st.sampled_from(_WORDS), st.sampled_from([0.0, 5.0, 700.0])), max_size=25))
@settings(max_examples=60, deadline=None)
def test_whatever_is_said_the_state_stays_small_and_whole(said: list[tuple[str, float]]) -> None:
    flow = flow_of(Path(__file__).parent / "booking.yaml")
    state: dict[str, object] = {}
    now = 1_763_712_000.0
    for text, wait in said:
        now += wait
        reading = flow.read(text, state, locale="", now=now, values={}, pick=lambda texts: texts[0])
        state = json.loads(json.dumps(reading.state))
        assert state == reading.state
        assert len(json.dumps(state)) < 12_000
        assert reading.path and all(step.start and step.end for step in reading.path)
        assert len(reading.state.get("paused", ())) <= 3
        asking = reading.state.get("asking")
        assert asking is None or asking["tries"] <= 4
        assert flow.standing(state, now)["language"] in ("en", "zh")
