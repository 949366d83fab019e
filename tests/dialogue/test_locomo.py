"""The loader of conversations in LoCoMo's format, and the share of evidence that is found."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks.locomo import sample
from benchmarks.memory import load, measure
from kith.core.errors import Invalid

LINES = ("I adopted a grey kitten", "The rain never stopped", "My sister moved to Oslo", "We ate soup")
TALK = {
    "conversation": {
        "speaker_a": "Ann",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [{"speaker": "Ann", "dia_id": f"D1:{n}", "text": text} for n, text in enumerate(LINES, 1)],
    },
    "qa": [
        {"question": "Who moved to Oslo?", "answer": "her sister", "evidence": ["D1:3"], "category": 1},
        {"question": "Which kitten was adopted?", "answer": "a kitten", "evidence": ["D1:1", "D9:9"], "category": 2},
        {"question": "Nothing?", "evidence": [], "category": 5},
    ],
}


def test_evidence_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([TALK]))
    talks = load(path)
    assert talks[0].lines["D1:2"] == ("Ann: The rain never stopped", 1683554160.0 + 20)
    found, paid, whole = asyncio.run(measure(talks, 30))
    assert {name: one.found for name, one in found.items()} == {"1": [1.0], "2": [1.0]}
    assert found["1"].answers == [(0.5, 0.5)]  # "her" was never said
    assert 0 < paid <= 30 < whole
    found, paid, _ = asyncio.run(measure(talks, 0))
    assert found["1"].found == [0.0]
    assert paid == 0


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"{", b"7", b"[7]", b"[{}]", b"[" * 100_000, b'{"a": 1}'])
def test_what_is_not_in_the_format_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(Invalid):
        load(tmp_path / "x")


def test_the_sample_is_in_the_format_and_most_of_it_is_found(tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(sample()))
    talks = load(path)
    assert [len(talk.lines) for talk in talks] == [624] * 4
    found, paid, whole = asyncio.run(measure(talks, 125))
    shares = [share for one in found.values() for share in one.found]
    assert sum(shares) / len(shares) > 0.9
    assert paid < whole / 100
