"""Which account of this household an account of the provider of single sign-on opens, and how the two are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import NotFound, Refused
from kith.core.people import Principal
from kith.core.ports import Journal, Records
from kith.security.oidc import Stranger
from kith.security.opened import GRANT, opened
from kith.security.settings import OidcSettings
from kith.security.users import FEDERATED, PASSKEY, ROLES, SESSION, USER, Users, principal_of


class Federation:
    """Links as records ``federated``, by a digest of issuer and subject. `way` says how one came to be: ``hand``, by
    somebody who was signed in; ``mail``, by a verified address; empty, for an account that single sign-on made.
    """

    def __init__(self, records: Records, journal: Journal, users: Users, settings: OidcSettings, clock: Clock) -> None:
        self._records, self._journal, self._users = records, journal, users
        self._settings, self._clock = settings, clock

    async def enter(self, stranger: Stranger, by: By) -> Principal:
        """Whose account a stranger opens. Raises `Refused` for whom the settings let nobody in.

        The role of an account that single sign-on made follows the claims at each sign-in, and without a role nobody
        gets in. An account that the house made keeps the role that the house gave it.
        """
        known = self._settings.roles
        role = max((known[value] for value in stranger.values if value in known), key=ROLES.index, default="")
        kept = await self._records.get(FEDERATED, stranger.key)
        if kept is None:
            return await self._met(stranger, role, by)
        record = _open(await self._users.record(str(kept["user"])))
        if kept.get("way"):
            return principal_of(record)
        if not role:
            raise _unadmitted()
        if record["role"] not in (role, "owner"):
            await self._users.change(str(record["id"]), by, role=role)
        return principal_of({**record, "role": role if record["role"] != "owner" else "owner"})

    async def connect(self, stranger: Stranger, user: str, by: By, way: str = "hand") -> None:
        """Let a stranger's account open the account `user` from now on; nothing happens where it does already.

        Raises `Refused` (code ``link_taken``) where it opens another one, and `NotFound`.
        """
        kept = await self._records.get(FEDERATED, stranger.key)
        if kept is not None and kept["user"] == user:
            return
        if kept is not None:
            raise Refused(
                "this account of the provider opens another account of this household",
                code="link_taken",
                hint="disconnect it there, or ask an admin to remove that account",
            )
        record = _open(await self._users.record(user))
        changes = [
            Change(FEDERATED, stranger.key, {"user": user, **self._about(stranger, way)}, "absent"),
            Change(USER, user, {**record, "joined": True}, "present"),
        ]
        detail = {"issuer": self._settings.issuer, "way": way}
        await self._journal.act(Act("federated.connect", by.actor, user, by.origin, detail=detail), changes)

    async def of(self, user: str) -> Sequence[Mapping[str, Any]]:
        """What opens this account, oldest first: ``id``, ``name``, ``issuer``, ``since`` (0 where it is not known)."""
        kept = (await self._records.all(FEDERATED)).items()
        mine = [
            {
                "id": key,
                "name": str(one.get("name", "")),
                "issuer": str(one.get("issuer", "")),
                "since": float(one.get("since", 0)),
                "way": str(one.get("way", "")),
            }
            for key, one in kept
            if one["user"] == user
        ]
        return sorted(mine, key=lambda one: float(str(one["since"])))

    async def disconnect(self, user: str, link: str, but: str, by: By) -> None:
        """Let `link` open this account no longer, and end the sessions and access tokens that it opened, except the
        session of the key `but`.

        Raises `NotFound`, and `Refused` (code ``last_way_in``) where nobody could get in any more.
        """
        mine = [str(one["id"]) for one in await self.of(user)]
        if link not in mine:
            raise NotFound("no such account of the provider is connected to yours", code="link_not_found")
        record = await self._users.record(user)
        if len(mine) == 1 and not record.get("password") and not await self._keys(user):
            raise Refused(
                "this is the only way into your account",
                code="last_way_in",
                hint="make a passkey first, or ask an admin for a one-time code to set a password",
            )
        ended = await opened(self._records, user, {link}, but)
        changes = [Change(FEDERATED, link, None, "present"), Change(USER, user, {**record, "joined": True}, "present")]
        detail = {"ended": str(sum(one.kind in (SESSION, GRANT) for one in ended))}
        act = Act("federated.disconnect", by.actor, user, by.origin, detail=detail)
        await self._journal.act(act, [*changes, *ended])

    async def _met(self, stranger: Stranger, role: str, by: By) -> Principal:
        """Somebody of whom nothing is known here: joined by the address, or given an account, or turned away."""
        if user := await self._addressed(stranger.mail):
            await self.connect(stranger, user, By(user, by.origin), "mail")
            return principal_of(await self._users.record(user))
        if not role:
            raise _unadmitted()
        return await self._users.vouched(stranger.name, role, stranger.key, self._about(stranger, ""), by)

    async def _addressed(self, mail: str) -> str:
        """The account that a verified address opens by itself, empty if none does.

        Only one whose name the house chose to be this very address; that has never been connected, because its name
        would then be the provider's own word; that belongs to nobody who decides about others; and that no second
        factor protects, which would be left out. All others are connected by hand.
        """
        record = await self._users.named(mail) if mail and self._settings.link_by_mail else None
        if record is None or str(record["name"]).lower() != mail.lower():
            return ""
        user = str(record["id"])
        plain = record["role"] in ("member", "guest") and not record.get("totp") and not await self._keys(user)
        return user if plain and not record.get("joined") and not await self.of(user) else ""

    async def _keys(self, user: str) -> bool:
        return any(one["user"] == user for one in (await self._records.all(PASSKEY)).values())

    def _about(self, stranger: Stranger, way: str) -> Mapping[str, Any]:
        about = {"name": stranger.name, "issuer": self._settings.issuer, "since": self._clock.now()}
        return about | ({"way": way} if way else {})


def _open(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if record["disabled"]:
        raise Refused("this account is shut", code="unauthenticated")
    return record


def _unadmitted() -> Refused:
    return Refused(
        "the household's settings let nobody like this in",
        code="not_admitted",
        hint="whoever has an account here signs in to it, and connects this one in the settings of the web app",
    )
