"""The one authentication function, over everything that proves who somebody is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyotp
from pyotp.totp import TOTP

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import Invalid, NotFound, Refused
from kith.core.ids import Ids
from kith.core.people import Principal, Role
from kith.core.ports import Journal, Records
from kith.runtime.buckets import Buckets
from kith.security.federation import Federation
from kith.security.links import Links, Shelves
from kith.security.oidc import Provider
from kith.security.pairing import Pairing
from kith.security.passes import Pass, Passes
from kith.security.passkeys import Passkeys
from kith.security.passwords import check_password, digest, new_secret
from kith.security.pending import Pending
from kith.security.settings import SecuritySettings
from kith.security.tokens import TokenAuth
from kith.security.users import ROLES, SESSION, USER, Users

_HALFWAY, _CODES = 300.0, 5  # seconds and tries for the second half of a sign-in
_Proven = tuple[Principal, bool, str]  # who it is, whether two factors were shown, and the link that opened it
_TRUSTED: tuple[Role, ...] = ("admin", "owner")
_SECONDS = 2.0
_TRIES = 10  # wrong passwords a minute, for one name and for one address


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody shows to sign in: a one-time code with a new password, a name with password, an API token, or what
    a passkey answered; or an authenticator's code alone, with the secret of a journey that lacks nothing else (`half`).
    """

    code: str = field(default="", repr=False)
    name: str = ""
    password: str = field(default="", repr=False)
    totp: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    passkey: Mapping[str, Any] | None = field(default=None, repr=False)
    half: str = field(default="", repr=False)


class Identity(TokenAuth):
    """Implements the port `Auth` over API tokens, access tokens (JWT) and browser sessions; signs people in and out."""

    def __init__(
        self,
        records: Records,
        journal: Journal,
        settings: SecuritySettings,
        clock: Clock,
        ids: Ids,
        *,
        reachable: bool = False,
    ) -> None:
        """`reachable` when others than this machine can reach the door."""
        super().__init__(records, journal, clock, ids)
        self._settings = settings
        self._strict = {"auto": _TRUSTED if reachable else (), "admins": _TRUSTED, "all": ROLES, "off": ()}
        self.passkeys = Passkeys(records, journal, clock)
        self._provider = Provider(settings.oidc, clock) if settings.oidc.issuer else None
        self.users = Users(records, journal, clock, ids)
        self.federation = Federation(records, journal, self.users, settings.oidc, clock)
        self.pairing = Pairing(records, journal, clock)
        self.passes = Passes(records, journal, settings, clock, ids)
        self._tries = Buckets(_TRIES, _TRIES, clock)
        self._halfway: Pending[tuple[str, str, int]] = Pending(clock, _HALFWAY)
        self._stretching = asyncio.Semaphore(2)
        self._sessions: dict[str, tuple[float, Mapping[str, Any]]] = {}

    async def authenticate(self, credential: str) -> Principal:
        """Whose credential this is. Raises `Refused` (code ``unauthenticated``) for anything else."""
        if credential.startswith("session_"):
            return await self._session(credential)
        if credential.startswith("eyJ"):  # base 64 of the brace and quote with which every JWT's header begins
            person, role = await self.passes.check(credential)
            return _capped(await self._known(person), role)
        return await super().authenticate(credential)

    async def principal(self, name: str) -> Principal | None:
        """The principal called `name` if an account or some valid token makes it so, else None."""
        return await self.users.principal(name) or await super().principal(name)

    def linking(self, shelves: Shelves, link: Callable[[str, str, By], Awaitable[Any]]) -> Links:
        """Who may come in through a channel, and who is one person in two of them; see `Links`."""
        return Links(self.pairing, shelves, link, self._clock)

    async def claim(self) -> str | None:
        """A one-time code that makes its reader the owner, shown on the console; None when the owner has signed in."""
        return await self.users.claim(self._settings.code_hours)

    @property
    def session_seconds(self) -> int:
        """How long a browser stays signed in."""
        return int(self._settings.session_days * 86400)

    @property
    def code_hours(self) -> float:
        """How long a one-time code is good."""
        return self._settings.code_hours

    async def enter(self, proof: Mapping[str, Any], by: By) -> tuple[str, Principal]:
        """As `sign_in`, with the fields of a `Proof`."""
        return await self.sign_in(Proof(**proof), by)

    async def sign_in(self, proof: Proof, by: By) -> tuple[str, Principal]:
        """The secret of a new browser session, and whose it is. Raises `Refused` or `Invalid`, written down."""
        self._tries.take(("origin", by.origin))
        return await self._opened(self._prove(proof, by), by)

    async def _opened(self, proving: Awaitable[_Proven], by: By) -> tuple[str, Principal]:
        """A new session for whom `proving` finds, with whether two factors were seen."""
        try:
            principal, strong, via = await proving
        except (Refused, Invalid, NotFound) as error:
            if error.code not in ("rate_limited", "second_factor_needed"):
                act = Act("session.open", "", "", by.origin, "refused", {"reason": error.code})
                await self._journal.act(act)
            raise
        secret, now = new_secret("session_"), self._clock.now()
        session = {"id": self._ids.new("s"), "principal": principal.id, "created": now, "strong": strong}
        session |= {"until": now + self.session_seconds, "origin": by.origin, **({"via": via} if via else {})}
        act = Act("session.open", principal.id, str(session["id"]), by.origin)
        await self._journal.act(act, [Change(SESSION, digest(secret), session, "absent")])
        return secret, principal if strong else self._weakened(principal)

    @property
    def federated(self) -> bool:
        """Whether people can sign in by a provider."""
        return self._provider is not None

    async def depart(self, redirect: str, by: By) -> tuple[str, str]:
        """Where a browser goes to sign in by the provider, and the secret for its cookie. Raises `NotFound`."""
        self._tries.take(("journey", by.origin))
        return await self._sso().begin(redirect)

    async def arrive(self, answer: Mapping[str, str], browser: str, by: By) -> tuple[str, Principal | None]:
        """As `sign_in`, by what the provider sent the browser back with.

        Whoever has set up an authenticator, and was not asked for a second factor by the provider, is nobody yet: the
        secret is then what the code of the authenticator has to be shown with (`Proof.half`).
        """
        self._tries.take(("origin", by.origin))
        provider, lacking = self._sso(), list[tuple[str, str]]()

        async def prove() -> _Proven:
            stranger, session = await provider.finish(answer, browser)
            if session:
                raise Refused("this was begun to connect an account, not to sign in", code="unauthenticated")
            found = await self.federation.enter(stranger, by)
            if not stranger.strong and (await self.users.record(found.id)).get("totp"):
                lacking.append((found.id, stranger.key))
                raise _lacks_code()
            return found, stranger.strong, stranger.key

        try:
            return await self._opened(prove(), by)
        except Refused:
            if not lacking:
                raise
        secret = new_secret("half_")
        self._halfway.put(digest(secret), (*lacking[0], _CODES))
        return secret, None

    async def connect(self, principal: Principal, session: str, redirect: str, by: By) -> tuple[str, str]:
        """As `depart`, for somebody who is signed in by `session` and wants the provider's account to open this one.

        Raises `Refused` (``browser_needed`` without a session, ``second_factor_needed``) and `NotFound`.
        """
        self._tries.take(("journey", by.origin))
        provider, key = self._sso(), digest(session)
        kept = await self._records.get(SESSION, key) if session else None
        if kept is None or kept["principal"] != principal.id:
            raise Refused("only from a browser that is signed in can this be connected", code="browser_needed")
        await self.users.record(principal.id)  # tokens are not people
        await self.may_secure(principal)
        return await provider.begin(redirect, key)

    async def join(self, answer: Mapping[str, str], browser: str, by: By) -> None:
        """The end of what `connect` began, in the same browser, while its session still stands. Raises `Refused`."""
        self._tries.take(("origin", by.origin))
        provider, user = self._sso(), ""
        try:
            stranger, session = await provider.finish(answer, browser)
            kept = await self._records.get(SESSION, session) if session else None
            if kept is None or float(kept["until"]) < self._clock.now():
                raise _ended()
            user = str(kept["principal"])
            await self.federation.connect(stranger, user, By(user, by.origin))
        except (Refused, NotFound) as error:
            act = Act("federated.connect", user, user, by.origin, "refused", {"reason": error.code})
            await self._journal.act(act)
            raise

    async def disconnect(self, principal: Principal, link: str, session: str, by: By) -> None:
        """Take a connection away, and end what it opened but for this `session`. Raises `NotFound` or `Refused`."""
        await self.may_secure(principal)
        await self.federation.disconnect(principal.id, link, digest(session), by)
        self._forget()

    async def issue(self, principal: Principal, shown: Sequence[str], by: By) -> Pass:
        """An access token for who has `shown` these credentials; it ends with the connection that opened theirs."""
        via = ""
        for one in shown:
            if one.startswith("session_"):
                via = via or str((await self._records.get(SESSION, digest(one)) or {}).get("via", ""))
            elif one.startswith("eyJ"):
                via = via or await self.passes.via(one)
        return await self.passes.issue(principal, by, via)

    def _forget(self) -> None:
        """What was ended in the store is refused from now on."""
        self._sessions.clear()
        self.passes.forget()

    def _sso(self) -> Provider:
        if self._provider is None:
            raise NotFound("single sign-on is not set up here", hint="see security.oidc in kith.yaml")
        return self._provider

    async def lacking(self, principal: Principal) -> bool:
        """Whether this principal could do more after setting up a second factor, or signing in with it."""
        found = await self.users.principal(principal.id)
        return found is not None and found.role != principal.role

    async def may_secure(self, principal: Principal) -> None:
        """Raises `Refused` when a second factor is there already, and was not shown: it alone can add another."""
        if await self.lacking(principal):
            record = await self.users.record(principal.id)
            if record.get("totp") or await self.passkeys.of(principal.id):
                raise Refused("sign in with your second factor first", code="second_factor_needed")

    async def strengthen(self, secret: str) -> None:
        """The session has shown a second factor: what its person may do, it may do from now on."""
        key = digest(secret)
        kept = await self._records.get(SESSION, key)
        if kept is not None and not kept.get("strong"):
            act = Act("session.strengthen", str(kept["principal"]), str(kept["id"]))
            await self._journal.act(act, [Change(SESSION, key, {**kept, "strong": True}, "present")])
            self._sessions.pop(key, None)

    def _weakened(self, principal: Principal) -> Principal:
        """What one factor alone is good for: a guest's rights, where two are asked for."""
        strict = principal.role in self._strict[self._settings.second_factor]
        return replace(principal, role="guest") if strict else principal

    async def sign_out(self, secret: str, by: By) -> None:
        """End a browser session."""
        self._sessions.pop(digest(secret), None)
        await self._journal.act(Act("session.close", by.actor, "", by.origin), [Change(SESSION, digest(secret), None)])

    async def claimed(self) -> bool:
        """Whether the owner has chosen a password."""
        return bool((await self._records.get(USER, "owner") or {}).get("password"))

    async def visits(self, principal: str, secret: str = "") -> Sequence[Mapping[str, Any]]:
        """The open browser sessions of a principal, latest first; ``here`` marks the one that `secret` belongs to."""
        here, now = digest(secret) if secret else "", self._clock.now()
        kept = (await self._records.all(SESSION)).items()
        mine = [
            {name: one.get(name, "") for name in ("id", "created", "until", "origin")} | {"here": key == here}
            for key, one in kept
            if one["principal"] == principal and float(one["until"]) > now
        ]
        return sorted(mine, key=lambda one: -float(one["created"]))

    async def end_visit(self, principal: str, session: str, by: By) -> None:
        """End one browser session of a principal. Raises `NotFound`."""
        kept = (await self._records.all(SESSION)).items()
        key = next((key for key, one in kept if one["principal"] == principal and one["id"] == session), None)
        if key is None:
            raise NotFound("there is no such session", code="session_not_found")
        self._sessions.pop(key, None)
        await self._journal.act(Act("session.close", by.actor, session, by.origin), [Change(SESSION, key, None)])

    async def end_all(self, principal: str, by: By) -> None:
        """End every session and grant of a principal: after a change of role, or when something was stolen."""
        sessions = [key for key, kept in (await self._records.all(SESSION)).items() if kept["principal"] == principal]
        changes = [Change(SESSION, key, None) for key in sessions]
        await self._journal.act(Act("session.end_all", by.actor, principal, by.origin), changes)
        await self.passes.end_all(principal, by)
        self._sessions.clear()

    def authenticator(self, principal: Principal) -> tuple[str, str]:
        """A new secret for an authenticator app, and the address that its QR code shows. Nothing is kept yet."""
        secret = pyotp.random_base32()
        return secret, TOTP(secret, name=principal.name, issuer="Kith").provisioning_uri()

    async def _prove(self, proof: Proof, by: By) -> _Proven:
        """Who it is, and whether more than one factor was shown. An API token counts as a key that somebody has."""
        if proof.passkey is not None:
            return await self._known(await self.passkeys.recognise(proof.passkey, by)), True, ""
        if proof.code:
            async with self._stretching:
                found = await self.users.redeem(proof.code, proof.password, by)
            await self.end_all(found.id, By(found.id, by.origin))  # nor is anybody in by what the code took away
            return found, False, ""
        if proof.half and proof.totp and not proof.name:
            return await self._completed(proof, by)
        if proof.token:
            return await super().authenticate(proof.token), True, ""
        self._tries.take(("name", proof.name.strip().casefold()[:100]))
        record = await self.users.named(proof.name)
        async with self._stretching:
            kept = record.get("password") if record else None
            good = await asyncio.to_thread(check_password, proof.password, kept)
        if not good or record is None or record["disabled"]:
            raise Refused("name or password is wrong", code="unauthenticated", hint="ask an admin for a one-time code")
        if record.get("totp"):
            if not proof.totp:
                raise _lacks_code()
            await self.users.prove(str(record["id"]), str(record["totp"]), proof.totp, by)
        return await self._known(str(record["id"])), bool(record.get("totp")), ""

    async def _completed(self, proof: Proof, by: By) -> _Proven:
        """Whom the provider vouched for, with the code that their account asks for, within a few tries."""
        key = digest(proof.half)
        user, via, tries = self._halfway.take(key) or ("", "", 0)
        if not any(one["id"] == via for one in await self.federation.of(user)):
            raise Refused("this took too long", code="unauthenticated", hint="sign in once more")
        secret = str((await self.users.record(user)).get("totp") or "")
        try:
            self._tries.take(("code", user))  # however many journeys, from however many addresses
            await self.users.prove(user, secret, proof.totp, by)
        except (Refused, Invalid):
            if tries > 1:
                self._halfway.put(key, (user, via, tries - 1))
            raise
        return await self._known(user), True, via

    async def _session(self, secret: str) -> Principal:
        key, now = digest(secret), self._clock.monotonic()
        seen = self._sessions.get(key)
        if seen is None or now - seen[0] >= _SECONDS:
            kept = await self._records.get(SESSION, key)
            self._sessions.pop(key, None)
            if kept is None:
                raise _ended()
            if len(self._sessions) > 10_000:
                self._sessions.clear()
            seen = self._sessions[key] = now, kept
        if float(seen[1]["until"]) < self._clock.now():
            raise _ended()
        found = await self._known(str(seen[1]["principal"]))
        return found if seen[1].get("strong") else self._weakened(found)

    async def _known(self, principal: str) -> Principal:
        found = await self.principal(principal)
        if found is None and principal == "owner":  # by a token of the owner, before the owner has an account
            return Principal("owner", "owner", "owner")
        if found is None:
            raise Refused("this account is not there any more", code="unauthenticated")
        return found


def _capped(principal: Principal, role: str) -> Principal:
    """The principal with no more rights than it had when its access token was given."""
    if role not in ROLES or ROLES.index(principal.role) <= ROLES.index(role):
        return principal
    return replace(principal, role=role)


def _lacks_code() -> Refused:
    return Refused("the code of the authenticator is needed too", code="second_factor_needed")


def _ended() -> Refused:
    return Refused("this session has ended", code="unauthenticated", hint="sign in again")
