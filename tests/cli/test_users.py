"""``kith users`` and ``kith audit`` on a home of their own."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kith.cli.audit import audit
from kith.cli.keys import keys
from kith.cli.users import users
from kith.core.errors import Invalid, NotFound
from tests.cli.conftest import run

pytestmark = pytest.mark.usefixtures("home")


def test_people_come_and_go_and_the_log_knows() -> None:
    assert "No accounts" in run(users, "list")
    code = run(users, "add", "Ann", "--role", "guest").strip()
    assert len(code) == 19
    (row,) = run(users, "list").splitlines()
    person = row.split()[0]
    assert row.split()[1:3] == ["guest", "Ann"]
    assert run(users, "code", person).strip() != code
    with pytest.raises(Invalid):
        run(users, "add", "ann")
    run(users, "remove", person)
    with pytest.raises(NotFound):
        run(users, "remove", person)
    names = [json.loads(line)["act"]["name"] for line in run(audit, "export").splitlines()]
    assert names[:3] == ["user.new", "user.code", "user.remove"]
    assert "user.new" in run(audit, "list")
    assert len(run(audit, "list", "--after", "2").splitlines()) == len(names) - 2
    assert f"{len(names)} entries" in run(audit, "verify")


def test_roles_change_and_people_are_shut_out_and_let_in_again() -> None:
    run(users, "add", "Ann")
    (row,) = json.loads(run(users, "list", "--json"))
    assert json.loads(run(users, "role", row["id"], "admin", "--json"))["role"] == "admin"
    assert "(shut out)" in run(users, "disable", row["id"])
    assert "(shut out)" not in run(users, "enable", row["id"])
    assert CliRunner().invoke(users, ("role", row["id"], "owner")).exit_code == 2
    names = [json.loads(line)["act"]["name"] for line in run(audit, "export").splitlines()]
    assert names.count("user.change") == names.count("session.end_all") == 3


def test_a_new_key_leaves_its_trace_in_the_log() -> None:
    run(users, "add", "Ann")
    run(keys, "rotate")
    acts = [json.loads(line)["act"] for line in run(audit, "export").splitlines()]
    assert [act["detail"]["state"] for act in acts if act["name"] == "key.rotate"] == ["begun", "done"]
