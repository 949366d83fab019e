"""The doctor sees what is wrong with a machine and a home, says so in both languages, and recommends what fits."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from kith.cli.doctor import doctor
from kith.core.clock import FrozenClock
from kith.core.errors import Unavailable
from kith.ops import Advice, Finding, examine, recommend
from kith.runtime.machine import GIB, Gpu, Machine, measure
from tests.channels.servers import free_port

MACHINE = Machine(
    "Debian", "x86_64", "A processor", 8, 16 * GIB, 12 * GIB, 512 * 10**9, 200 * 10**9, ("AVX2",)
)  # fmt: skip


@pytest.fixture
def port() -> int:
    return free_port()


def look(home: Path, port: int, machine: Machine = MACHINE, at: float = 1_800_000_000.0) -> dict[str, Finding]:
    return {f.check: f for f in examine(home, port=port, machine=machine, clock=FrozenClock(at))}


def test_a_good_machine_is_in_order(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KITH_KEY", raising=False)
    monkeypatch.delenv("KITH_PASSPHRASE", raising=False)
    found = look(tmp_path / "new" / "home", port)
    assert not [f for f in found.values() if f.status == "fail"]
    assert found["tier"].key == "tier_professional"
    assert found["home"].key == "home_new"
    assert found["port"].key == "port_free"


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_every_finding_has_its_words(locale: str, tmp_path: Path, port: int) -> None:
    for finding in look(tmp_path, port).values():
        assert finding.title(locale)
        assert "{" not in finding.say(locale) + finding.hint(locale)
    for finding in (
        Finding("port", "warn", "port_taken", {"port": 1}),
        Finding("home", "warn", "home_open", {"place": "x"}),
    ):
        assert finding.hint(locale)


@pytest.mark.parametrize(
    ("change", "check", "status", "key"),
    [
        ({"available": GIB // 2}, "ram", "warn", "ram_low"),
        ({"available": GIB // 8}, "ram", "fail", "ram_out"),
        ({"flags": ()}, "processor", "warn", "processor_bare"),
        ({"flags": (), "architecture": "arm64"}, "processor", "ok", "processor"),
        ({"disk_free": 2 * GIB}, "disk", "warn", "disk_low"),
        ({"disk_free": 0}, "disk", "fail", "disk_out"),
        ({"gpus": (Gpu("Card", 8 * GIB),)}, "gpu", "ok", "gpu"),
        ({"memory": 4 * GIB}, "tier", "ok", "tier_small"),
        ({"memory": int(7.6 * GIB)}, "tier", "ok", "tier_basic"),
        ({"memory": 64 * GIB, "disk": 2 * 10**12}, "tier", "ok", "tier_enterprise"),
        ({"memory": 64 * GIB, "disk": 300 * 10**9}, "tier", "ok", "tier_basic"),
    ],
)
def test_what_the_machine_has(
    change: dict[str, object], check: str, status: str, key: str, tmp_path: Path, port: int
) -> None:
    finding = look(tmp_path, port, replace(MACHINE, **change))[check]
    assert (finding.status, finding.key) == (status, key)
    assert finding.say("zh")


def test_a_home_that_others_can_open(tmp_path: Path, port: int) -> None:
    tmp_path.chmod(0o755)
    assert look(tmp_path, port)["home"].key == "home"
    (tmp_path / "data").mkdir(mode=0o755)
    assert look(tmp_path, port)["home"].key == "home_open"
    tmp_path.chmod(0o700)
    assert look(tmp_path, port)["home"].key == "home"


def test_a_home_that_is_a_file(tmp_path: Path, port: int) -> None:
    (tmp_path / "file").write_text("x")
    assert look(tmp_path / "file", port)["home"].status == "fail"
    assert look(tmp_path / "file" / "below", port)["home"].status == "fail"


def test_the_key(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KITH_KEY", raising=False)
    monkeypatch.delenv("KITH_PASSPHRASE", raising=False)
    assert look(tmp_path, port)["key"].key == "key_new"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kith.db").write_bytes(b"x")
    assert look(tmp_path, port)["key"].key == "key_lost"
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "master.key"
    key.write_bytes(b"x" * 32)
    key.chmod(0o644)
    assert look(tmp_path, port)["key"].key == "key_open"
    key.chmod(0o600)
    assert look(tmp_path, port)["key"].key == "key"
    monkeypatch.setenv("KITH_KEY", "00")
    assert look(tmp_path, port)["key"].key == "key_given"


@pytest.mark.parametrize("note", ["", "[]", '{"pid": "x"}', '{"pid": -1}', "{}", "\x00"])
def test_a_port_that_is_taken(note: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "server.json").write_text(note)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = int(taken.getsockname()[1])
        assert look(tmp_path, number)["port"].key == "port_taken"
        (tmp_path / "run" / "server.json").write_text(json.dumps({"pid": os.getpid()}))
        assert look(tmp_path, number)["port"].key == "port_kith"


def test_a_clock_that_stands_in_the_past(tmp_path: Path, port: int) -> None:
    assert look(tmp_path, port, at=0.0)["clock"].key == "clock_wrong"


def sized(memory: float, cores: int, *gpus: Gpu) -> Advice:
    return recommend(
        replace(MACHINE, memory=int(memory * GIB), available=int(memory * GIB * 0.7), cores=cores, gpus=gpus)
    )


def test_advice_fits_and_grows_with_the_machine() -> None:
    small, basic, large = sized(2, 2), sized(8, 4), sized(64, 16)
    assert small.parameters == 0.5 or small.parameters == 1.5
    assert small.parameters <= basic.parameters <= large.parameters
    for memory, advice in ((2, small), (8, basic), (64, large)):
        assert advice.memory <= memory * GIB * 0.8
        assert advice.say("en")
        assert advice.say("zh")
    assert basic.threads == 3


def test_fewer_cores_get_a_smaller_model_in_the_same_memory() -> None:
    assert sized(32, 2).parameters < sized(32, 8).parameters


def test_an_apple_processor_gets_a_larger_one_and_a_card_that_is_not_used_is_named() -> None:
    assert sized(16, 8, Gpu("M3", 0, shared=True)).parameters >= sized(16, 8).parameters
    assert "Card" in " ".join(sized(16, 8, Gpu("Card", 8 * GIB)).say("en"))


def test_no_model_fits_into_almost_nothing() -> None:
    advice = sized(0.5, 1)
    assert (advice.parameters, advice.tier) == (0.0, "small")
    assert advice.say("zh")


def test_the_rule_of_memory() -> None:
    assert MACHINE.fits(GIB) == "yes"
    assert MACHINE.fits(int(12.5 * GIB)) == "tight"
    assert MACHINE.fits(13 * GIB) == "no"


def test_this_machine_is_measured(tmp_path: Path) -> None:
    machine = measure(tmp_path / "not" / "there")
    assert machine.cores >= 1
    assert 0 < machine.available <= machine.memory
    assert 0 < machine.disk_free <= machine.disk


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(doctor, ["--port", str(port), "--json"])
    data = json.loads(done.output)
    assert {check["check"] for check in data["checks"]} >= {"ram", "disk", "port"}
    assert data["advice"]["tier"] in ("small", "basic", "professional", "enterprise")
    for locale, word in (("en", "Memory"), ("zh", "内存")):
        monkeypatch.setenv("KITH_LANG", locale)
        assert word in CliRunner().invoke(doctor, ["--port", str(port)]).output


def test_channels_of_the_running_server_that_cannot_send_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the server itself says; nothing is said of what is off, nor where no server runs."""
    rows: list[dict[str, object]] = [
        {"name": "web", "configured": True, "state": "ready", "note": ""},
        {"name": "irc", "configured": True, "state": "stopped", "note": ""},
        {"name": "slack", "configured": True, "state": "degraded", "note": "cannot send: the platform is away"},
        {"name": "xmpp", "configured": False, "state": "failed", "note": "never mind"},
    ]

    class Running:
        async def call(self, method: str, path: str) -> dict[str, object]:
            assert (method, path) == ("GET", "/api/channels")
            if not rows:
                raise Unavailable("it is busy")
            return {"channels": rows}

    async def found() -> Running:
        return Running()

    def told() -> list[tuple[str, str]]:
        checks = json.loads(CliRunner().invoke(doctor, ["--json"]).stdout)["checks"]
        return [(one["status"], one["text"]) for one in checks if one["check"] == "channels"]

    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    assert told() == []
    monkeypatch.setattr("kith.cli.doctor.find_server", found)
    assert told() == [("warn", "slack: cannot send: the platform is away")]
    del rows[2]
    assert told() == [("ok", "1 connected")]
    rows.clear()
    assert told() == []
