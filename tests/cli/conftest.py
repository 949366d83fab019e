"""A home of its own for a test of the command line, and a command run in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the home, which speaks English."""
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KITH_LANG", "en")
    return tmp_path / "home"


def run(command: Any, *arguments: str, code: int = 0) -> str:
    """What a command writes to its standard output; it has to end with `code`."""
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout
