"""``kith config``: secrets masked, every mistake told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kith.cli.config import masked
from kith.cli.group import root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    monkeypatch.setenv("KITH_LANG", "en")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(root, ["config", *arguments])
    return result.exit_code, result.output


def test_no_file_is_needed() -> None:
    code, output = run("check")
    assert code == 0
    assert "default" in output
    code, output = run("show", "--json")
    assert json.loads(output)["gateway"]["port"] == 8787


def test_secrets_are_masked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_SECRETLY", "127.0.0.1")
    (home / "kith.yaml").write_text(
        "gateway: {host: '${HOST_SECRETLY}', port: 9000}\nstorage: {dsn: 'postgres://me:hunter2@db/kith'}\n"
    )
    code, output = run("show")
    assert code == 0
    assert "hunter2" not in output
    assert "127.0.0.1" not in output
    assert "9000" in output


def test_masking_goes_by_name_and_by_origin() -> None:
    data = {"api_key": "a", "tokens": 5, "token": "b", "list": [{"password": "c"}, {"url": "d"}], "key": ""}
    written = {"list": [None, {"url": "${URL}"}]}
    shown = masked(data, written)
    assert shown == {
        "api_key": "********",
        "tokens": 5,
        "token": "********",
        "list": [{"password": "********"}, {"url": "********"}],
        "key": "",
    }


def test_every_mistake_is_told_with_its_place(home: Path) -> None:
    path = home / "kith.yaml"
    path.write_text("gateway:\n  prot: 1\n  host: 5\n")
    code, output = run("check")
    assert code == 1
    assert f"{path}:2: gateway.prot is not a known key; did you mean 'port'?" in output
    assert f"{path}:3: gateway.host" in output
    path.write_text("channels:\n  web:\n    replay: none\n  nowhere: {}\n")
    code, output = run("check", "--json")
    faults = {fault["path"]: fault["line"] for fault in json.loads(output)["faults"]}
    assert (code, faults) == (1, {"channels.web.replay": 3, "channels.nowhere": 4})


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe\x00",
        b"- 1\n- 2\n",
        b"a: &a [*a, *a]\n",
        b"[" * 500,
        b"gateway: {port: 1, port: 2}\n",
        b"a: !!python/x 1",
    ],
)
def test_hostile_files_are_faults(home: Path, raw: bytes) -> None:
    (home / "kith.yaml").write_bytes(raw)
    code, output = run("check")
    assert code == 1
    assert "kith.yaml" in output


def test_a_file_that_is_not_there(home: Path) -> None:
    code, output = run("check", "--config", str(home / "absent.yaml"))
    assert code == 1
    assert "cannot be read" in output


def test_a_setting_is_explained_with_its_value_and_source(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_HOST", "127.0.0.2")
    (home / "kith.yaml").write_text(
        "gateway:\n  port: 9000\n  host: ${MY_HOST}\n  grace: ${NOT_THERE:-7}\n"
        "channels: {irc: {server: x, password: hunter2}}\n"
    )
    code, output = run("explain", "gateway.port")
    assert (code, "Port to listen on" in output, "integer, 0 to 65535" in output) == (0, True, True)
    assert f"now: 9000 (from {home / 'kith.yaml'}:2)" in output
    told = {key: json.loads(run("explain", key, "--json")[1]) for key in ("gateway.host", "gateway.grace", "log.level")}
    assert (told["gateway.host"]["source"], told["gateway.host"]["variables"]) == ("environment", ["MY_HOST"])
    assert (told["gateway.grace"]["source"], told["log.level"]["source"]) == ("file", "default")
    assert told["log.level"]["choices"] == ["debug", "info", "warning", "error"]
    told = json.loads(run("explain", "channels.irc.password", "--json")[1])
    assert (told["value"], told["line"]) == ("********", 5)
    monkeypatch.setenv("KITH_LANG", "zh")
    assert "监听的端口；0 表示任选一个空闲端口" in run("explain", "gateway.port")[1]


def test_a_section_lists_its_keys_and_an_unknown_key_the_nearest(home: Path) -> None:
    rows = {row["key"]: row for row in json.loads(run("explain", "gateway", "--json")[1])["keys"]}
    assert rows["gateway.tls"]["section"]
    assert rows["gateway.port"]["meaning"].startswith("Port")
    assert "channels.irc" in run("explain", "channels")[1]
    for key, near in (("port", "gateway.port"), ("gateway.prt", "gateway.port"), ("channels.irc.nik", "channels.irc.")):
        code, output = run("explain", key)
        assert code == 1
        assert near in output, key
    for key in ("gateway..", ".", "gateway.port.x", "models.9" * 500, "\x00", "channels.nowhere.x", "gateway.{0}"):
        code, output = run("explain", key)
        assert code == 1, key
        assert len(output) < 1000


def test_a_broken_file_is_explained_and_told_in_chinese(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_LANG", "zh")
    (home / "kith.yaml").write_text("gateway:\n  prot: 1\n  port: 70000\n")
    code, output = run("explain", "gateway.port")
    assert code == 0
    assert "70000" in output
    code, output = run("check")
    assert code == 1
    assert "gateway.prot 不是已知的键；是不是想写 'port'？" in output
    assert "gateway.port 不能大于 65535" in output
    code, output = run("show")
    assert code == 2
    assert "不能使用" in output
