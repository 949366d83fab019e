"""Single sign-on by OpenID Connect (https://openid.net/specs/openid-connect-core-1_0.html): the authorization code flow
with PKCE (RFC 7636), and nobody let in whom the settings do not name.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpx
import jwt

from kith.core.clock import Clock
from kith.core.errors import Refused, Unavailable
from kith.runtime.http import http_client
from kith.security.passwords import digest, new_secret
from kith.security.pending import Pending
from kith.security.settings import OidcSettings

_JOURNEY = 600.0  # seconds in which somebody has to come back from the provider
_KNOWN = 3600.0  # seconds for which the provider's description holds
_AGAIN = 60.0  # seconds between two looks for a key that was not there
_LEEWAY = 60
_LARGEST = 1 << 20
JOINING = "joining_"  # how the secret of a journey begins that is to connect an account
_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,253}", re.ASCII)
# Signatures that the provider alone can make: nothing symmetric, and never "none" (RFC 8725, 3.1).
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class Stranger:
    """Whom the provider vouches for. `strong` when it saw two factors; `values` are those of the claim for roles;
    `mail` is an address only where the provider says that it has verified it.
    """

    key: str
    name: str
    values: tuple[str, ...]
    strong: bool
    mail: str = ""


@dataclass(frozen=True, slots=True)
class _Journey:
    nonce: str
    verifier: str
    redirect: str
    browser: str
    session: str


class Provider:
    """One provider. What it says of itself and its keys are fetched when first needed, and kept for an hour."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._journeys: Pending[_Journey] = Pending(clock, _JOURNEY)
        self._described: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, jwt.PyJWKSet] | None = None

    async def begin(self, redirect: str, session: str = "") -> tuple[str, str]:
        """Where to send the browser, and the secret that its cookie has to bring back. Raises `Unavailable`.

        `session` is the key of the session whose account is to be connected; the secret then begins otherwise.
        """
        about = await self._about()
        state, browser = new_secret("state_"), new_secret(JOINING if session else "journey_")
        journey = _Journey(new_secret("nonce_"), new_secret(""), redirect, digest(browser), session)
        self._journeys.put(digest(state), journey)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(journey.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": journey.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        place = str(about["authorization_endpoint"])
        return f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(asked)}", browser

    async def finish(self, answer: Mapping[str, str], browser: str) -> tuple[Stranger, str]:
        """Who came back with `answer`, the query of the redirection, and the session for which the journey was begun.
        Raises `Refused` or `Unavailable`.
        """
        journey = self._journeys.take(digest(answer.get("state", "")[:200]))
        if journey is None or journey.browser != digest(browser):
            raise _wrong("this sign-in was not begun in this browser, or too long ago")
        issuer = answer.get("iss", "")
        if issuer and issuer != self._settings.issuer:  # RFC 9207: an answer of another provider, mixed up
            raise _wrong("another provider answered")
        if not answer.get("code") or "error" in answer:
            raise _wrong("the provider did not let you in")
        about = await self._about()
        tokens = await self._exchange(about, answer["code"], journey)
        claims = await self._verified(str(tokens.get("id_token", "")), journey.nonce)
        mail, wanted = _mail(claims), self._settings.link_by_mail and not claims.get("email")
        if (wanted or self._settings.role_claim not in claims) and "userinfo_endpoint" in about:
            more = await self._fetch(str(about["userinfo_endpoint"]), bearer=str(tokens.get("access_token", "")))
            if more.get("sub") == claims["sub"]:  # OpenID Connect Core, 5.3.2
                mail = _mail(more) if wanted else mail  # an address and its mark, both of one answer
                claims = {**more, **claims}
        return self._stranger(claims, mail), journey.session

    def _stranger(self, claims: Mapping[str, Any], mail: str) -> Stranger:
        names = (claims.get(name) for name in ("preferred_username", "email", "name"))
        name = next((one for one in names if isinstance(one, str) and one.strip()), str(claims["sub"]))
        ways = _texts(claims.get("amr"))
        key = digest(f"{self._settings.issuer}\x1f{claims['sub']}")
        strong = bool({"mfa", "otp", "hwk", "swk", "sc", "pop"} & set(ways))  # RFC 8176
        return Stranger(key, name.strip()[:80], _texts(claims.get(self._settings.role_claim)), strong, mail)

    async def _exchange(self, about: Mapping[str, Any], code: str, journey: _Journey) -> Mapping[str, Any]:
        secret = self._settings.client_secret.get_secret_value()
        body = {"grant_type": "authorization_code", "code": code, "redirect_uri": journey.redirect}
        body |= {"code_verifier": journey.verifier, "client_id": self._settings.client_id}
        basic = "client_secret_basic" in about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret and not basic:
            body["client_secret"] = secret
        given = httpx.BasicAuth(self._settings.client_id, secret) if secret and basic else None
        return await self._fetch(str(about["token_endpoint"]), body=body, auth=given)

    async def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an identity token. Raises `Refused` unless all of them are as they have to be."""
        try:
            head = jwt.get_unverified_header(token)
            if head.get("alg") not in _ALGORITHMS:
                raise _wrong("the provider's token is signed in a way that proves nothing")
            key = await self._key(str(head.get("kid", "")))
            checks = {"require": ["iss", "sub", "aud", "exp", "iat"], "verify_exp": False, "verify_iat": False}
            settings = self._settings
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[str(head["alg"])],
                audience=settings.client_id,
                issuer=settings.issuer,
                options=cast("Any", {**checks, "verify_nbf": False}),
            )
            now = self._clock.now()
            fresh = float(claims["iat"]) - _LEEWAY <= now < float(claims["exp"]) + _LEEWAY
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
            raise _wrong("the provider's token is not valid") from None
        several = isinstance(claims["aud"], list) and len(cast("list[Any]", claims["aud"])) > 1
        if not fresh or claims.get("nonce") != nonce or not isinstance(claims["sub"], str) or not claims["sub"]:
            raise _wrong("the provider's token is not for this sign-in, or has run out")
        if claims.get("azp", None if several else self._settings.client_id) != self._settings.client_id:
            raise _wrong("the provider's token is for another program")
        return claims

    async def _key(self, kid: str) -> Any:
        """The provider's key of this name; fetched again when it is not among those known, but not at every call."""
        now = self._clock.monotonic()
        known = self._keys
        if known is None or (now - known[0] > _AGAIN and not _named(known[1], kid)) or now - known[0] > _KNOWN:
            found = await self._fetch(str((await self._about())["jwks_uri"]))
            known = self._keys = now, jwt.PyJWKSet.from_dict(cast("dict[str, Any]", found))
        key = _named(known[1], kid)
        if key is None:
            raise _wrong("the provider's token is signed by an unknown key")
        return key

    async def _about(self) -> Mapping[str, Any]:
        now = self._clock.monotonic()
        if self._described is None or now - self._described[0] > _KNOWN:
            issuer = self._settings.issuer
            found = await self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            # The description is believed only when it is the issuer's own: OpenID Connect Discovery, 4.3.
            if found.get("issuer") != issuer or not all(_safe(found.get(name)) for name in needed):
                raise Unavailable("the provider of single sign-on describes another one", code="bad_answer")
            self._described = now, found
        return self._described[1]

    async def _fetch(
        self, url: str, *, body: Mapping[str, str] | None = None, auth: httpx.Auth | None = None, bearer: str = ""
    ) -> Mapping[str, Any]:
        """One JSON object from the provider. Raises `Unavailable`, or `Refused` when it says no to what was sent."""
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        try:
            async with http_client(timeout=10.0) as client:
                request = client.build_request("POST" if body else "GET", url, data=body, headers=headers)
                answer = await client.send(request, auth=auth, stream=True)
                raw = bytearray()
                async for piece in answer.aiter_bytes():
                    raw += piece
                    if len(raw) > _LARGEST:
                        raise ValueError
                await answer.aclose()
            status, found = answer.status_code, cast("object", json.loads(raw or b"null"))
        except httpx.HTTPError:
            raise Unavailable("the provider of single sign-on cannot be reached", code="unreachable") from None
        except (ValueError, RecursionError):
            raise Unavailable("the provider of single sign-on answers something else", code="bad_answer") from None
        if body and status in (400, 401):
            raise _wrong("the provider did not accept the code that it gave")
        if status != 200 or not isinstance(found, dict):
            raise Unavailable("the provider of single sign-on answers something else", code="bad_answer")
        return cast("dict[str, Any]", found)


def _named(keys: jwt.PyJWKSet, kid: str) -> Any:
    fits = [key for key in keys.keys if key.key_id == kid or (not kid and len(keys.keys) == 1)]
    return fits[0] if fits else None


def _texts(value: Any) -> tuple[str, ...]:
    listed = cast("Sequence[Any]", value) if isinstance(value, list) else [value]
    return tuple(one for one in listed[:1000] if isinstance(one, str))


def _mail(claims: Mapping[str, Any]) -> str:
    """The address that the provider has verified, else an empty text. Nothing but ASCII, in which two addresses look
    alike only where they are the same.
    """
    found, verified = claims.get("email"), claims.get("email_verified")
    return found if verified is True and isinstance(found, str) and _ADDRESS.fullmatch(found) else ""


def _safe(url: Any) -> bool:
    """Encrypted, or on this machine."""
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def _wrong(reason: str) -> Refused:
    return Refused(reason, code="unauthenticated", hint="begin the sign-in again")
