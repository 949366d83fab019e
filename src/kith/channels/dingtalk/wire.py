"""Calls of DingTalk's API with an access token, which lives two hours; its refusals as Kith's errors.

DingTalk's own SDK has its addresses as constants (that of files), blocks while it calls, and writes messages to its
log; what it does is four calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote_plus, urlsplit

import httpx

from kith.channels.dingtalk.settings import DingtalkSettings
from kith.channels.kit import Flights, Stale, Token, answering, decoded, gathered, seconds_of, telling
from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Refused, Unavailable

MESSAGES = "/v1.0/im/bot/messages/get"
_EARLY = 300.0
_STALE = ("InvalidAuthentication", "invalidauthentication", "40014", "42001", "40001")
_SECRET = ("invalidClient", "authFailed", "AuthenticationFailed", "invalidParameter.appKey", "appKeyNotExist")
_SLOW = ("Throttling", "flowControl", "ServiceUnavailable", "system", "unknown")
_BUSY = frozenset({"-1", "88", "90002", "90018"})
_RIGHTS = ("Forbidden.AccessDenied", "accessDenied")
_HINT = "look at channels.dingtalk.app and secret, and at the app's permissions (qyapi_robot_sendmsg)"


class Wire:
    """One app's client. `outside` reaches only the public internet: files lie at addresses that we are told."""

    def __init__(
        self, client: httpx.AsyncClient, outside: httpx.AsyncClient, clock: Clock, settings: DingtalkSettings
    ) -> None:
        self._client, self._outside, self._settings = client, outside, settings
        self._robot = settings.robot or settings.app
        self._token, self._flights = Token(clock, self._new), Flights("DingTalk")

    async def close(self) -> None:
        """Close the connections, after what is under way has had a moment to end."""
        await self._flights.close(self._client, self._outside)

    async def token(self) -> str:
        """A token that is good. Raises `Refused` for a wrong id or secret, `Unavailable`."""
        return await self._token.get()

    async def reach(self) -> None:
        """Whether the API answers, without a call that DingTalk counts. Raises as `token`."""
        await self.token()
        await answering(self._client, self._settings.api, "DingTalk")

    async def _new(self) -> tuple[str, float]:
        given = {"appKey": self._settings.app, "appSecret": self._settings.secret.get_secret_value()}
        told = await self._first("/v1.0/oauth2/accessToken", given)
        token, lasts = told.get("accessToken"), told.get("expireIn")
        if not isinstance(token, str) or not token or not isinstance(lasts, int):
            raise Unavailable("DingTalk gave no token", retry_after=5.0)
        return token, max(lasts - _EARLY, 30.0)

    async def endpoint(self) -> str:
        """The address of a new connection in Stream mode. Raises as `token`."""
        given = {
            "clientId": self._settings.app,
            "clientSecret": self._settings.secret.get_secret_value(),
            "subscriptions": [{"type": "CALLBACK", "topic": MESSAGES}],
            "ua": "kith",
        }
        told = await self._first("/v1.0/gateway/connections/open", given)
        where, ticket = told.get("endpoint"), told.get("ticket")
        schemes = ("wss://",) if self._settings.api.startswith("https://") else ("wss://", "ws://")
        if not isinstance(where, str) or not isinstance(ticket, str) or not where.startswith(schemes):
            raise Unavailable("DingTalk gave no address for a connection", retry_after=5.0)
        return f"{where}?ticket={quote_plus(ticket)}"

    async def say(self, target: str, key: str, parameters: str) -> str:
        """Send one message of a template to ``@person`` or a group; its key. Raises `Unavailable`, `Refused`,
        `Invalid`."""
        body: dict[str, Any] = {"robotCode": self._robot, "msgKey": key, "msgParam": parameters}
        if not target.startswith("@"):
            told = await self._known("/v1.0/robot/groupMessages/send", {**body, "openConversationId": target})
            return str(told.get("processQueryKey", ""))
        person = target[1:]
        told = await self._known("/v1.0/robot/oToMessages/batchSend", {**body, "userIds": [person]})
        if person in _list(told, "flowControlledStaffIdList"):
            raise Unavailable("DingTalk takes no more messages to this person for now", retry_after=60.0)
        if person in _list(told, "invalidStaffIdList"):
            raise Refused("the robot cannot reach this person: they are not in its organisation")
        return str(told.get("processQueryKey", ""))

    def belongs(self, url: str) -> bool:
        """Whether a session's address is DingTalk's."""
        return url.startswith(f"{self._settings.oapi}/robot/sendBySession?")

    async def answer(self, url: str, title: str, text: str) -> None:
        """Answer at a session's address. Raises as `say`."""
        await self._ask("POST", url, json={"msgtype": "markdown", "markdown": {"title": title, "text": text}})

    async def upload(self, kind: str, data: bytes, name: str) -> str:
        """Lay a file (``image``, ``voice``, ``file``) at DingTalk; its media id. Raises as `say`."""

        def ask(token: str) -> dict[str, Any]:
            return {"params": {"access_token": token, "type": kind}, "files": {"media": (name or kind, data)}}

        told = await self._twice(f"{self._settings.oapi}/media/upload", ask)
        if not isinstance(found := told.get("media_id"), str) or not found:
            raise Unavailable("DingTalk gave no id for a file", retry_after=5.0)
        return found

    async def fetch(self, code: str, most: int) -> tuple[bytes, str]:
        """The bytes behind a download code, and their type where it tells something. Raises as `say`, `Invalid` (code
        ``too_large``) behind `most` bytes."""
        told = await self._known("/v1.0/robot/messageFiles/download", {"downloadCode": code, "robotCode": self._robot})
        url = str(told.get("downloadUrl", ""))
        ours = urlsplit(url).netloc == urlsplit(self._settings.api).netloc
        with self._flights.one():
            async with (self._client if ours else self._outside).stream("GET", url) as answer:
                data = await gathered(answer, most)
        if not answer.is_success:
            raise Invalid(f"the file is not to be had ({answer.status_code})", code="not_wanted")
        return data, telling(answer)

    async def _known(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        def ask(token: str) -> dict[str, Any]:
            return {"json": dict(body), "headers": {"x-acs-dingtalk-access-token": token}}

        return await self._twice(self._settings.api + path, ask)

    async def _first(self, path: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """A call that shows our secret and needs no token."""
        try:
            return await self._ask("POST", self._settings.api + path, json=dict(given))
        except Stale:
            raise Refused("DingTalk does not know this app", hint=_HINT) from None

    async def _twice(self, url: str, ask: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """A call with a token; with a new one when DingTalk does not know this one any more."""

        async def once(token: str) -> dict[str, Any]:
            return await self._ask("POST", url, **ask(token))

        return await self._token.use(once)

    async def _ask(self, method: str, url: str, **given: Any) -> dict[str, Any]:
        with self._flights.one():
            answer = await self._client.request(method, url, **given)
        found: Any = decoded(answer.content)
        told = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        code = str(told.get("code", told.get("errcode", "")) or "")
        if answer.is_success and code in ("", "0", "200") and found is not None:
            return told
        raise _verdict(answer, code, str(told.get("message", told.get("errmsg", "")))[:200])


def _verdict(answer: httpx.Response, code: str, said: str) -> KithError:
    status = answer.status_code
    if code.startswith(_SECRET):
        return Refused(f"DingTalk does not know this app: {code} {said}", hint=_HINT)
    if status == 429 or status >= 500 or "Qps" in code or code in _BUSY or code.startswith(_SLOW):
        return Unavailable(
            f"DingTalk says {status} {code}", retry_after=seconds_of(answer.headers.get("retry-after", ""), 5.0, 1.0)
        )
    if code in _STALE:
        return Stale(f"DingTalk does not know the token any more ({code})", retry_after=2.0)
    if code.startswith(_RIGHTS) or status in (401, 403):
        return Refused(
            f"DingTalk refuses this: {code} {said}", hint="grant the app's permissions (qyapi_robot_sendmsg)"
        )
    if not code:
        return Unavailable(f"DingTalk's answer makes no sense ({status})", retry_after=5.0)
    return Invalid(f"DingTalk does not want this: {code} {said}".rstrip(), code="not_wanted")


def _list(told: Mapping[str, Any], key: str) -> list[Any]:
    found = told.get(key)
    return cast("list[Any]", found) if isinstance(found, list) else []
