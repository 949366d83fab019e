"""Passwords, one-time codes and other secrets that are kept only as what they hash to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from kith.core.errors import Fault, Invalid

_N, _R, _P = 2**14, 8, 5  # OWASP Password Storage Cheat Sheet, 2023: 16 MiB, which a small machine can spare
_MOST = 200
_LEAST = 10
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # nothing that reads like something else


def hash_password(password: str) -> dict[str, Any]:
    """What is kept of a password. Slow on purpose: call it in a thread. Raises `Invalid` for one too short."""
    if not _LEAST <= len(password) <= _MOST:
        reason = f"has to have {_LEAST} to {_MOST} characters; three or four words are easy to remember"
        raise Invalid("this password cannot be taken", faults=(Fault("password", reason),), code="weak_password")
    salt = secrets.token_bytes(16)
    return {"n": _N, "r": _R, "p": _P, "salt": salt.hex(), "hash": _stretch(password, salt, _N, _R, _P).hex()}


def check_password(password: str, kept: Mapping[str, Any] | None) -> bool:
    """Whether it is the one. Takes as long where there is none, so that nobody can tell by the clock."""
    known = kept or {"n": _N, "r": _R, "p": _P, "salt": "00" * 16, "hash": "00" * 32}
    salt, cost = bytes.fromhex(known["salt"]), (int(known["n"]), int(known["r"]), int(known["p"]))
    found = _stretch(password[:_MOST], salt, *cost)
    return hmac.compare_digest(found, bytes.fromhex(known["hash"])) and kept is not None


def new_code() -> str:
    """A code to be read off a screen and typed once: 16 letters and digits, 80 bits."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return "-".join(letters[place : place + 4] for place in range(0, 16, 4))


def code_digest(code: str) -> str:
    """The key under which a code is kept; case, spaces and dashes do not matter."""
    return digest("code:" + "".join(code[:64].upper().split()).replace("-", ""))


def new_secret(prefix: str) -> str:
    """`prefix` and 256 random bits in URL-safe base 64."""
    return prefix + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def digest(secret: str) -> str:
    """The SHA-256 of a secret that cannot be guessed, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _stretch(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    words = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(words, salt=salt, n=n, r=r, p=p, maxmem=n * r * 256, dklen=32)
