"""``kith channels`` and ``kith pair`` on a home of their own, without a server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kith.cli.channels import channels
from kith.cli.new import new
from kith.cli.pair import pair
from kith.core.errors import Invalid, NotFound, Refused, Unavailable
from tests.cli.conftest import run

pytestmark = pytest.mark.usefixtures("home")


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    for lang in ("en", "zh"):
        page = tmp_path / lang / "channels" / "README.md"
        page.parent.mkdir(parents=True)
        page.write_text("before\n<!-- table -->\nstale\n<!-- /table -->\nafter\n", "utf-8")
    run(channels, "table", "--write", str(tmp_path))
    text = (tmp_path / "zh" / "channels" / "README.md").read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text and "| 网页" in text


def test_a_channel_is_written_into_the_settings_and_taken_out(home: Path) -> None:
    names = [row["name"] for row in json.loads(run(channels, "list", "--json"))["channels"]]
    assert {"cli", "web", "loopback"} <= set(names)
    assert "Loopback" in run(channels, "list")
    run(channels, "add", "loopback", "--set", "journal=/tmp/j.log", "--set", "enabled=false")
    assert "loopback" in (home / "kith.yaml").read_text("utf-8")
    with pytest.raises(Invalid):
        run(channels, "add", "loopback", "--set", "jurnal=x")
    with pytest.raises(Invalid):
        run(channels, "add", "loopback", "--set", "journal")
    with pytest.raises(NotFound):
        run(channels, "add", "telegraph")
    run(channels, "remove", "loopback")
    assert "loopback" not in (home / "kith.yaml").read_text("utf-8")


def test_a_secret_is_not_written_into_the_file(home: Path) -> None:
    run(channels, "add", "telegram", "--set", "token=12345:very-secret", "--set", "enabled=false")
    text = (home / "kith.yaml").read_text("utf-8")
    assert "${secret:channels.telegram.token}" in text and "very-secret" not in text
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"very-secret" not in kept  # the database is encrypted
    run(channels, "remove", "telegram")
    assert "telegram" not in (home / "kith.yaml").read_text("utf-8")


def test_without_a_server_too_a_channel_that_lacks_something_is_not_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: str) -> Invalid:
        with pytest.raises(Invalid) as caught:
            run(channels, "add", *(part for one in given for part in (("--set", one) if "=" in one else (one,))))
        assert not (home / "kith.yaml").exists() and caught.value.code == "channel_needs"
        return caught.value

    assert [fault.path for fault in refused("telegram").faults] == ["channels.telegram.token"]
    told = refused("telegram", "token=1:x", "mode=calls", "secret=a-secret-of-the-tests")
    assert [fault.path for fault in told.faults] == ["channels.telegram.url"] and "mode: calls" in str(told)
    assert "enabled: false" in told.hint
    monkeypatch.setenv("KITH_LANG", "zh")
    assert "或改填 signing_secret" in str(refused("slack", "token=xoxb-1"))
    run(channels, "add", "slack", "--set", "token=xoxb-1", "--set", "enabled=false")
    monkeypatch.setenv("IRC_HOST", "irc.example.org")
    run(channels, "add", "irc", "--set", "host=${IRC_HOST}")
    assert "${IRC_HOST}" in (home / "kith.yaml").read_text("utf-8")


def test_without_a_server_too_a_secret_that_is_left_out_stays(home: Path) -> None:
    run(channels, "add", "irc", "--set", "host=a.example", "--set", "password=hunter2")
    run(channels, "add", "irc", "--set", "host=b.example")
    written = (home / "kith.yaml").read_text("utf-8")
    assert "b.example" in written and "${secret:channels.irc.password}" in written and "hunter2" not in written
    run(channels, "remove", "irc")
    assert "irc" not in (home / "kith.yaml").read_text("utf-8")


def test_what_only_a_server_knows_needs_a_server() -> None:
    for command in (("status",), ("test", "web"), ("restart", "web"), ("kept", "web")):
        with pytest.raises(Unavailable):
            run(channels, *command)


def test_codes_are_made_and_requests_answered() -> None:
    assert "Nobody" in run(pair, "--list")
    code = run(pair, "--role", "guest").splitlines()[-1]
    assert len(code) == 9
    assert json.loads(run(pair, "--json"))["expires"] > 0
    assert json.loads(run(pair, "--list", "--json")) == {"waiting": [], "faces": []}
    for wrong in ((code,), ("AAAA-AAAA",), ("AAAA-AAAA", "--refuse"), ("--remove", "f_1")):
        with pytest.raises(NotFound):
            run(pair, *wrong)


@pytest.mark.server
def test_a_new_channel_passes_the_contract_as_it_is(tmp_path: Path) -> None:
    """In a copy of the tree: the contract suite, the folder's own tests, style and types."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("pages", "__pycache__"))
    shutil.copytree(root / "tests" / "contracts", tmp_path / "tests" / "contracts")
    for name in ("pyproject.toml", "docs"):
        (tmp_path / name).symlink_to(root / name)
    here = {"PYTHONPATH": str(tmp_path / "src"), "KITH_HOME": str(tmp_path / "home")}
    tool = {"cwd": tmp_path, "env": {**os.environ, **here}, "capture_output": True, "text": True, "check": False}

    def do(*command: str) -> str:
        done = subprocess.run([sys.executable, "-m", *command], **tool)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return str(done.stdout)

    folder = do("kith", "new", "channel", "smoke_signal").strip()
    assert folder == str(tmp_path / "src" / "kith" / "channels" / "smoke_signal")
    contract = ("tests/contracts/test_channels.py", "-k", "smoke_signal and not table")
    assert "passed" in do("pytest", "-p", "no:cacheprovider", *contract, "-o", "addopts=--import-mode=importlib")
    assert "passed" in do("pytest", "-p", "no:cacheprovider", folder, "-o", "addopts=--import-mode=importlib")
    for check in ("check", "format --check"):
        do("ruff", *check.split(), "--no-cache", folder)


def test_a_new_channel_of_ones_own(tmp_path: Path) -> None:
    run(new, "channel", "smoke", "--into", str(tmp_path))
    assert "from smoke.parse import parse" in (tmp_path / "smoke" / "channel.py").read_text("utf-8")
    with pytest.raises(Refused):
        run(new, "channel", "smoke", "--into", str(tmp_path))
    with pytest.raises(Invalid):
        run(new, "channel", "Smoke Signal", "--into", str(tmp_path))
