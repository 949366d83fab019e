"""Short-lived access tokens for programs: JWTs (RFC 7519) signed by Ed25519 keys that rotate, renewed and revocable.

A grant is what one program was given. Its refresh token is good once and is replaced by a new one; when a used one
comes again, somebody has copied it, and the whole grant ends (RFC 9700, 4.14.2).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import Refused
from kith.core.ids import Ids
from kith.core.people import Principal
from kith.core.ports import Journal, Records
from kith.security.opened import GRANT, REFRESH
from kith.security.passwords import digest, new_secret
from kith.security.settings import SecuritySettings

KEY, HOUSE = "jwt_key", "house"
_ISSUER = "kith"
_LONGEST = 4096
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pass:
    """An access token, how long it is good in seconds, and the refresh token for the next one."""

    access: str
    seconds: int
    refresh: str


class Passes:
    """Issues and checks access tokens. Signing keys are records, so that every process on a store shares them."""

    def __init__(self, records: Records, journal: Journal, settings: SecuritySettings, clock: Clock, ids: Ids) -> None:
        self._records, self._journal, self._settings, self._clock, self._ids = records, journal, settings, clock, ids
        self._keys: tuple[float, Mapping[str, Mapping[str, Any]]] | None = None
        self._grants: dict[str, tuple[float, str, str]] = {}
        self._house = ""

    async def issue(self, principal: Principal, by: By, via: str = "") -> Pass:
        """A new grant for a principal; `via` is the connection to a provider by which they had come in, if any."""
        grant = self._ids.new("g")
        refresh = new_secret(f"refresh_{grant}_")
        until = self._clock.now() + self._settings.refresh_days * 86400
        await self._journal.act(
            Act("grant.new", by.actor, grant, by.origin),
            [
                Change(
                    GRANT,
                    grant,
                    {"principal": principal.id, "role": principal.role, "until": until, "via": via},
                    "absent",
                ),
                Change(REFRESH, digest(refresh), {"grant": grant}, "absent"),
            ],
        )
        return Pass(await self._sign(principal.id, grant), int(self._settings.access_minutes * 60), refresh)

    async def renew(self, refresh: str, by: By) -> Pass:
        """Exchange a refresh token for a new pair. Raises `Refused` (code ``unauthenticated``)."""
        kind, _, rest = refresh[:_LONGEST].partition("_")
        grant = rest[:28] if kind == "refresh" else ""  # an id: its prefix and 26 characters
        known = await self._records.get(GRANT, grant) if grant else None
        if known is None or float(known["until"]) < self._clock.now():
            raise _unknown()
        old, new = digest(refresh), new_secret(f"refresh_{grant}_")
        if await self._records.get(REFRESH, old) is None:
            await self.end(grant, "grant.reused", By(str(known["principal"]), by.origin))
            raise _unknown()
        changes = [Change(REFRESH, old, None, "present"), Change(REFRESH, digest(new), {"grant": grant}, "absent")]
        person = str(known["principal"])
        await self._journal.act(Act("grant.renew", person, grant, by.origin), changes)
        return Pass(await self._sign(person, grant), int(self._settings.access_minutes * 60), new)

    async def check(self, token: str) -> tuple[str, str]:
        """The id of the principal that an access token speaks for, and the role that it had then. Raises `Refused`."""
        if len(token) > _LONGEST:
            raise _unknown()
        try:
            key = (await self._public()).get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise _unknown()
            claims = jwt.decode(token, key, ["EdDSA"], **await self._expected())
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
            raise _unknown() from None
        now = self._clock.now()
        good = isinstance(claims["exp"], int) and isinstance(claims["iat"], int)
        if not good or not claims["iat"] - 60 <= now < claims["exp"]:
            raise _unknown()
        return await self._granted(str(claims["sid"]), str(claims["sub"]))

    async def via(self, token: str) -> str:
        """By which connection to a provider whoever got this access token had come in; empty for what is none."""
        try:
            grant, _ = await self.check(token)
        except Refused:
            return ""
        sid = jwt.decode(token, options={"verify_signature": False}).get("sid")
        kept = await self._records.get(GRANT, str(sid)) if grant else None
        return str(kept.get("via", "")) if kept else ""

    def forget(self) -> None:
        """Ask the store again which grants there are."""
        self._grants.clear()

    async def end_all(self, principal: str, by: By) -> int:
        """End every grant of a principal; how many there were."""
        grants = [key for key, kept in (await self._records.all(GRANT)).items() if kept["principal"] == principal]
        for grant in grants:
            await self.end(grant, "grant.end", by)
        return len(grants)

    async def end(self, grant: str, act: str, by: By) -> None:
        """End a grant: its access token is refused at once, elsewhere within two seconds."""
        keys = [key for key, kept in (await self._records.all(REFRESH)).items() if kept["grant"] == grant]
        changes = [Change(GRANT, grant, None), *(Change(REFRESH, key, None) for key in keys)]
        await self._journal.act(Act(act, by.actor, grant, by.origin), changes)
        self._grants.pop(grant, None)

    async def jwks(self) -> Mapping[str, Sequence[Mapping[str, str]]]:
        """The public keys by which others can check access tokens (RFC 7517, RFC 8037)."""
        return {"keys": [_public(kid, key) for kid, key in (await self._public()).items()]}

    async def _granted(self, grant: str, principal: str) -> tuple[str, str]:
        now = self._clock.monotonic()
        seen = self._grants.get(grant)
        if seen is None or now - seen[0] >= _SECONDS:
            kept = await self._records.get(GRANT, grant)
            if kept is None:
                self._grants.pop(grant, None)
                raise _unknown()
            if len(self._grants) > 10_000:
                self._grants.clear()
            seen = self._grants[grant] = now, str(kept["principal"]), str(kept.get("role", ""))
        if seen[1] != principal:
            raise _unknown()
        return seen[1], seen[2]

    async def _sign(self, principal: str, grant: str) -> str:
        kid, key = await self._signer()
        now = int(self._clock.now())
        until = now + int(self._settings.access_minutes * 60)
        claims = {
            "iss": _ISSUER,
            "aud": await self._audience(),
            "sub": principal,
            "sid": grant,
            "iat": now,
            "exp": until,
        }
        return jwt.encode({**claims, "jti": self._ids.new("j")}, key, "EdDSA", {"kid": kid})

    async def _signer(self) -> tuple[str, Ed25519PrivateKey]:
        """The newest key, a new one when it has served its days; keys that can sign nothing valid any more go."""
        kept, now = await self._records.all(KEY), self._clock.now()
        life = self._settings.signing_days * 86400
        kid = max(kept, key=lambda name: float(kept[name]["created"]), default="")
        if kid and 0 <= now - float(kept[kid]["created"]) < life:
            return kid, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(kept[kid]["private"]))
        key, kid = Ed25519PrivateKey.generate(), self._ids.new("k")
        value = {"private": key.private_bytes_raw().hex(), "created": now}
        end = now - life - self._settings.access_minutes * 60 - 60
        gone = [Change(KEY, name, None) for name, old in kept.items() if float(old["created"]) < end]
        await self._journal.act(
            Act("signing_key.new", "kith", kid, "console"), [Change(KEY, kid, value, "absent"), *gone]
        )
        self._keys = None
        return kid, key

    async def _public(self) -> Mapping[str, Ed25519PublicKey]:
        now = self._clock.monotonic()
        if not self._keys or now - self._keys[0] >= _SECONDS:
            self._keys = now, await self._records.all(KEY)
        kept = self._keys[1].items()
        return {
            kid: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(value["private"])).public_key()
            for kid, value in kept
        }

    async def _expected(self) -> dict[str, Any]:
        # PyJWT looks at the machine's clock, so times are checked by the caller with ours.
        names = ["exp", "iat", "sub", "sid", "aud", "iss"]
        checks = {"require": names, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        return {"audience": await self._audience(), "issuer": _ISSUER, "options": checks}

    async def _audience(self) -> str:
        """This household, so that a token of another one is worth nothing here."""
        if not self._house:
            kept = await self._records.get(HOUSE, "id")
            if kept is None:
                kept = {"id": self._ids.new("house")}
                await self._records.put(HOUSE, "id", kept)
            self._house = str(kept["id"])
        return self._house


def _public(kid: str, key: Ed25519PublicKey) -> Mapping[str, str]:
    x = base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x}


def _unknown() -> Refused:
    return Refused("this access token is not valid, or has run out", code="unauthenticated", hint="renew it")
