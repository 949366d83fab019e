"""Files that nobody can read or change without their key, written and read in pieces.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015) over AES-256-GCM: pieces of 1 MiB, each under a nonce that counts and that marks the last one,
so that a piece that is changed, moved, missing or added is noticed. Each file has a key of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kith.core.errors import Invalid

_MAGIC = b"kith\x00kv1"
_SALT = 16
_PIECE = 1 << 20
_TAG = 16


def seal(source: BinaryIO, path: Path, key: bytes, about: bytes) -> int:
    """Write what is left in `source` to `path`, whole or not at all, mode 0600; returns the bytes of the file.

    It can be opened only with the same `key` (32 bytes) and the same `about`. Raises `OSError`.
    """
    salt, spare = secrets.token_bytes(_SALT), path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    cipher = _cipher(key, salt, about)
    try:
        with os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_MAGIC + salt)
            for number, piece, last in _pieces(source, _PIECE):
                file.write(cipher.encrypt(_nonce(number, last=last), piece, None))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        spare.replace(path)
    finally:
        with contextlib.suppress(OSError):
            spare.unlink(missing_ok=True)
    return size


def unseal(path: Path, target: BinaryIO, key: bytes, about: bytes) -> None:
    """Write to `target` what was sealed. Raises `Invalid` for a file that is not whole or not ours, and `OSError`.

    What was written before an error is genuine, but not all.
    """
    errors: Any = importlib.import_module("cryptography.exceptions")
    with path.open("rb") as file:
        head = file.read(len(_MAGIC) + _SALT)
        if len(head) != len(_MAGIC) + _SALT or not head.startswith(_MAGIC):
            raise _broken(path)
        cipher = _cipher(key, head[len(_MAGIC) :], about)
        try:
            target.writelines(
                cipher.decrypt(_nonce(number, last=last), piece, None)
                for number, piece, last in _pieces(file, _PIECE + _TAG)
            )
        except (errors.InvalidTag, ValueError):
            raise _broken(path) from None


def _pieces(source: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """(number, bytes, whether it is the last); an empty source has one empty piece."""
    number, piece = 0, source.read(size)
    while True:
        following = source.read(size)
        yield number, piece, not following
        if not following:
            return
        number, piece = number + 1, following


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _cipher(key: bytes, salt: bytes, about: bytes) -> Any:
    aead: Any = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    mixed = hashlib.blake2b(salt + about, digest_size=32, key=key, person=b"kith-sealed").digest()
    return aead.AESGCM(mixed)


def _broken(path: Path) -> Invalid:
    return Invalid(f"{path.name} is damaged, or was sealed with another key", code="not_sealed")
