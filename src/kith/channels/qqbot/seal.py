"""QQ's signature of its calls: Ed25519 with a key made of the AppSecret ("安全和授权")."""

from __future__ import annotations

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kith.core.errors import Refused

_SEED = 32


class Seal:
    """The key is on both sides the same: the secret, repeated until it is 32 bytes long."""

    def __init__(self, secret: str) -> None:
        raw = secret.encode() or b"\x00"
        self._key = Ed25519PrivateKey.from_private_bytes((raw * (_SEED // len(raw) + 1))[:_SEED])

    def check(self, shown: str, stamp: str, body: bytes) -> float:
        """The instant at which a call was signed. Raises `Refused` (code ``bad_signature``)."""
        good = re.fullmatch(r"[0-9a-fA-F]{128}", shown, re.ASCII) and re.fullmatch(r"\d{1,12}", stamp, re.ASCII)
        try:
            if not good:
                raise InvalidSignature
            self._key.public_key().verify(bytes.fromhex(shown), stamp.encode() + body)
        except InvalidSignature:
            raise Refused("the signature of this call is not good", code="bad_signature") from None
        return float(stamp)

    def answer(self, stamp: str, token: str) -> str:
        """The signature that QQ asks for when a callback address is set up (op 13). Raises `Refused`.

        Only digits and letters are signed: whatever else one would sign for anybody could be the body of a call.
        """
        if not re.fullmatch(r"\d{1,12}", stamp, re.ASCII) or not re.fullmatch(r"[A-Za-z0-9]{1,64}", token, re.ASCII):
            raise Refused("this is not what QQ asks when it checks an address", code="bad_signature")
        return self._key.sign((stamp + token).encode()).hex()
