"""``kith memory`` and ``kith people`` on a home of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kith.cli.audit import audit
from kith.cli.memory import memory
from kith.cli.people import people
from kith.core.errors import NotFound
from tests.cli.conftest import run

pytestmark = pytest.mark.usefixtures("home")


def test_facts_are_told_shown_changed_and_forgotten(tmp_path: Path) -> None:
    assert "nothing" in run(memory, "list")
    assert "Lives in Bern" in run(memory, "tell", "I", "live", "in", "Bern")
    run(memory, "tell", "the gate code is 4711")
    first, second = json.loads(run(memory, "list", "--json"))["facts"]
    assert (first["kind"], second["kind"]) == ("home", "note")
    run(memory, "edit", first["id"], "I live in Oslo")
    assert "Oslo" in run(memory, "list")
    assert "Bern" not in run(memory, "list", "--history")
    out = tmp_path / "me.json"
    run(memory, "export", "--out", str(out))
    assert "4711" in out.read_text("utf-8")
    assert out.stat().st_mode & 0o077 == 0
    with pytest.raises(NotFound):
        run(memory, "forget", "f_none")
    run(memory, "forget", code=2)
    run(memory, "forget", second["id"])
    assert "4711" not in run(memory, "export")
    assert "Forgotten: 1" in run(memory, "forget", "--all")
    assert "4711" not in run(audit, "export")


def test_people_are_shown_and_erased() -> None:
    assert "Nobody" in run(people, "list")
    run(memory, "tell", "I live in Bern")
    for command in (("show", "p_x"), ("export", "p_x"), ("erase", "p_x", "--yes"), ("link", "p_x", "p_y")):
        with pytest.raises(NotFound):
            run(people, *command)
    assert json.loads(run(people, "list", "--json")) == {"people": []}
    run(people, "erase", "p_x", code=1)
