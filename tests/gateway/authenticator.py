"""A passkey device in software: ES256 keys, the person verified, no attestation (WebAuthn Level 3, section 6)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Device:
    """One key for one door. `flags` are those of the specification: 1 present, 4 verified, 64 with a new key."""

    def __init__(self, origin: str, flags: int = 5) -> None:
        self.origin, self.flags, self.count = origin, flags, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id, self.name = secrets.token_bytes(32), ""

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """As ``navigator.credentials.create``."""
        self.name = options["rp"]["id"]
        point = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)}
        made = bytes(16) + len(self.id).to_bytes(2) + self.id + cbor2.dumps(cose)
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": self._data(64) + made})
        client = self._client("webauthn.create", options["challenge"])
        return self._told({"clientDataJSON": b64(client), "attestationObject": b64(attested)})

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """As ``navigator.credentials.get``."""
        self.count += 1
        data, client = self._data(), self._client("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._told({"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)})

    def _data(self, more: int = 0) -> bytes:
        return hashlib.sha256(self.name.encode()).digest() + bytes([self.flags | more]) + self.count.to_bytes(4)

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _told(self, response: dict[str, str]) -> dict[str, Any]:
        return {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response}
