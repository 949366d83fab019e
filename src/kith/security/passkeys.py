"""Passkeys (https://www.w3.org/TR/webauthn-3/): keys that a person's own device keeps, bound to this door's name.

Only with the person verified by the device (a finger, a face, a PIN), so a passkey alone is two factors. The extra
``passkeys`` brings the library.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid, Missing, NotFound, Refused
from kith.core.people import Principal
from kith.core.ports import Journal, Records
from kith.security.passwords import digest
from kith.security.pending import Pending
from kith.security.users import PASSKEY

_SECONDS = 300.0
_MOST = 20  # of one person
_NAME = 80


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passkey is used: the name of this door and the page's origin. Passkeys know names, no addresses."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class _Begun:
    challenge: bytes
    place: Place
    user: str = ""


class Passkeys:
    """Registers passkeys and recognises people by them. Kept are public keys only, by the digest of their ids."""

    def __init__(self, records: Records, journal: Journal, clock: Clock) -> None:
        self._records, self._journal, self._clock = records, journal, clock
        self._begun: Pending[_Begun] = Pending(clock, _SECONDS)

    async def of(self, user: str) -> Sequence[Mapping[str, Any]]:
        """The passkeys of a person, oldest first: id, name and when they were made."""
        kept = (await self._records.all(PASSKEY)).items()
        mine = [{"id": key, "name": one["name"], "created": one["created"]} for key, one in kept if one["user"] == user]
        return sorted(mine, key=lambda one: float(one["created"]))

    async def begin(self, principal: Principal, place: Place) -> Mapping[str, Any]:
        """What a browser needs to make a passkey (``navigator.credentials.create``). Raises `Invalid` or `Missing`."""
        library, words = _library()
        _named(place)
        if len(await self.of(principal.id)) >= _MOST:
            raise Refused(f"nobody needs more than {_MOST} passkeys", code="too_many_passkeys")
        kept = (await self._records.all(PASSKEY)).values()
        known = [bytes.fromhex(one["credential"]) for one in kept if one["user"] == principal.id]
        made = library.generate_registration_options(
            rp_id=place.name,
            rp_name="Kith",
            user_name=principal.name,
            user_id=bytes.fromhex(digest(f"passkey:{principal.id}")),
            authenticator_selection=words.AuthenticatorSelectionCriteria(
                resident_key=words.ResidentKeyRequirement.REQUIRED,
                user_verification=words.UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[words.PublicKeyCredentialDescriptor(id=one) for one in known],
        )
        return self._told(library, made, _Begun(made.challenge, place, principal.id))

    async def add(self, principal: Principal, name: str, answer: Mapping[str, Any], by: By) -> str:
        """Keep the passkey that a browser made; its id. Raises `Invalid`, or `Refused` for one that does not fit."""
        if not 0 < len(name) <= _NAME or not name.isprintable():
            reason = f"has to be 1 to {_NAME} printable characters"
            raise Invalid("this passkey cannot be kept", faults=(Fault("name", reason),))
        library, begun = _library()[0], self._taken(answer)
        if begun.user != principal.id:
            raise _wrong()
        made = _checked(
            library.verify_registration_response,
            credential=dict(answer),
            expected_challenge=begun.challenge,
            expected_rp_id=begun.place.name,
            expected_origin=begun.place.origin,
            require_user_verification=True,
        )
        key = digest(made.credential_id.hex())[:32]
        kept = {
            "user": principal.id,
            "name": name,
            "credential": made.credential_id.hex(),
            "public": made.credential_public_key.hex(),
            "count": made.sign_count,
            "created": self._clock.now(),
        }
        act = Act("passkey.new", by.actor, principal.id, by.origin, detail={"passkey": key})
        await self._journal.act(act, [Change(PASSKEY, key, kept, "absent")])
        return key

    async def ask(self, place: Place) -> Mapping[str, Any]:
        """What a browser needs to sign in (``navigator.credentials.get``), whoever sits before it."""
        library, words = _library()
        _named(place)
        need = words.UserVerificationRequirement.REQUIRED
        made = library.generate_authentication_options(rp_id=place.name, user_verification=need)
        return self._told(library, made, _Begun(made.challenge, place))

    async def recognise(self, answer: Mapping[str, Any], by: By) -> str:
        """Whose passkey answered. Raises `Refused` (code ``unauthenticated``); a copied passkey is refused too."""
        library, begun = _library()[0], self._taken(answer)
        key = digest(_credential(library, answer).hex())[:32]
        kept = await self._records.get(PASSKEY, key)
        if kept is None or begun.user:
            raise _wrong()
        found = _checked(
            library.verify_authentication_response,
            credential=dict(answer),
            expected_challenge=begun.challenge,
            expected_rp_id=begun.place.name,
            expected_origin=begun.place.origin,
            credential_public_key=bytes.fromhex(kept["public"]),
            credential_current_sign_count=int(kept["count"]),
            require_user_verification=True,
        )
        user = str(kept["user"])
        act = Act("passkey.used", user, user, by.origin, detail={"passkey": key})
        await self._journal.act(act, [Change(PASSKEY, key, {**kept, "count": found.new_sign_count}, "present")])
        return user

    async def remove(self, user: str, passkey: str, by: By) -> None:
        """Take a passkey of a person away. Raises `NotFound`."""
        kept = await self._records.get(PASSKEY, passkey)
        if kept is None or kept["user"] != user:
            raise NotFound("there is no such passkey", code="passkey_not_found")
        act = Act("passkey.remove", by.actor, user, by.origin, detail={"passkey": passkey})
        await self._journal.act(act, [Change(PASSKEY, passkey, None, "present")])

    def _told(self, library: Any, made: Any, begun: _Begun) -> Mapping[str, Any]:
        self._begun.put(begun.challenge.hex(), begun)
        return cast("dict[str, Any]", json.loads(library.options_to_json(made)))

    def _taken(self, answer: Mapping[str, Any]) -> _Begun:
        """The beginning that this answer names by its challenge, which is good once."""
        library = _library()[0]
        try:
            said = json.loads(library.base64url_to_bytes(answer["response"]["clientDataJSON"]))
            begun = self._begun.take(library.base64url_to_bytes(said["challenge"]).hex())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            begun = None
        if begun is None:
            raise _wrong()
        return begun


def _credential(library: Any, answer: Mapping[str, Any]) -> bytes:
    try:
        return bytes(library.base64url_to_bytes(answer["rawId"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _wrong() from None


def _checked(check: Any, **given: Any) -> Any:
    """What the library makes of an answer; whatever is wrong with it, it is refused."""
    errors: Any = importlib.import_module("webauthn.helpers.exceptions")
    try:
        return check(**given)
    except (errors.WebAuthnException, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _wrong() from None


def _library() -> tuple[Any, Any]:
    if importlib.util.find_spec("webauthn") is None:
        raise Missing("passkeys are not installed", extra="passkeys")
    return importlib.import_module("webauthn"), importlib.import_module("webauthn.helpers.structs")


def _named(place: Place) -> None:
    if not place.name or place.name.replace(".", "").isdecimal() or ":" in place.name:
        raise Invalid(
            "passkeys are bound to a name, and this page is open under an address",
            code="passkey_needs_name",
            hint="open http://localhost with the same port, or the name in gateway.origins",
        )


def _wrong() -> Refused:

    return Refused("this passkey is not known here, or its answer is wrong", code="unauthenticated")
