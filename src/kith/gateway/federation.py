"""Single sign-on: to the provider and back, to sign in or to connect the provider's account with one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.audit import By
from kith.gateway.accounts import Accounts
from kith.gateway.acting import acting, origin
from kith.gateway.body import Call
from kith.gateway.entrance import HALF, session_of
from kith.gateway.failures import Refusal, translate
from kith.gateway.gate import cookie_name
from kith.gateway.stream import Whole

_JOURNEY = "kith-journey"
_JOINING = "joining_"  # how the secret in it begins when an account is to be connected
_SECONDS = 600
_HOME, _ACCOUNT = "/app/", "/app/settings"


class Federation:
    """The routes below ``/api/oidc``."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        shut, own = {"open": True, "closed": True}, {"role": "guest"}
        back = {"answer": "Nothing", "status": 303, "query": ("code", "state", "iss", "error"), **shut}
        return (
            get("/api/oidc", opt={"answer": "Federation", "open": True})(self.offered),
            get("/api/oidc/start", opt={"answer": "Nothing", "status": 303, **shut})(self.depart),
            get("/api/oidc/return", opt=back)(self.arrive),
            get("/api/oidc/links", opt={"answer": "Links", **own})(self.links),
            post("/api/oidc/links", opt={"answer": "Departure", "status": 201, **own})(self.connect),
            delete("/api/oidc/links/{link:str}", status_code=200, opt={"answer": "Decision", **own})(self.disconnect),
        )

    async def offered(self) -> ASGIApp:
        """Whether there is single sign-on."""

        async def work() -> tuple[int, Any]:
            return 200, {"available": self._accounts.federated}

        return Whole(work)

    async def depart(self, request: Call) -> ASGIApp:
        """Send the browser to the provider of single sign-on."""

        async def work() -> tuple[str, list[str]]:
            where, secret = await self._accounts.depart(_back(request), By("", origin(request)))
            return where, [_journey(request, secret, _SECONDS)]

        return _Sent(work)

    async def arrive(self, request: Call) -> ASGIApp:
        """Take the browser back from the provider: with a session if the provider's word is good, or with the
        provider's account connected. A page is sent on with what went wrong in ``?refused=``; programs get the error.
        """
        answer = {name: request.query_params.get(name, "") for name in ("code", "state", "iss", "error")}
        answer = {name: value for name, value in answer.items() if value}
        secret, by = str(request.cookies.get(_JOURNEY, "")), By("", origin(request))
        over, joining = _journey(request, "", 0), secret.startswith(_JOINING)
        place = _ACCOUNT if joining else _HOME

        async def work() -> tuple[str, list[str]]:
            if joining:
                await self._accounts.join(answer, secret, by)
                return f"{_ACCOUNT}?connected", [over]
            session, found = await self._accounts.arrive(answer, secret, by)
            name = cookie_name(cast("Scope", request.scope))
            secure = "; Secure" if name.startswith("__Host-") else ""
            if found is None:  # the page asks for the authenticator's code, and shows it together with this
                half = f"{HALF}={session}; Path=/api/session; HttpOnly; SameSite=Strict; Max-Age={_SECONDS}{secure}"
                return f"{_HOME}?refused=second_factor_needed", [half, over]
            seconds = self._accounts.session_seconds
            cookie = f"{name}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"
            return _HOME, [cookie, over]

        page = "text/html" in request.headers.get("accept", "")
        return _Sent(work, (place, [over]) if page else None)

    async def links(self, request: Call) -> ASGIApp:
        """The accounts of the provider that open the caller's own, oldest first."""

        async def work() -> tuple[int, Any]:
            found = await self._accounts.federation.of(request.user.id)
            return 200, {"available": self._accounts.federated, "links": list(found)}

        return Whole(work)

    async def connect(self, request: Call) -> ASGIApp:
        """Begin to connect an account of the provider with the caller's own: where its browser has to go."""
        session, by = session_of(request), acting(request)

        async def work() -> tuple[int, Any, str]:
            where, secret = await self._accounts.connect(request.user, session, _back(request), by)
            return 201, {"address": where}, _journey(request, secret, _SECONDS)

        return _Told(work)

    async def disconnect(self, request: Call, link: FromPath[str]) -> ASGIApp:
        """Let an account of the provider open the caller's own no longer, and end the other sessions it opened."""

        async def work() -> tuple[int, Any]:
            await self._accounts.disconnect(request.user, link, session_of(request), acting(request))
            return 200, {"id": link, "done": "disconnect"}

        return Whole(work)


class _Sent:
    """A redirection with cookies; or a proper error in its place, told by an address and cookies where `refused` names
    them.
    """

    def __init__(self, work: Any, refused: tuple[str, list[str]] | None = None) -> None:
        self._work, self._refused = work, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            where, cookies = await self._work()
        except Exception as error:  # noqa: BLE001  # translated for the client
            failure = translate(error)
            if self._refused is None:
                await Refusal(failure)(scope, receive, send)
                return
            where, cookies = f"{self._refused[0]}?refused={failure.code}", self._refused[1]
        headers = [(b"location", where.encode()), (b"content-length", b"0")]
        headers += [(b"set-cookie", cookie.encode()) for cookie in cookies]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Told:
    """A JSON answer that also sets a cookie."""

    def __init__(self, work: Any) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookies: list[tuple[bytes, bytes]] = []

        async def work() -> tuple[int, Any]:
            status, value, cookie = await self._work()
            cookies.append((b"set-cookie", cookie.encode()))
            return status, value

        async def sending(event: Any) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], *cookies]
            await send(event)

        await Whole(work)(scope, receive, sending)


def _journey(request: Call, secret: str, seconds: int) -> str:
    """The cookie that binds a journey to this browser. Lax, because the way back begins on the provider's page."""
    secure = "; Secure" if request.scope["scheme"] == "https" else ""
    return f"{_JOURNEY}={secret}; Path=/api/oidc; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"


def _back(request: Call) -> str:
    """The address to which the provider sends the browser back: that under which it came, which the gate knows."""
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}/api/oidc/return"
