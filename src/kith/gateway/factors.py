"""Passkeys and single sign-on, as browsers come by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.audit import By
from kith.core.errors import Invalid
from kith.gateway.accounts import Accounts
from kith.gateway.acting import acting, origin
from kith.gateway.body import Call, read_json
from kith.gateway.entrance import session_of
from kith.gateway.failures import Refusal, translate
from kith.gateway.gate import cookie_name
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

_JOURNEY = "kith-journey"
_SECONDS = 600
_HOME = "/app/"


class Place(msgspec.Struct, frozen=True):
    """Where a browser's page is: the name of this door, and the page's origin."""

    name: str
    origin: str


class PasskeyBody(msgspec.Struct, frozen=True):
    """A passkey that a browser made, and what its person calls it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    credential: dict[str, Any]


class Factors:
    """The routes of passkeys and of single sign-on."""

    def __init__(self, accounts: Accounts, settings: GatewaySettings) -> None:
        self._accounts, self._settings = accounts, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        own = {"role": "guest"}
        made = {"answer": "PasskeyOptions", "status": 201}
        shut = {"open": True, "closed": True}
        back = {"answer": "Nothing", "status": 303, "query": ("code", "state", "iss", "error"), **shut}
        return (
            get("/api/passkeys", opt={"answer": "Passkeys", **own})(self.passkey_list),
            post("/api/passkeys/new", opt={**made, **own})(self.passkey_begin),
            post("/api/passkeys", opt={"body": PasskeyBody, "answer": "Decision", "status": 201, **own})(
                self.passkey_add
            ),
            delete("/api/passkeys/{passkey:str}", status_code=200, opt={"answer": "Decision", **own})(
                self.passkey_remove
            ),
            post("/api/session/passkey", opt={**made, **shut})(self.passkey_ask),
            get("/api/oidc", opt={"answer": "Federation", "open": True})(self.sso_offered),
            get("/api/oidc/start", opt={"answer": "Nothing", "status": 303, **shut})(self.sso_depart),
            get("/api/oidc/return", opt=back)(self.sso_arrive),
        )

    async def passkey_list(self, request: Call) -> ASGIApp:
        """List one's own passkeys."""

        async def work() -> tuple[int, Any]:
            return 200, {"passkeys": list(await self._accounts.passkeys.of(request.user.id))}

        return Whole(work)

    async def passkey_begin(self, request: Call) -> ASGIApp:
        """Begin to make a passkey: what `navigator.credentials.create` takes."""

        async def work() -> tuple[int, Any]:
            await self._accounts.users.record(request.user.id)  # tokens are not people
            await self._accounts.may_secure(request.user)
            return 201, await self._accounts.passkeys.begin(request.user, _place(request))

        return Whole(work)

    async def passkey_add(self, request: Call) -> ASGIApp:
        """Keep the passkey that the browser made; from now on it signs its person in."""
        body = await read_json(request, PasskeyBody, self._settings)

        async def work() -> tuple[int, Any]:
            await self._accounts.may_secure(request.user)
            key = await self._accounts.passkeys.add(request.user, body.name, body.credential, acting(request))
            if session := session_of(request):
                await self._accounts.strengthen(session)
            return 201, {"id": key, "done": "passkey"}

        return Whole(work)

    async def passkey_remove(self, request: Call, passkey: FromPath[str]) -> ASGIApp:
        """Take a passkey away."""

        async def work() -> tuple[int, Any]:
            await self._accounts.may_secure(request.user)
            await self._accounts.passkeys.remove(request.user.id, passkey, acting(request))
            return 200, {"id": passkey, "done": "remove"}

        return Whole(work)

    async def passkey_ask(self, request: Call) -> ASGIApp:
        """Begin to sign in with a passkey: what `navigator.credentials.get` takes. Its answer goes to /api/session."""

        async def work() -> tuple[int, Any]:
            return 201, await self._accounts.passkeys.ask(_place(request))

        return Whole(work)

    async def sso_offered(self) -> ASGIApp:
        """Whether there is single sign-on."""

        async def work() -> tuple[int, Any]:
            return 200, {"available": self._accounts.federated}

        return Whole(work)

    async def sso_depart(self, request: Call) -> ASGIApp:
        """Send the browser to the provider of single sign-on."""

        async def work() -> tuple[str, list[str]]:
            where, secret = await self._accounts.depart(_back(request), By("", origin(request)))
            return where, [_journey(request, secret, _SECONDS)]

        return _Sent(work)

    async def sso_arrive(self, request: Call) -> ASGIApp:
        """Take the browser back from the provider, with a session if the provider's word is good."""
        answer = {name: request.query_params.get(name, "") for name in ("code", "state", "iss", "error")}
        answer = {name: value for name, value in answer.items() if value}

        async def work() -> tuple[str, list[str]]:
            secret = str(request.cookies.get(_JOURNEY, ""))
            session, _ = await self._accounts.arrive(answer, secret, By("", origin(request)))
            name = cookie_name(cast("Scope", request.scope))
            secure = "; Secure" if name.startswith("__Host-") else ""
            seconds = self._accounts.session_seconds
            cookie = f"{name}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"
            return _HOME, [cookie, _journey(request, "", 0)]

        return _Sent(work)


class _Sent:
    """A redirection with cookies, or a proper error in its place."""

    def __init__(self, work: Any) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            where, cookies = await self._work()
        except Exception as error:  # noqa: BLE001  # translated for the client
            await Refusal(translate(error))(scope, receive, send)
            return
        headers = [(b"location", where.encode()), (b"content-length", b"0")]
        headers += [(b"set-cookie", cookie.encode()) for cookie in cookies]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _journey(request: Call, secret: str, seconds: int) -> str:
    """The cookie that binds a journey to this browser. Lax, because the way back begins on the provider's page."""
    secure = "; Secure" if request.scope["scheme"] == "https" else ""
    return f"{_JOURNEY}={secret}; Path=/api/oidc; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"


def _back(request: Call) -> str:
    """The address to which the provider sends the browser back: that under which it came, which the gate knows."""
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}/api/oidc/return"


def _place(request: Call) -> Place:
    page = request.headers.get("origin", "").lower()
    if not page:
        raise Invalid("a passkey belongs to a page, and this request comes from none", code="passkey_needs_name")
    return Place(urlsplit(page).hostname or "", page)
