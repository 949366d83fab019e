"""Where the master key comes from: the environment, a passphrase, the system's keyring, or a file. Never the data."""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import importlib.util
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from kith.core.errors import Refused

SIZE = 32
_SCRYPT_N = 2**17  # OWASP Password Storage Cheat Sheet, 2023: scrypt N = 2^17, r = 8, p = 1; 128 MiB for 0.5 s
_NEXT = ".next"  # what a rotation has made and not yet put in force


class Source(Protocol):
    """One place for a master key. With `following`, the key that a rotation has made but not yet put in force."""

    def load(self, following: bool = False) -> bytes | None: ...

    def make(self, following: bool = False) -> bytes: ...

    def promote(self) -> None: ...


class Environment:
    """``KITH_KEY``, and ``KITH_KEY_NEXT`` while it is being changed: 32 bytes in hex or base64."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def load(self, following: bool = False) -> bytes | None:
        name = "KITH_KEY_NEXT" if following else "KITH_KEY"
        text = self._variables.get(name, "").strip()
        return parse(text, name) if text else None

    def make(self, following: bool = False) -> bytes:
        found = self.load(following)
        if found is None:
            raise Refused("a key from the environment is changed there", code="no_key", hint="set KITH_KEY_NEXT")
        return found

    def promote(self) -> None:
        """Nothing to do here: whoever sets the variables gives the new value to KITH_KEY."""


class KeyFile:
    """``master.key``: 64 hexadecimal digits, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "master.key"

    def load(self, following: bool = False) -> bytes | None:
        path = _following(self._path) if following else self._path
        text = read_private(path)
        return parse(text.strip(), str(path)) if text is not None else None

    def make(self, following: bool = False) -> bytes:
        key = secrets.token_bytes(SIZE)
        write_private(_following(self._path) if following else self._path, f"{key.hex()}\n", replace=following)
        return key

    def promote(self) -> None:
        _replace(_following(self._path), self._path)


class Passphrase:
    """A key stretched from words by scrypt; ``passphrase.json`` keeps the salt and a check value, not the words.

    `ask` gets True for the new passphrase of a rotation.
    """

    def __init__(self, folder: Path, ask: Callable[[bool], str]) -> None:
        self._path = folder / "passphrase.json"
        self._ask = ask

    def load(self, following: bool = False) -> bytes | None:
        path = _following(self._path) if following else self._path
        text = read_private(path)
        if text is None:
            return None
        try:
            known = cast("dict[str, Any]", json.loads(text))
            salt, check, cost = bytes.fromhex(known["salt"]), str(known["check"]), int(known["n"])
        except (ValueError, KeyError, TypeError):
            raise Refused(f"{path} is damaged", code="key_damaged", hint="restore it from a backup") from None
        key = _stretch(self._ask(following), salt, cost)
        if not secrets.compare_digest(_check(key), check):
            raise Refused("the passphrase is wrong", code="wrong_key", hint="give the one chosen at the first start")
        return key

    def make(self, following: bool = False) -> bytes:
        salt = secrets.token_bytes(16)
        key = _stretch(self._ask(following), salt, _SCRYPT_N)
        text = json.dumps({"kdf": "scrypt", "n": _SCRYPT_N, "salt": salt.hex(), "check": _check(key)})
        write_private(_following(self._path) if following else self._path, text, replace=following)
        return key

    def promote(self) -> None:
        _replace(_following(self._path), self._path)


class SystemKeyring:
    """The operating system's keyring, through the package `keyring` where it is installed."""

    def __init__(self, folder: Path, package: Any = None) -> None:
        self._name = str(folder)
        self._package = package if package is not None else _keyring()

    @property
    def usable(self) -> bool:
        """Whether there is a real keyring (headless machines often have none)."""
        return self._package is not None and float(self._package.get_keyring().priority) > 0

    def load(self, following: bool = False) -> bytes | None:
        text = self._package.get_password("kith", self._name + _NEXT * following)
        return parse(str(text), "the key in the system's keyring") if text else None

    def make(self, following: bool = False) -> bytes:
        key = secrets.token_bytes(SIZE)
        self._package.set_password("kith", self._name + _NEXT * following, key.hex())
        return key

    def promote(self) -> None:
        text = self._package.get_password("kith", self._name + _NEXT)
        if text:
            self._package.set_password("kith", self._name, text)
            self._package.delete_password("kith", self._name + _NEXT)


def parse(text: str, place: str) -> bytes:
    """A key of 32 bytes written in hex or base64. Raises `Refused` (code ``key_damaged``)."""
    try:
        key = bytes.fromhex(text) if len(text) == 2 * SIZE else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != SIZE:
        raise Refused(
            f"{place} is not a key: it has to be {SIZE} bytes in hex or base64",
            code="key_damaged",
            hint="restore it from a backup; a new key cannot read existing data",
        )
    return key


def read_private(path: Path) -> str | None:
    """The text of a file that only its owner may read, None if there is none. Raises `Refused`."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(4096)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", code="key_unreadable") from None
    if os.name == "posix" and mode & 0o077:
        raise Refused(f"{path} can be read by others (mode {mode:04o})", code="key_exposed", hint=f"chmod 600 {path}")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise Refused(f"{path} is damaged", code="key_damaged", hint="restore it from a backup") from None


def write_private(path: Path, text: str, *, replace: bool) -> None:
    """Write a file of mode 0600 so that it is there whole or not at all. Raises `Refused`."""
    spare = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            spare.replace(path)
        else:
            os.link(spare, path)  # unlike a rename this never replaces a key that another start has just made
            spare.unlink()
        _settle(path.parent)
    except OSError as error:
        spare.unlink(missing_ok=True)
        raise Refused(f"{path} cannot be written: {error.strerror}", code="key_unwritable") from None


def _replace(source: Path, target: Path) -> None:
    source.replace(target)
    _settle(target.parent)


def _settle(folder: Path) -> None:
    """Make the folder's entries durable: a new key must be on the disk before data is written under it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _following(path: Path) -> Path:
    return path.with_name(path.name + _NEXT)


def _stretch(words: str, salt: bytes, cost: int) -> bytes:
    if not words:
        raise Refused("a passphrase is needed", code="no_key", hint="set KITH_PASSPHRASE")
    if not 2**10 <= cost <= 2**20 or cost & (cost - 1):
        raise Refused("the passphrase file is damaged", code="key_damaged", hint="restore it from a backup")
    secret = words.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=8, p=1, maxmem=cost * 1024 * 2, dklen=SIZE)


def _check(key: bytes) -> str:
    return hashlib.blake2b(b"", digest_size=16, key=key, person=b"kith-passphrase").hexdigest()


def _keyring() -> Any:
    return importlib.import_module("keyring") if importlib.util.find_spec("keyring") else None
