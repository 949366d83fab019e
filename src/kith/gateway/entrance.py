"""Getting in and staying in: browser sessions, access tokens for programs, the household's people, the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, cast

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.audit import By
from kith.core.errors import Refused
from kith.core.people import Principal
from kith.core.ports import Journal
from kith.gateway.access import ROLES
from kith.gateway.accounts import Accounts
from kith.gateway.acting import acting, origin
from kith.gateway.body import Call, integer, read_json
from kith.gateway.gate import cookie_name, session_cookie
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

Short = Annotated[str, msgspec.Meta(max_length=200)]


HALF = "kith-half"  # the cookie of a sign-in that lacks only the authenticator's code


class SignInBody(msgspec.Struct, frozen=True):
    """A one-time code with a new password; or a name with its password, and an authenticator's code; or a token; or
    what the browser's passkey answered; or the authenticator's code alone, where single sign-on lacked only that.
    """

    code: Short = ""
    name: Short = ""
    password: Short = ""
    totp: Short = ""
    token: Short = ""
    passkey: dict[str, Any] | None = None


class RefreshBody(msgspec.Struct, frozen=True):
    """The refresh token of the last pair."""

    refresh: Annotated[str, msgspec.Meta(max_length=400)]


class SecretBody(msgspec.Struct, frozen=True):
    """The authenticator's secret, empty to have none any more, and the code that it shows now."""

    code: Short
    secret: Short = ""


class UserBody(msgspec.Struct, frozen=True):
    """A person to be let in."""

    name: Annotated[str, msgspec.Meta(max_length=80)]
    role: Literal["admin", "member", "guest"] = "member"


class ChangeBody(msgspec.Struct, frozen=True):
    """What is to change about an account."""

    role: Literal["", "admin", "member", "guest"] = ""
    disabled: bool | None = None


class Entrance:
    """The routes of sessions, access tokens, users and the audit log."""

    def __init__(self, accounts: Accounts, journal: Journal, settings: GatewaySettings) -> None:
        self._accounts, self._journal, self._settings = accounts, journal, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        enter = {"body": SignInBody, "answer": "Session", "status": 201, "open": True, "closed": True}
        renew = {"body": RefreshBody, "answer": "Pass", "open": True, "closed": True}
        mine = {"answer": "Decision", "role": "guest"}
        user, log = {"answer": "User", "role": "admin"}, {"role": "owner", "query": ("after", "limit")}
        secure = {"body": SecretBody, **mine}
        fresh = {"answer": "Authenticator", "status": 201, "role": "guest"}
        code = {"answer": "Invitation", "status": 201, "role": "admin"}
        return (
            post("/api/session", opt=enter)(self.enter),
            delete("/api/session", status_code=200, opt=mine)(self.leave),
            delete("/api/sessions", status_code=200, opt=mine)(self.leave_all),
            post("/api/authenticator/new", opt=fresh)(self.authenticator),
            post("/api/authenticator", opt=secure)(self.secure),
            post("/api/passes", opt={"answer": "Pass", "status": 201, "role": "guest"})(self.issue),
            post("/api/passes/renew", opt=renew)(self.renew),
            get("/.well-known/jwks.json", opt={"answer": "Keys", "open": True})(self.jwks),
            get("/api/users", opt={"answer": "Users", "role": "admin"})(self.users),
            post("/api/users", opt={"body": UserBody, "answer": "Invitation", "status": 201, "role": "admin"})(
                self.add
            ),
            post("/api/users/{user:str}", opt={"body": ChangeBody, **user})(self.change),
            post("/api/users/{user:str}/code", opt=code)(self.invite),
            delete("/api/users/{user:str}", status_code=200, opt={"answer": "Decision", "role": "admin"})(self.remove),
            get("/api/audit", opt={"answer": "Audit", **log})(self.audit),
            get("/api/audit/verify", opt={"answer": "Verdict", **log})(self.verify),
        )

    async def enter(self, request: Call) -> ASGIApp:
        """Sign in from a browser: the session is a cookie that no script can read."""
        body = await read_json(request, SignInBody, self._settings)
        by, half = By("", origin(request)), str(request.cookies.get(HALF, ""))

        async def work() -> tuple[int, Any, str]:
            secret, principal = await self._accounts.enter({**msgspec.structs.asdict(body), "half": half}, by)
            return 201, who(principal), secret

        return Cookied(work, self._accounts.session_seconds)

    async def leave(self, request: Call) -> ASGIApp:
        """Sign out of this browser."""
        secret = session_of(request)

        async def work() -> tuple[int, Any, str]:
            await self._accounts.sign_out(secret, acting(request))
            return 200, {"id": request.user.id, "done": "sign out"}, ""

        return Cookied(work, 0)

    async def leave_all(self, request: Call) -> ASGIApp:
        """End every session and access token of the caller, on every device."""

        async def work() -> tuple[int, Any, str]:
            await self._accounts.end_all(request.user.id, acting(request))
            return 200, {"id": request.user.id, "done": "sign out everywhere"}, ""

        return Cookied(work, 0)

    async def authenticator(self, request: Call) -> ASGIApp:
        """A new secret for an authenticator app; it counts once a code from it has been sent."""

        async def work() -> tuple[int, Any]:
            secret, address = self._accounts.authenticator(request.user)
            return 201, {"secret": secret, "address": address}

        return Whole(work)

    async def secure(self, request: Call) -> ASGIApp:
        """Ask for an authenticator's code at every sign-in from now on, or with an empty secret no longer."""
        body = await read_json(request, SecretBody, self._settings)

        async def work() -> tuple[int, Any]:
            await self._accounts.may_secure(request.user)
            await self._accounts.users.secure(request.user.id, body.secret, body.code, acting(request))
            if body.secret and (session := session_of(request)):
                await self._accounts.strengthen(session)
            return 200, {"id": request.user.id, "done": "authenticator " + ("on" if body.secret else "off")}

        return Whole(work)

    async def issue(self, request: Call) -> ASGIApp:
        """A short-lived access token (JWT) that speaks for the caller, and the refresh token for the next one."""

        async def work() -> tuple[int, Any]:
            return 201, _pass(await self._accounts.issue(request.user, _shown(request), acting(request)))

        return Whole(work)

    async def renew(self, request: Call) -> ASGIApp:
        """Exchange a refresh token for a new pair; each is good once."""
        body = await read_json(request, RefreshBody, self._settings)

        async def work() -> tuple[int, Any]:
            return 200, _pass(await self._accounts.passes.renew(body.refresh, By("", origin(request))))

        return Whole(work)

    async def jwks(self) -> ASGIApp:
        """The public keys by which access tokens are checked."""

        async def work() -> tuple[int, Any]:
            return 200, await self._accounts.passes.jwks()

        return Whole(work)

    async def users(self) -> ASGIApp:
        """List the people of the household."""

        async def work() -> tuple[int, Any]:
            return 200, {"users": [asdict(user) for user in await self._accounts.users.all()]}

        return Whole(work)

    async def add(self, request: Call) -> ASGIApp:
        """Let a person in: the answer has the one-time code with which they choose a password."""
        body = await read_json(request, UserBody, self._settings)

        async def work() -> tuple[int, Any]:
            _outranks(request.user, body.role)
            hours = self._accounts.code_hours
            user, code = await self._accounts.users.add(body.name, body.role, hours, acting(request))
            return 201, {"user": asdict(user), "code": code}

        return Whole(work)

    async def change(self, request: Call, user: FromPath[str]) -> ASGIApp:
        """Give an account another role, shut it out, or let it in again."""
        body = await read_json(request, ChangeBody, self._settings)

        async def work() -> tuple[int, Any]:
            await self._above(request.user, user)
            _outranks(request.user, body.role or "guest")
            by = acting(request)
            changed = await self._accounts.users.change(user, by, role=body.role, disabled=body.disabled)
            await self._accounts.end_all(user, by)  # what was opened with the old rights has to be opened anew
            return 200, asdict(changed)

        return Whole(work)

    async def invite(self, request: Call, user: FromPath[str]) -> ASGIApp:
        """A one-time code for somebody who has forgotten the password."""

        async def work() -> tuple[int, Any]:
            await self._above(request.user, user)
            return 201, {"code": await self._accounts.users.invite(user, self._accounts.code_hours, acting(request))}

        return Whole(work)

    async def remove(self, request: Call, user: FromPath[str]) -> ASGIApp:
        """Take an account away, and end all its sessions and access tokens."""

        async def work() -> tuple[int, Any]:
            await self._above(request.user, user)
            await self._accounts.users.remove(user, acting(request))
            await self._accounts.end_all(user, acting(request))
            return 200, {"id": user, "done": "remove"}

        return Whole(work)

    async def audit(self, request: Call) -> ASGIApp:
        """The audit log, oldest first, behind the entry `after`."""
        after, limit = _place(request), integer(request.query_params, "limit", 100, 1000)

        async def work() -> tuple[int, Any]:
            return 200, {"entries": [asdict(entry) for entry in await self._journal.entries(after, limit)]}

        return Whole(work)

    async def verify(self, request: Call) -> ASGIApp:
        """Reckon a stretch of the audit log's chain again: its last entry, and what is wrong with it."""
        after, limit = _place(request), integer(request.query_params, "limit", 1000, 10_000)

        async def work() -> tuple[int, Any]:
            last, fault = await self._journal.verify(after, limit)
            return 200, {"last": last, "fault": fault}

        return Whole(work)

    async def _above(self, principal: Principal, user: str) -> None:
        _outranks(principal, str((await self._accounts.users.record(user))["role"]))


class Cookied:
    """A JSON answer that also sets the session's cookie, or with an empty secret takes it away."""

    def __init__(self, work: Any, seconds: int) -> None:
        self._work, self._seconds = work, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookie: list[tuple[bytes, bytes]] = []

        async def work() -> tuple[int, Any]:
            status, value, secret = await self._work()
            name = cookie_name(scope)
            secure = "; Secure" if name.startswith("__Host-") else ""
            words = f"{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={self._seconds}{secure}"
            cookie.append((b"set-cookie", words.encode()))
            return status, value

        async def sending(event: Any) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], *cookie]
            await send(event)

        await Whole(work)(scope, receive, sending)


def _shown(request: Call) -> Sequence[str]:
    """Every credential that a request carries, of which one was believed."""
    bearer = request.headers.get("authorization", "").partition(" ")[2].strip()
    return bearer, request.headers.get("x-api-key", "").strip(), session_of(request)


def session_of(request: Call) -> str:
    """The browser session that a request carries, empty if none."""
    return session_cookie(cast("Scope", request.scope), request.headers.get("cookie", ""))


def _outranks(principal: Principal, role: str) -> None:
    """Raises `Refused` unless the principal may decide about accounts of `role`: the owner all, admins those below."""
    if principal.role != "owner" and (role not in ROLES or ROLES.index(role) >= ROLES.index("admin")):
        raise Refused("only the owner decides about admins", code="role_refused")


def _place(request: Call) -> int:
    given = request.query_params.get("after", "0")
    return 0 if given in ("", "0") else integer(request.query_params, "after", 1, 10**9)


def who(principal: Principal) -> Mapping[str, str]:
    """A principal as it is told."""
    return {"id": principal.id, "name": principal.name, "role": principal.role}


def _pass(given: Any) -> Mapping[str, Any]:
    return {
        "access_token": given.access,
        "token_type": "Bearer",
        "expires_in": given.seconds,
        "refresh_token": given.refresh,
    }
