"""Passkeys, as browsers come by them, and whether there is another second proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.errors import Invalid, NotFound
from kith.gateway.accounts import Accounts
from kith.gateway.acting import acting
from kith.gateway.body import Call, read_json
from kith.gateway.entrance import session_of
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole


class Place(msgspec.Struct, frozen=True):
    """Where a browser's page is: the name of this door, and the page's origin."""

    name: str
    origin: str


class PasskeyBody(msgspec.Struct, frozen=True):
    """A passkey that a browser made, and what its person calls it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    credential: dict[str, Any]


class Factors:
    """The routes of passkeys, and the question for an authenticator."""

    def __init__(self, accounts: Accounts, settings: GatewaySettings) -> None:
        self._accounts, self._settings = accounts, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        own = {"role": "guest"}
        made = {"answer": "PasskeyOptions", "status": 201}
        shut = {"open": True, "closed": True}
        return (
            get("/api/passkeys", opt={"answer": "Passkeys", **own})(self.passkey_list),
            post("/api/passkeys/new", opt={**made, **own})(self.passkey_begin),
            post("/api/passkeys", opt={"body": PasskeyBody, "answer": "Decision", "status": 201, **own})(
                self.passkey_add
            ),
            delete("/api/passkeys/{passkey:str}", status_code=200, opt={"answer": "Decision", **own})(
                self.passkey_remove
            ),
            get("/api/authenticator", opt={"answer": "SecondProof", **own})(self.second),
            post("/api/session/passkey", opt={**made, **shut})(self.passkey_ask),
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

    async def second(self, request: Call) -> ASGIApp:
        """Whether an authenticator's code is asked for when you sign in."""

        async def work() -> tuple[int, Any]:
            try:
                known = await self._accounts.users.record(request.user.id)
            except NotFound:  # tokens are not people
                return 200, {"on": False}
            return 200, {"on": bool(known.get("totp"))}

        return Whole(work)

    async def passkey_ask(self, request: Call) -> ASGIApp:
        """Begin to sign in with a passkey: what `navigator.credentials.get` takes. Its answer goes to /api/session."""

        async def work() -> tuple[int, Any]:
            return 201, await self._accounts.passkeys.ask(_place(request))

        return Whole(work)


def _place(request: Call) -> Place:
    page = request.headers.get("origin", "").lower()
    if not page:
        raise Invalid("a passkey belongs to a page, and this request comes from none", code="passkey_needs_name")
    return Place(urlsplit(page).hostname or "", page)
