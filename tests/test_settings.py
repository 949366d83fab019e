"""The settings know the file that they came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from kith.runtime.lifecycle import trim
from kith.settings import load_settings


def test_what_is_changed_is_the_file_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    assert load_settings().file == tmp_path / "home" / "kith.yaml"
    other = tmp_path / "other.yaml"
    other.write_text("gateway: {port: 1}\n")
    found = load_settings(other, gateway__host="::1")
    assert (found.file, found.gateway.port, found.gateway.host) == (other, 1, "::1")
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("other.yaml")).file == other


def test_memory_is_given_back_wherever_that_can_be_done() -> None:
    trim()
