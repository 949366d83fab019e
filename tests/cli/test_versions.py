"""``kith models update`` and its kin, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kith.cli.models import models
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from tests.models.test_versions import other


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


def error(*words: str) -> KithError:
    result = kith(*words)
    assert isinstance(result.exception, KithError), result.output
    return result.exception


@pytest.fixture
def two(home: Path, tmp_path: Path, tiny_gguf: Path) -> Path:
    """The model tiny with the version v1 in use, and the file of another."""
    kith("add", str(other(tiny_gguf, tmp_path, 1)), "--name", "tiny", "--version", "v1", "--copy")
    return other(tiny_gguf, tmp_path, 2)


@pytest.mark.server
def test_a_new_version_and_back(two: Path) -> None:
    done = found("update", "tiny", "--from", str(two), "--to", "v2", "--copy")
    assert (done["version"], done["before"]) == ("v2", "v1")
    assert found("show", "tiny")["version"] == "v2"
    assert [row["version"] for row in found("show", "tiny")["versions"]] == ["v1", "v2"]
    assert "has changed from version v2 to v1" in kith("update", "tiny", "--to", "v1").output
    assert "* v1" in kith("show", "tiny").output
    kith("pin", "tiny")
    assert isinstance(error("update", "tiny"), Refused)
    assert "already" in kith("update", "tiny", "--to", "v1").output
    assert found("clean", "tiny", "--keep", "0") == {"removed": {"tiny": ["v2"]}}
    assert "nothing" in kith("clean").output
    assert isinstance(error("update", "tiny", "--to", "v2"), NotFound)


def test_what_is_broken_never_comes_into_use(two: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(two.read_bytes()[:-500])
    assert isinstance(error("update", "tiny", "--from", str(broken)), Invalid)
    assert isinstance(error("update", "tiny", "--from", str(two), "--md5", "0" * 32), Invalid)
    assert isinstance(error("update", "nobody"), NotFound)
    assert [row["version"] for row in found("show", "tiny")["versions"]] == ["v1"]


@pytest.mark.server
def test_what_cannot_be_loaded_never_comes_into_use(two: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(two.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))
    refused = error("update", "tiny", "--from", str(strange), "--to", "v2")
    assert isinstance(refused, Unavailable)
    assert refused.code == "swap_failed"
    assert found("show", "tiny")["version"] == "v1"


def test_only_the_change_travels(two: Path, home: Path, tmp_path: Path) -> None:
    kith("add", str(two), "--name", "copy", "--version", "v2")
    delta, versions = tmp_path / "d.kithdelta", home / "models"
    (versions / "tiny" / "v2").symlink_to(versions / "copy" / "v2")
    made = found("diff", "tiny", "v1", "v2", "--out", str(delta))
    assert made["bytes"] == delta.stat().st_size < made["of"] / 10
    (versions / "tiny" / "v2").unlink()
    patched = found("patch", "tiny", str(delta), "--version", "v2")
    assert patched["files"][0]["sha256"] == found("show", "copy")["digest"]
    assert found("show", "tiny")["version"] == "v1", "it comes into use by update"
    assert isinstance(error("patch", "copy", str(delta)), NotFound)
    delta.write_bytes(delta.read_bytes()[:-1])
    assert error("patch", "tiny", str(delta), "--version", "v3").code == "bad_delta"
