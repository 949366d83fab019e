"""The people of the household: who has an account, with which role, and how they prove it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from pyotp.totp import TOTP

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid, NotFound, Refused
from kith.core.ids import Ids
from kith.core.people import Principal, Role
from kith.core.ports import Journal, Records
from kith.security.passwords import code_digest, hash_password, new_code

USER, NAME, CODE, USED, FEDERATED = "user", "username", "code", "totp_used", "federated"
PASSKEY, SESSION = "passkey", "session"
ROLES: tuple[Role, ...] = ("guest", "member", "admin", "owner")
_OF_USER = (PASSKEY, FEDERATED)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")
_STEP = 30  # seconds; RFC 6238, 5.2
_SECONDS = 2.0  # what another process on the same store changed is known after at most this long


@dataclass(frozen=True, slots=True)
class User:
    """What is known of a person's account. `secured` when signing in asks for a code of an authenticator app."""

    id: str
    name: str
    role: Role
    created: float
    disabled: bool = False
    secured: bool = False


class Users:
    """Accounts as records: ``user`` by id, ``username`` by name, ``code`` by digest. Every change is an act."""

    def __init__(self, records: Records, journal: Journal, clock: Clock, ids: Ids) -> None:
        self._records, self._journal, self._clock, self._ids = records, journal, clock, ids
        self._seen: tuple[float, Mapping[str, Mapping[str, Any]]] | None = None

    async def all(self) -> Sequence[User]:
        """Every account, oldest first."""
        found = [_user(record) for record in (await self._records.all(USER)).values()]
        return sorted(found, key=lambda user: (user.created, user.id))

    async def principal(self, user: str) -> Principal | None:
        """The principal of an account that is not disabled, else None."""
        now = self._clock.monotonic()
        if not self._seen or now - self._seen[0] >= _SECONDS:
            self._seen = now, await self._records.all(USER)
        record = self._seen[1].get(user)
        return None if record is None or record["disabled"] else principal_of(record)

    async def record(self, user: str) -> Mapping[str, Any]:
        """An account as it is kept. Raises `NotFound`."""
        found = await self._records.get(USER, user)
        if found is None:
            raise NotFound(f"there is no user {user!r}", code="user_not_found", hint="kith users list shows them")
        return found

    async def named(self, name: str) -> Mapping[str, Any] | None:
        """The account called `name`, None if there is none."""
        found = await self._records.get(NAME, _folded(name))
        return await self._records.get(USER, str(found["user"])) if found else None

    async def add(self, name: str, role: str, hours: float, by: By) -> tuple[User, str]:
        """A new account, and the one-time code with which its person chooses a password. Raises `Invalid`."""
        faults = [] if _NAME.fullmatch(name.strip()) else [Fault("name", "has to be 1 to 80 printable characters")]
        if role not in get_args(Role) or role == "owner":
            faults.append(Fault("role", "has to be one of admin, member, guest"))
        if faults:
            raise Invalid("this user cannot be added", faults=tuple(faults))
        return await self._make(self._ids.new("u"), name.strip(), role, hours, by)

    async def vouched(self, name: str, role: str, link: str, about: Mapping[str, Any], by: By) -> Principal:
        """A new account for somebody whom a provider vouches for, opened by `link`. A name that is taken gets a number
        behind it: names prove nothing.
        """
        clean = "".join(letter for letter in name if letter.isprintable()).strip()[:70] or "guest"
        names = (clean if not number else f"{clean} {number + 1}" for number in range(1000))
        taken = await self._records.all(NAME)
        free = next(one for one in names if _folded(one) not in taken)
        user, now = self._ids.new("u"), self._clock.now()
        record = {"id": user, "name": free, "role": role, "created": now, "disabled": False, "joined": True}
        changes = [
            Change(USER, user, record, "absent"),
            Change(NAME, _folded(free), {"user": user}, "absent"),
            Change(FEDERATED, link, {"user": user, **about}, "absent"),
        ]
        await self._do("user.new", by, user, changes, {"name": free, "role": role, "by": "single sign-on"})
        return principal_of(record)

    async def claim(self, hours: float) -> str | None:
        """A code for whoever reads the console to become the owner; None when the owner has a password already."""
        owner = await self._records.get(USER, "owner")
        if owner is None:
            return (await self._make("owner", "owner", "owner", hours, By()))[1]
        return None if owner.get("password") else await self.invite("owner", hours, By())

    async def invite(self, user: str, hours: float, by: By) -> str:
        """A one-time code for an account that exists: a first password, or a forgotten one. Raises `NotFound`."""
        await self.record(user)
        code = new_code()
        gone = [key for key, kept in (await self._records.all(CODE)).items() if kept["user"] == user]
        await self._do(
            "user.code", by, user, [*(Change(CODE, key, None) for key in gone), self._code(code, user, hours)]
        )
        return code

    async def redeem(self, code: str, password: str, by: By) -> Principal:
        """Use a one-time code up and set the account's password. Raises `Refused` or `Invalid`."""
        key = code_digest(code)
        kept = await self._records.get(CODE, key)
        if kept is None or float(kept["until"]) < self._clock.now():
            raise Refused("this code is wrong, used or too old", code="unauthenticated", hint="ask for a new code")
        record = dict(await self.record(str(kept["user"])))
        record["password"] = await asyncio.to_thread(hash_password, password)
        record["totp"] = (
            ""  # whoever lost the phone is let in by the code, and sets authenticator and passkeys up again
        )
        user = str(record["id"])
        acting = By(user, by.origin)
        changes = [Change(CODE, key, None, "present"), Change(USER, user, record, "present")]
        keys = (await self._records.all(PASSKEY)).items()
        changes += [Change(PASSKEY, one, None) for one, kept in keys if kept["user"] == user]
        links = (await self._records.all(FEDERATED)).items()  # those that somebody connected, not what made the account
        changes += [Change(FEDERATED, one, None) for one, kept in links if kept["user"] == user and kept.get("way")]
        await self._do("user.password", acting, user, changes)
        return principal_of(record)

    async def change(self, user: str, by: By, *, role: str = "", disabled: bool | None = None) -> User:
        """Give another role, or shut out and let in again. Raises `NotFound`, `Refused` or `Invalid`."""
        record = dict(await self.record(user))
        if user == "owner":
            raise Refused("the owner's account stays as it is", code="owner_stays")
        if role and (role not in get_args(Role) or role == "owner"):
            raise Invalid("this role cannot be given", faults=(Fault("role", "has to be one of admin, member, guest"),))
        record["role"] = role or record["role"]
        record["disabled"] = record["disabled"] if disabled is None else disabled
        detail = {"role": str(record["role"]), "disabled": str(record["disabled"]).lower()}
        await self._do("user.change", by, user, [Change(USER, user, record, "present")], detail)
        return _user(record)

    async def remove(self, user: str, by: By) -> None:
        """Take an account away, with its codes. Raises `NotFound` or `Refused`."""
        record = await self.record(user)
        if user == "owner":
            raise Refused("the owner's account stays as it is", code="owner_stays")
        codes = [key for key, kept in (await self._records.all(CODE)).items() if kept["user"] == user]
        changes = [Change(USER, user, None, "present"), Change(NAME, _folded(str(record["name"])), None)]
        for kind in _OF_USER:
            kept = (await self._records.all(kind)).items()
            changes += [Change(kind, key, None) for key, one in kept if one["user"] == user]
        await self._do("user.remove", by, user, [*changes, *(Change(CODE, key, None) for key in codes)])

    async def secure(self, user: str, secret: str, code: str, by: By) -> None:
        """Ask for an authenticator's code from now on, or with an empty secret no longer. Raises `Refused`."""
        record = dict(await self.record(user))
        await self.prove(user, secret or str(record.get("totp") or ""), code, by)
        record["totp"] = secret
        detail = {"totp": "on" if secret else "off"}
        await self._do("user.totp", by, user, [Change(USER, user, record, "present")], detail)

    async def prove(self, user: str, secret: str, code: str, by: By) -> None:
        """Raises `Refused` unless `code` is the authenticator's at this moment, give or take one step, and unused."""
        step = int(self._clock.now()) // _STEP
        totp = TOTP(secret) if secret else None
        for place in (step, step - 1, step + 1):
            if totp and len(code) == 6 and code.isascii() and totp.verify(code, for_time=place * _STEP):
                used = Change(USED, f"{user}:{place}", {}, "absent")
                old = [Change(USED, f"{user}:{gone}", None) for gone in range(place - 6, place - 2)]
                await self._do("totp.used", by, user, [used, *old])
                return
        raise Refused("the code of the authenticator is wrong or was used already", code="second_factor")

    async def _make(self, user: str, name: str, role: str, hours: float, by: By) -> tuple[User, str]:
        record = {"id": user, "name": name, "role": role, "created": self._clock.now(), "disabled": False}
        code = new_code()
        if await self._records.get(NAME, _folded(name)):
            raise Invalid("this user cannot be added", faults=(Fault("name", "is taken"),), code="name_taken")
        changes = [
            Change(USER, user, record, "absent"),
            Change(NAME, _folded(name), {"user": user}, "absent"),
            self._code(code, user, hours),
        ]
        await self._do("user.new", by, user, changes, {"name": name, "role": role})
        return _user(record), code

    def _code(self, code: str, user: str, hours: float) -> Change:
        return Change(CODE, code_digest(code), {"user": user, "until": self._clock.now() + hours * 3600}, "absent")

    async def _do(
        self, name: str, by: By, user: str, changes: Sequence[Change], detail: Mapping[str, str] | None = None
    ) -> None:
        await self._journal.act(Act(name, by.actor, user, by.origin, detail=detail or {}), changes)
        self._seen = None


def _folded(name: str) -> str:
    return name.strip().casefold()


def _user(record: Mapping[str, Any]) -> User:
    role = cast("Role", record["role"])
    known = (str(record["id"]), str(record["name"]), role, float(record["created"]))
    return User(*known, disabled=bool(record["disabled"]), secured=bool(record.get("totp")))


def principal_of(record: Mapping[str, Any]) -> Principal:
    return Principal(str(record["id"]), str(record["name"]), cast("Role", record["role"]))
