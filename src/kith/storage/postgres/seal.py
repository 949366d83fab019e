"""AES-256-GCM on every value that says something: the server, its disk and its backups never see it in clear.

In clear remain ids, which are random or digests, states, instants, and the kinds of records.
"""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kith.core.errors import Refused

_FORM = b"\x01"
_NONCE = 12  # bytes; NIST SP 800-38D, 8.2.2: random nonces, to be rotated before 2^32 values under one key


class Gcm:
    """One byte for the form, 12 for the nonce, then the sealed value with its tag of 16 bytes."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self.fingerprint = hashlib.blake2b(b"", digest_size=16, key=key, person=b"kith-check").hexdigest()

    def close(self, clear: bytes) -> bytes:
        """Seal a value."""
        nonce = secrets.token_bytes(_NONCE)
        return _FORM + nonce + self._aead.encrypt(nonce, clear, _FORM)

    def open(self, sealed: bytes) -> bytes:
        """Unseal a value. Raises `Refused` (code ``wrong_key``) when it is damaged or another key sealed it."""
        if sealed[:1] == _FORM:
            try:
                return self._aead.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], _FORM)
            except (InvalidTag, ValueError):
                pass
        raise Refused("a stored value cannot be opened with this key", code="wrong_key", hint="restore the last backup")
