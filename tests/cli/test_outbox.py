"""``kith outbox`` on a home of its own: what was given up is shown, tried again and dropped."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kith.cli.desk import local_storage
from kith.cli.keys import keys
from kith.cli.outbox import outbox
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Dead, Done, Turn


@pytest.fixture
def parcel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dead letter in this test's home; its id."""
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KITH_LANG", "en")

    async def prepare() -> None:
        async with local_storage() as storage:
            heard = Message("m1", "user", (Text("hi"),), 1.0)
            reply = Message("m2", "assistant", (Text("hello\nthere"),), 2.0)
            await storage.inbox.accept(Envelope("pigeon", "a", "1", "ann", "loft", heard))
            (claim,) = await storage.inbox.claim("w", 1)
            out = Parcel("m2", 0, claim.conversation, "pigeon", "a", "loft", reply)
            turn = Turn(claim.id, claim.conversation, "", 1.0, heard, (reply,))
            await storage.store.resolve(claim.envelope)
            await storage.inbox.settle(claim, Done(turn, {}, (out,)))
            (taken,) = await storage.outbox.take("w", 1)
            await storage.outbox.settle(taken, Dead("the pigeon did not come back"))

    asyncio.run(prepare())
    return "m2"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(outbox, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_dead_letter_is_shown_and_dropped(parcel: str) -> None:
    shown = run("list")
    assert "dead" in shown
    assert "pigeon → loft  hello there" in shown
    assert "did not come back" in shown
    (row,) = json.loads(run("list", "--json", "--state", "dead"))
    assert row["id"] == parcel
    run("drop", parcel)
    assert "Nothing is waiting" in run("list")


def test_a_dead_letter_is_sent_again(parcel: str) -> None:
    assert "will be sent again" in run("retry", parcel)
    (row,) = json.loads(run("list", "--json"))
    assert row["state"] == "waiting"


def test_an_unknown_parcel_is_told(parcel: str) -> None:
    done = CliRunner().invoke(outbox, ["retry", "m404"])
    assert done.exit_code != 0
    assert "m404" in str(done.exception) + done.output


def test_the_key_is_changed_and_nothing_is_lost(parcel: str, tmp_path: Path) -> None:
    key = tmp_path / "home" / "keys" / "master.key"
    before = key.read_text()
    done = CliRunner().invoke(keys, ["rotate"], catch_exceptions=False)
    assert done.exit_code == 0
    assert key.read_text() != before
    assert "hello there" in run("list")
