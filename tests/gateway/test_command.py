"""``kith token`` where no server runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kith.cli.desk import local_desk
from kith.cli.token import token
from kith.core.errors import Invalid, NotFound
from kith.core.people import Principal


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    monkeypatch.setenv("KITH_LANG", "en")


def kith(*words: str) -> Result:
    return CliRunner().invoke(token, words)


def who(credential: str) -> Principal:
    async def ask() -> Principal:
        async with local_desk() as desk:
            return await desk.authenticate(credential)

    return asyncio.run(ask())


def test_a_token_is_made_listed_and_revoked() -> None:
    made = kith("new", "phone", "--role", "guest")
    assert made.exit_code == 0 and made.stdout.strip().startswith("kith_") and "phone" in made.stderr
    credential = made.stdout.strip()
    assert who(credential).role == "guest"
    (row,) = json.loads(kith("list", "--json").stdout)
    assert (row["name"], row["role"]) == ("phone", "guest") and credential not in kith("list").output
    assert kith("revoke", row["id"]).exit_code == 0
    assert "no token" in kith("list").output
    assert isinstance(kith("revoke", row["id"]).exception, NotFound)


def test_mistakes_are_told() -> None:
    assert isinstance(kith("new", "a\nb").exception, Invalid)
    assert kith("new", "x", "--role", "king").exit_code == 2
    assert json.loads(kith("list", "--json").stdout) == []
