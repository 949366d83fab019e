"""``kith models route`` and ``kith models tune``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kith.cli.group import root

SETTINGS = """
models:
  - {name: small, backend: echo}
  - {name: cloud, url: "https://example.com/v1"}
serving:
  routes:
    - {name: chinese, language: [zh], use: [small, cloud]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    monkeypatch.setenv("KITH_LANG", "en")
    (tmp_path / "kith.yaml").write_text(SETTINGS, "utf-8")
    return tmp_path


def kith(*words: str) -> Result:
    return CliRunner().invoke(root, ["models", *words], prog_name="kith")


@pytest.mark.usefixtures("folder")
def test_a_route_is_explained_without_asking_anybody() -> None:
    told = kith("route", "你好，世界")
    assert told.exit_code == 0, told.output
    assert "Rule: chinese" in told.output
    assert "1. small" in told.output
    assert "not cloud: the request is private" in told.output
    found = json.loads(kith("route", "hello", "--public", "--need", "tools", "--json").stdout)
    assert [step["model"] for step in found["steps"]] == ["cloud", "small"]
    assert found["facts"]["needs"] == ["tools"]


@pytest.mark.usefixtures("folder")
def test_what_cannot_be_routed_is_told() -> None:
    assert kith("route", "hello", "--model", "nobody").exit_code == 1
    refused = kith("route", "hello", "--model", "cloud")
    assert refused.exit_code == 1
    assert "private" in refused.output


def test_tuning_is_kept(folder: Path) -> None:
    found = json.loads(kith("tune", "small", "--json").stdout)
    assert found["before"] > 0
    assert found["after"] >= found["before"]
    assert "small" in json.loads((folder / "models" / "tuned.json").read_text("utf-8"))["models"]
    assert kith("tune", "cloud").exit_code == 2
    assert kith("tune", "nobody").exit_code == 1
