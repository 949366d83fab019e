"""Scripted conversations, one file each: forms, corrections, interruptions, digressions, time-outs, two languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from kith.dialogue.flow import DEFAULT, Flow, load_flow
from kith.dialogue.story import load_story, play

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
