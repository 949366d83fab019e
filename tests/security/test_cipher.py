"""Where the key comes from, and that it is never lost, exposed or replaced in silence."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Refused
from kith.security import KeyRing
from kith.security.keys import SystemKeyring


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.security.keys._SCRYPT_N", 2**10)


class Backend:
    """A keyring as the package `keyring` offers it."""

    def __init__(self, priority: float = 5) -> None:
        self.priority = priority
        self.kept: dict[str, str] = {}

    def get_keyring(self) -> Backend:
        return self

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get(name)

    def set_password(self, service: str, name: str, text: str) -> None:
        self.kept[name] = text

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[name]


def ring(home: Path, backend: Backend | None = None, **variables: str) -> KeyRing:
    keyring = SystemKeyring(home / "keys", backend or Backend(priority=0))
    return KeyRing(home / "keys", environment=variables, keyring=keyring)


def refused(ring: KeyRing, code: str) -> str:
    with pytest.raises(Refused) as caught:
        ring.key("database")
    assert caught.value.code == code
    return f"{caught.value.message} {caught.value.hint}"


def test_a_file_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = ring(tmp_path).key("database")
    path = tmp_path / "keys" / "master.key"
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ring(tmp_path).key("database") == key
    assert ring(tmp_path).key("tokens") != key
    assert key.hex() not in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["master.key"]


def test_a_lost_key_is_not_replaced(tmp_path: Path) -> None:
    ring(tmp_path).key("database")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kith.db").write_bytes(b"x" * 100)
    (tmp_path / "keys" / "master.key").unlink()
    assert "KITH_KEY" in refused(ring(tmp_path), "key_lost")
    assert list((tmp_path / "keys").iterdir()) == []
    refused(ring(tmp_path, Backend()), "key_lost")
    refused(ring(tmp_path, KITH_PASSPHRASE="words"), "key_lost")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ring(tmp_path).key("database")
    (tmp_path / "keys" / "master.key").chmod(0o640)
    assert "chmod 600" in refused(ring(tmp_path), "key_exposed")


@pytest.mark.parametrize("raw", [b"", b"short", b"\xff\xfe" * 40, b"g" * 64, b"a" * 63, b"a" * 5_000_000])
def test_a_damaged_key_file_is_told(tmp_path: Path, raw: bytes) -> None:
    ring(tmp_path).key("database")
    (tmp_path / "keys" / "master.key").write_bytes(raw)
    refused(ring(tmp_path), "key_damaged")


def test_a_key_from_the_environment(tmp_path: Path) -> None:
    raw = bytes(range(32))
    key = ring(tmp_path, KITH_KEY=raw.hex()).key("database")
    assert ring(tmp_path, KITH_KEY=f" {base64.b64encode(raw).decode()}\n").key("database") == key
    assert not (tmp_path / "keys").exists()
    for bad in ("hunter2", "z" * 64, base64.b64encode(b"x" * 31).decode()):
        assert bad not in refused(ring(tmp_path, KITH_KEY=bad), "key_damaged")


def test_a_passphrase(tmp_path: Path) -> None:
    key = ring(tmp_path, KITH_PASSPHRASE="correct horse 电池").key("database")
    assert ring(tmp_path, KITH_PASSPHRASE="correct horse 电池").key("database") == key
    refused(ring(tmp_path, KITH_PASSPHRASE="wrong"), "wrong_key")
    refused(ring(tmp_path), "no_key")
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return "correct horse 电池"

    assert KeyRing(tmp_path / "keys", environment={}, ask=ask).key("database") == key
    assert asked == ["KITH_PASSPHRASE"]
    path = tmp_path / "keys" / "passphrase.json"
    assert "horse" not in path.read_text()
    for change in ({"n": 2**40}, {"n": 3}, {"salt": "zz"}, {"check": None}):
        known = json.loads(path.read_text())
        path.write_text(json.dumps({**known, **change}))
        with pytest.raises(Refused):
            ring(tmp_path, KITH_PASSPHRASE="correct horse 电池").key("database")
        path.write_text(json.dumps(known))


def test_the_keyring_of_the_system(tmp_path: Path) -> None:
    backend = Backend()
    key = ring(tmp_path, backend).key("database")
    assert ring(tmp_path, backend).key("database") == key
    assert not (tmp_path / "keys" / "master.key").exists()
    other = ring(tmp_path, Backend(priority=0)).key("database")
    assert other != key
    assert ring(tmp_path, backend).key("database") == other  # a key file that exists goes before the keyring


@pytest.mark.parametrize("source", ["file", "keyring", "environment", "passphrase"])
def test_rotation(tmp_path: Path, source: str) -> None:
    backend = Backend(priority=5 if source == "keyring" else 0)
    variables: dict[str, str] = {}
    following: dict[str, Any] = {}
    if source == "environment":
        variables, following = {"KITH_KEY": "11" * 32, "KITH_KEY_NEXT": "22" * 32}, {"KITH_KEY": "22" * 32}
    if source == "passphrase":
        variables = {"KITH_PASSPHRASE": "old", "KITH_PASSPHRASE_NEXT": "new"}
        following = {"KITH_PASSPHRASE": "new"}
    keys = ring(tmp_path, backend, **variables)
    old = keys.key("database")
    new = keys.rotate().key("database")
    assert new != old
    again = ring(tmp_path, backend, **variables)
    spare = again.spare()
    assert spare is not None
    assert (again.key("database"), spare.key("database")) == (old, new)
    assert again.rotate().key("database") == new
    again.promote()
    assert again.key("database") == new
    final = ring(tmp_path, backend, **following)
    assert final.key("database") == new
    assert final.spare() is None
    with pytest.raises(Refused):
        final.promote()


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    keys = ring(tmp_path)
    keys.key("database")
    text = (tmp_path / "keys" / "master.key").read_text().strip()
    assert text not in repr(keys) + repr(keys.rotate()) + str(vars(keys)["_known"])
