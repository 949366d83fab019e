"""``kith models``, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kith.cli.models import models
from kith.core.errors import Invalid, KithError, NotFound, Refused


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KITH_LANG", "en")
    return tmp_path / "home"


def kith(*words: str) -> Result:
    return CliRunner().invoke(models, list(words), catch_exceptions=True)


def found(*words: str) -> Any:
    result = kith(*words, "--json")
    assert result.exception is None, result.output
    return json.loads(result.stdout)


def test_from_nothing_to_a_model_and_back(tiny_gguf: Path, home: Path) -> None:
    assert "no model yet" in kith("list").output
    added = kith("add", str(tiny_gguf), "--name", "tiny")
    assert "was added" in added.output
    assert "SHA-256" in added.output
    assert (home / "models" / "tiny" / "current" / "model.gguf").is_symlink()
    assert [card["name"] for card in found("list")] == ["tiny"]
    assert found("show", "tiny")["architecture"] == "llama"
    assert found("verify", "tiny")["sha256"] == found("show", "tiny")["digest"]
    assert "VERSION" in kith("show", "tiny").output
    assert "llama_cpp" in kith("list").output
    assert found("remove", "tiny") == {"removed": "tiny"}
    assert found("list") == []
    assert tiny_gguf.exists()


def error(*words: str) -> KithError:
    result = kith(*words)
    assert isinstance(result.exception, KithError), result.output
    return result.exception


def test_what_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes()[:-500])
    assert isinstance(error("add", str(broken)), Invalid)
    assert isinstance(error("add", str(tmp_path / "none.gguf")), NotFound)
    assert isinstance(error("add", "ftp://x/y.gguf"), Invalid)
    assert isinstance(error("add", str(tiny_gguf), "--sha256", "0" * 64), Invalid)
    assert isinstance(error("remove", "none"), NotFound)
    assert isinstance(error("show", "none"), NotFound)
    assert isinstance(error("run", "none"), Invalid)
    assert found("list") == []
    kith("add", str(tiny_gguf), "--name", "one")
    assert isinstance(error("add", str(tiny_gguf), "--name", "one"), Refused)
    assert kith("add", str(tiny_gguf), "--name", "one", "--force").exception is None


def test_what_does_not_fit_is_not_added(tiny_gguf: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        total = available = 1 << 20

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    refused = error("add", str(tiny_gguf))
    assert refused.code == "too_large"
    assert kith("add", str(tiny_gguf), "--force").exception is None


def test_a_model_of_the_settings_is_listed_and_stays(home: Path) -> None:
    home.mkdir()
    (home / "kith.yaml").write_text("models:\n  - {name: mine, backend: echo}\n  - {name: gone, path: gone.gguf}\n")
    cards = {card["name"]: card for card in found("list")}
    assert cards["mine"]["flaw"] == ""
    assert "no such file" in cards["gone"]["flaw"]
    assert "cannot run" in kith("list").output
    assert isinstance(error("remove", "mine"), Refused)
    assert found("run", "mine", "hello", "there")["text"] == "hello there"


@pytest.mark.server
def test_a_real_run(tiny_gguf: Path) -> None:
    kith("add", str(tiny_gguf), "--name", "tiny", "--copy")
    answer = found("run", "tiny", "hello", "--tokens", "20")
    assert answer["tokens"] == 20
    assert answer["finish"] == "length"
