"""How event calls are sealed and signed (open.feishu.cn, "Receive events through a request URL", "Encrypt Key").

AES-256-CBC under the SHA-256 of the Encrypt Key, the initial vector in front, PKCS#7; the signature is the SHA-256 of
timestamp, nonce, Encrypt Key and the body as it came.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import Any, cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from kith.channels.kit import body_of, same
from kith.core.errors import Invalid, Refused

_BLOCK = 16


class Seal:
    """Opens and checks calls under one Encrypt Key."""

    def __init__(self, key: str) -> None:
        self._name, self._key = key.encode(), hashlib.sha256(key.encode()).digest()

    def sign(self, stamp: str, nonce: str, body: bytes) -> str:
        """The signature in hex."""
        return hashlib.sha256((stamp + nonce).encode("utf-8", "replace") + self._name + body).hexdigest()

    def check(self, shown: str, stamp: str, nonce: str, body: bytes) -> None:
        """Raises `Refused` (code ``bad_signature``) when `shown` is not the signature of a call."""
        if not same(shown, self.sign(stamp, nonce, body)):
            raise Refused("the signature of this call is not good", code="bad_signature")

    def open(self, body: bytes) -> dict[str, Any]:
        """What a call says: ``{"encrypt": …}`` opened. Raises `Invalid` (code ``bad_frame``)."""
        sealed = mapping(body).get("encrypt")
        if not isinstance(sealed, str):
            raise Invalid("the call is not sealed: set the Encrypt Key in the console", code="bad_frame")
        return mapping(self.reveal(sealed))

    def reveal(self, sealed: str) -> bytes:
        """What is in the Base64 text `sealed`. Raises `Invalid` (code ``bad_frame``)."""
        try:
            data = base64.b64decode(sealed, validate=True)
            if len(data) < 2 * _BLOCK or len(data) % _BLOCK:
                raise ValueError
        except (binascii.Error, ValueError):
            raise Invalid("the call cannot be opened", code="bad_frame") from None
        opener = Cipher(algorithms.AES(self._key), modes.CBC(data[:_BLOCK])).decryptor()
        whole = opener.update(data[_BLOCK:]) + opener.finalize()
        pad = whole[-1]
        if not 1 <= pad <= _BLOCK or whole[-pad:] != bytes([pad]) * pad:
            raise Invalid("the call was sealed with another Encrypt Key", code="bad_frame")
        return whole[:-pad]

    def close(self, message: bytes) -> str:
        """`message` sealed, as Base64 text."""
        start, pad = secrets.token_bytes(_BLOCK), _BLOCK - len(message) % _BLOCK
        closer = Cipher(algorithms.AES(self._key), modes.CBC(start)).encryptor()
        return base64.b64encode(start + closer.update(message + bytes([pad]) * pad) + closer.finalize()).decode()


def mapping(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises `Invalid` (code ``bad_frame``)."""
    found = body_of(raw, "not a JSON object")
    if not isinstance(found, dict):
        raise Invalid("not a JSON object", code="bad_frame")
    return cast("dict[str, Any]", found)
