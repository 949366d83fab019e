"""`kith flow story|state|paths|outcomes|learn|copy|report --data`, where no server runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kith.cli.group import root

STORY = """name: short
flow: flow.yaml
steps:
  - {say: good morning, answer: Hello., intent: hi}
  - {say: bla, by: model}
"""
FLOW = "intents:\n  - name: hi\n    patterns: [good morning, 早上好]   # kept\n    response: Hello.\n"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(root, ["flow", *arguments])
    return result.exit_code, result.output


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    (tmp_path / "flow.yaml").write_text(FLOW, "utf-8")
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "kith.yaml").write_text(f"dialogue: {{flow: {tmp_path / 'flow.yaml'}}}\n", "utf-8")
    return tmp_path


def test_a_story_is_replayed(home: Path) -> None:
    path = home / "story.yaml"
    path.write_text(STORY, "utf-8")
    assert run("story", str(path))[0] == 0
    path.write_text(STORY.replace("Hello.", "Bye."), "utf-8")
    code, said = run("story", str(path), "--json")
    assert code == 1
    assert json.loads(said)["deviations"] == [
        {"line": 4, "say": "good morning", "what": "answer", "wanted": "Bye.", "got": "Hello."}
    ]
    assert f"{path}:4" in run("story", str(path))[1]
    for broken in (b"steps: []", b"\xff\xfe", b"steps: [{}]", b"", b"steps: [{say: x, by: nobody}]"):
        path.write_bytes(broken)
        assert run("story", str(path))[0] != 0


def test_a_home_without_conversations(home: Path) -> None:
    assert json.loads(run("outcomes", "--json")[1])["conversations"] == 0
    code, said = run("paths", "--svg", str(home / "p.svg"), "--html", str(home / "p.html"))
    assert (code, "0" in said) == (0, True)
    assert (home / "p.svg").read_text().startswith("<svg")
    assert json.loads(run("learn", "list", "--json")[1]) == {"questions": []}
    assert run("learn", "list")[0] == 0
    for words in (("state", "none"), ("learn", "approve", "none"), ("learn", "dismiss", "none")):
        assert run(*words)[0] != 0


def test_a_flow_is_copied_once_and_judged(home: Path) -> None:
    assert run("copy", str(home / "mine.yaml"))[0] == 0
    assert "greeting" in (home / "mine.yaml").read_text("utf-8")
    assert run("copy", str(home / "mine.yaml"))[0] != 0
    log = home / "log.jsonl"
    rows = [("good morning", "hi"), ("早上好！", "hi"), ("the price of oil", "oos"), ("good evening dear", "bye")]
    log.write_text("\n".join(json.dumps({"text": text, "intent": intent}) for text, intent in rows), "utf-8")
    found = json.loads(run("report", str(home / "flow.yaml"), "--data", str(log), "--json")[1])
    assert (found["messages"], found["strangers"]) == (3, 1)
    assert found["right"] == pytest.approx(2 / 3)
    assert 0 <= found["f1"] <= 1
    assert run("report", str(home / "flow.yaml"), "--data", str(log))[0] == 0


def test_use_of_a_home_where_nothing_was_said(home: Path) -> None:
    def use(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(root, ["use", *arguments])
        return result.exit_code, result.output

    assert json.loads(use("--by", "model", "--days", "7", "--json")[1]) == {"rows": []}
    assert use()[0] == 0
    for wrong in (("--by", "turns"), ("--days", "0"), ("--days", "x")):
        assert use(*wrong)[0] != 0
