"""The keys of the house: one master key, kept outside the data, and from it one key for each purpose."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kith.core.errors import Refused
from kith.core.ports import Cipher
from kith.security.keys import SIZE, Environment, KeyFile, Passphrase, Source, SystemKeyring


class MasterKey:
    """The port `Cipher` over a master key that is known."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def key(self, purpose: str) -> bytes:
        """BLAKE2b keyed with the master key (RFC 7693), so that no purpose's key tells another's."""
        return hashlib.blake2b(purpose.encode(), digest_size=SIZE, key=self._master, person=b"kith-purpose").digest()

    def __repr__(self) -> str:
        return "MasterKey(…)"


class KeyRing:
    """The port `Cipher`, reading its master key at first use; a fresh one is made only where there is no data.

    Sources, in this order: the variable ``KITH_KEY``; a passphrase (``KITH_PASSPHRASE``, or `ask`); the system's
    keyring; the file ``master.key`` in `folder`. `data` is the folder whose databases the key protects, by default
    the neighbour ``data`` of `folder`.
    """

    def __init__(
        self,
        folder: Path,
        data: Path | None = None,
        environment: Mapping[str, str] | None = None,
        ask: Callable[[str], str] | None = None,
        keyring: SystemKeyring | None = None,
    ) -> None:
        self._folder = folder
        self._data = data if data is not None else folder.parent / "data"
        self._variables = os.environ if environment is None else environment
        self._ask = ask
        self._keyring = keyring or SystemKeyring(folder)
        self._known: MasterKey | None = None

    def key(self, purpose: str) -> bytes:
        """As the port says. Raises `Refused`: ``wrong_key``, ``key_lost``, ``key_exposed``, ``key_damaged``."""
        if self._known is None:
            self._known = MasterKey(self._load())
        return self._known.key(purpose)

    def spare(self) -> Cipher | None:
        """The new key of a rotation that was begun and not ended, None if there is none."""
        master = self._source().load(following=True)
        return None if master is None else MasterKey(master)

    def rotate(self) -> Cipher:
        """Begin a rotation: a new key, kept beside the old one until `promote`. Called again, it gives the same."""
        self.key("")
        return self.spare() or MasterKey(self._source().make(following=True))

    def promote(self) -> None:
        """End a rotation: all data is under the new key, the old one is forgotten."""
        known = self.spare()
        if not isinstance(known, MasterKey):
            raise Refused("no rotation was begun", code="no_rotation")
        self._source().promote()
        self._known = known

    def _source(self) -> Source:
        if self._variables.get("KITH_KEY", "").strip():
            return Environment(self._variables)
        if self._variables.get("KITH_PASSPHRASE") or (self._folder / "passphrase.json").exists():
            return Passphrase(self._folder, self._words)
        file = KeyFile(self._folder)
        if not (self._folder / "master.key").exists() and self._keyring.usable:
            return self._keyring
        return file

    def _load(self) -> bytes:
        source = self._source()
        found = source.load()
        if found is not None:
            return found
        if any(path.stat().st_size for pattern in ("*.db", "*.check") for path in self._data.glob(pattern)):
            raise Refused(
                f"the key of the data in {self._data} is gone",
                code="key_lost",
                hint=f"put the key back into {self._folder}, or set KITH_KEY or KITH_PASSPHRASE; "
                "without it the data cannot be read by anyone",
            )
        return source.make()

    def _words(self, following: bool) -> str:
        name = "KITH_PASSPHRASE_NEXT" if following else "KITH_PASSPHRASE"
        found = self._variables.get(name, "")
        return found or (self._ask(name) if self._ask else "")
