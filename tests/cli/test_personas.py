"""``kith personas`` on a home of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kith.cli.audit import audit
from kith.cli.personas import personas
from kith.core.errors import Invalid, NotFound, Refused
from tests.cli.conftest import run

pytestmark = pytest.mark.usefixtures("home")


def test_personas_are_added_shown_chosen_and_removed(tmp_path: Path) -> None:
    assert run(personas, "list").startswith("* kith")
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"spec": "chara_card_v2", "data": {"name": "Lin", "description": "knows maps"}}))
    assert json.loads(run(personas, "add", str(card), "--json")) == {"name": "lin", "done": "add"}
    (tmp_path / "m.yaml").write_text("name: 小明\ncharacter: 爱画画\n", "utf-8")
    assert "小明" in run(personas, "add", str(tmp_path / "m.yaml"))
    assert json.loads(run(personas, "show", "LIN", "--json"))["description"] == "knows maps"
    assert "爱画画" in run(personas, "show", "小明")
    run(personas, "use", "Lin")
    told = json.loads(run(personas, "list", "--json"))
    assert (told["default"], [row["name"] for row in told["personas"]]) == ("lin", ["kith", "lin", "小明"])
    run(personas, "remove", "lin")
    assert json.loads(run(personas, "list", "--json"))["default"] == "kith"
    log = run(audit, "export")
    for name in ("persona.add", "persona.default", "persona.remove"):
        assert name in log


def test_what_is_no_persona_is_refused(tmp_path: Path) -> None:
    for raw in (b"", b"\xff\xfe", b"name: [", b"name: '../..'\n", b"\x89PNG\r\n\x1a\n", b"x" * (8 * 1024 * 1024 + 1)):
        (tmp_path / "x").write_bytes(raw)
        with pytest.raises(Invalid):
            run(personas, "add", str(tmp_path / "x"))
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(Invalid):
            run(personas, "add", str(missing))
    (tmp_path / "x").write_text("name: Kith\n")
    with pytest.raises(Refused):
        run(personas, "add", str(tmp_path / "x"))
    with pytest.raises(Refused):
        run(personas, "remove", "kith")
    for command in ("show", "remove", "use"):
        with pytest.raises(NotFound):
            run(personas, command, "../../etc")
