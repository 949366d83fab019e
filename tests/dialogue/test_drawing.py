"""`kith flow`, the drawings and the trial."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kith.cli.flow import flow
from kith.dialogue.flows.flow import DEFAULT, load_flow
from kith.dialogue.workshop.graph import draw, mermaid, svg
from kith.dialogue.workshop.trial import run_trial

PIZZA = Path(__file__).parent / "pizza.yaml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(flow, [str(argument) for argument in arguments])


def test_check_says_where_a_mistake_is(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text("intents:\n  - name: a\n    patterns: [hi]\n    respnse: x\n")
    result = run("check", path)
    assert result.exit_code == 1
    assert f"{path}:4 intents[0].respnse is not a known key; did you mean 'response'?" in result.output
    told = json.loads(run("check", path, "--json").output)
    assert (told["ok"], told["faults"][0]["line"], told["file"]) == (False, 4, str(path))


def test_check_takes_a_good_file() -> None:
    assert run("check", PIZZA).exit_code == 0
    assert run("check").exit_code == 0
    assert json.loads(run("check", PIZZA, "--json").output) == {
        "file": str(PIZZA),
        "ok": True,
        "faults": [],
        "warnings": [],
    }


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = run("check", tmp_path / "none.yaml")
    assert result.exit_code == 1
    assert "cannot be read" in result.output


def test_a_trial_judges_phrases_as_unseen(tmp_path: Path) -> None:
    trial = run_trial(load_flow(DEFAULT))
    assert trial.failures == ()
    assert trial.tests > 10
    assert 0.5 < trial.accuracy < 1  # so many ways to say so little: nobody knows them all unseen
    assert trial.wrong < 0.08
    assert {score.intent for score in trial.scores} == set(load_flow(DEFAULT).intents)
    path = tmp_path / "flow.json"
    intents = [{"name": "a", "patterns": ["hi"], "response": "x"}]
    path.write_text(
        json.dumps({"intents": intents, "tests": [{"say": "hi"}, {"say": "hi", "intent": "a", "answer": "y"}]})
    )
    failures = run_trial(load_flow(path)).failures
    assert [(f.wanted, f.got) for f in failures] == [("", "a"), ("y", "x")]
    assert run("test", path).exit_code == 1


def test_test_prints_the_scores() -> None:
    result = run("test")
    assert result.exit_code == 0, result.output
    assert "add_model" in result.output
    assert json.loads(run("test", "--json").output)["failures"] == []


def test_the_drawing() -> None:
    found = load_flow(PIZZA)
    text = draw(found)
    assert "◉ start" in text
    assert "yes [size=large|small]" in text
    assert draw(load_flow(DEFAULT)).startswith("○ greeting")
    assert run("show", PIZZA).output.endswith(text + "\n")
    assert json.loads(run("show", PIZZA, "--json").output)["name"] == "pizza"


def test_mermaid() -> None:
    lines = mermaid(load_flow(PIZZA)).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    [*] --> s0" in lines
    assert "    s0 --> s1 : order" in lines
    assert run("show", PIZZA, "--mermaid").output.splitlines() == lines


@pytest.mark.parametrize("path", [PIZZA, DEFAULT])
def test_svg_is_well_formed(path: Path) -> None:
    root = ET.fromstring(svg(load_flow(path)))
    shown = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {state.name for state in load_flow(path).part.states} <= shown


def test_svg_escapes(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    intents = [{"name": "a", "patterns": ["hi"], "response": "x"}]
    moves = [{"from": "one", "on": "a", "to": "one", "when": {"number": "<script>&"}}]
    path.write_text(json.dumps({"intents": intents, "states": [{"name": "one"}], "transitions": moves}))
    assert "<script>" not in svg(load_flow(path))
    ET.fromstring(svg(load_flow(path)))
