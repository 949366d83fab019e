"""Every risky setting is found, named with its attack and its cure, in both languages; the worst stop `kith serve`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kith.cli.doctor import doctor
from kith.cli.serve import serve
from kith.core.errors import Refused
from kith.ops.exposure import exposed
from kith.runtime.locale import catalogue
from kith.settings import Settings

GOOD: dict[str, Any] = json.loads(Settings().model_dump_json())


def keys(home: Path, settings: dict[str, Any], written: dict[str, Any] | None = None) -> dict[str, str]:
    found = exposed(home, {**GOOD, **settings}, written or {}, now=1_800_000_000.0)
    return {one.key: one.status for one in found if one.key != "risk_root"}


PUBLIC = {"host": "0.0.0.0"}
CASES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"gateway": PUBLIC}, {}, "risk_no_tls", "fail"),
    ({"gateway": PUBLIC}, {}, "risk_no_origins", "fail"),
    ({"gateway": PUBLIC}, {}, "risk_everywhere", "warn"),
    ({"gateway": {"proxies": ["0.0.0.0/0"]}}, {}, "risk_proxies", "fail"),
    ({"gateway": {"origins": ["http://kith.home"]}}, {}, "risk_plain_origin", "warn"),
    ({}, {"models": [{"api_key": "sk-1234"}]}, "risk_plain_secret", "warn"),
    ({}, {"storage": {"dsn": "postgres://kith:pw@db/x"}}, "risk_plain_secret", "warn"),
    ({"security": {"filter": {"incoming": "off"}}}, {}, "risk_filter", "warn"),
    ({"security": {"second_factor": "off"}, "gateway": PUBLIC}, {}, "risk_second_factor", "fail"),
    ({"security": {"messages_per_minute": 1e6}}, {}, "risk_flood", "warn"),
    ({"security": {"code_hours": 700}}, {}, "risk_codes", "warn"),
    ({"channels": {"telegram": {"access": "open"}}}, {}, "risk_open_channel", "warn"),
    ({"plugins": {"mcp": [{"name": "files", "command": ["npx"]}]}}, {}, "risk_program", "warn"),
    ({"plugins": {"mcp": [{"name": "x", "url": "http://10.0.0.1/"}]}}, {}, "risk_plain_server", "warn"),
    ({"plugins": {"mcp": [{"name": "x", "url": "https://a/", "role": "guest"}]}}, {}, "risk_guests_tools", "warn"),
    ({"models": [{"name": "m", "url": "http://a.example/v1"}]}, {}, "risk_plain_model", "warn"),
    ({"models": [{"name": "m", "url": "https://a.example/v1", "trusted": True}]}, {}, "risk_trusted_model", "warn"),
    ({"log": {"level": "debug"}}, {}, "risk_debug_log", "warn"),
]


@pytest.mark.parametrize(("settings", "written", "key", "status"), CASES, ids=[case[2] for case in CASES])
def test_each_risk_is_found(
    tmp_path: Path, settings: dict[str, Any], written: dict[str, Any], key: str, status: str
) -> None:
    assert keys(tmp_path, settings, written)[key] == status
    found = next(one for one in exposed(tmp_path, {**GOOD, **settings}, written) if one.key == key)
    assert all(len(found.say(locale)) > 5 and found.hint(locale) for locale in ("en", "zh"))


def test_what_is_safe_is_quiet(tmp_path: Path) -> None:
    safe = {
        "models": [{"name": "m", "url": "http://127.0.0.1:11434/v1"}, {"name": "n", "url": "https://a.example/v1"}],
        "gateway": {"proxies": ["10.0.0.7"], "origins": ["http://localhost:8787"]},
    }
    written = {"models": [{"api_key": "${KEY}"}], "storage": {"dsn": "postgres://db/x"}, "a": [1, None, {"token": ""}]}
    assert keys(tmp_path, safe, written) in ({}, {"risk_none": "ok"})


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_files_that_others_can_read_and_old_keys(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "keys").chmod(0o755)
    (tmp_path / "keys" / "master.key").write_text("x")
    os.utime(tmp_path / "keys" / "master.key", (1_700_000_000, 1_700_000_000))
    (tmp_path / "kith.yaml").write_text("")
    (tmp_path / "kith.yaml").chmod(0o644)
    found = exposed(tmp_path, GOOD, {}, now=1_800_000_000.0)
    assert [one.status for one in found if one.key == "risk_readable"] == ["fail", "warn"]
    assert any(one.key == "risk_old_key" for one in found)
    tmp_path.chmod(0o700)
    assert "risk_readable" not in keys(tmp_path, {})


def test_every_risk_has_words_and_a_cure() -> None:
    for locale in ("en", "zh"):
        words = catalogue(locale, "ops")
        risks = {name.removeprefix("found.") for name in words if name.startswith("found.risk_")}
        assert {case[2] for case in CASES} <= risks
        assert risks - {"risk_none"} == {name.removeprefix("hint.") for name in words if name.startswith("hint.risk_")}


def test_the_command_says_so_and_serve_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    tmp_path.chmod(0o700)
    runner = CliRunner()
    assert runner.invoke(doctor, ["--security"]).exit_code == 0
    (tmp_path / "kith.yaml").write_text("gateway: {proxies: ['0.0.0.0/0']}\n", "utf-8")
    result = runner.invoke(doctor, ["--security", "--json"])
    assert result.exit_code == 1
    assert {"risk_proxies"} <= {row["found"] for row in json.loads(result.output)}
    refused = runner.invoke(serve, ["--port", "0"])
    assert isinstance(refused.exception, Refused) and refused.exception.code == "unsafe_settings"
