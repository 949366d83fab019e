"""Calls of QQ's open platform behind an access token that lives two hours; its errors as Kith's."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import msgspec

from kith.channels.kit import Kit, Token, answered, download_again, gateway, reaching, seconds_of
from kith.channels.qqbot.render import file_type
from kith.channels.qqbot.settings import QqSettings
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Media

_EARLY = 45.0  # a new token is given out only within the last 60 s of the old one, which stays good
_INTENTS = 1 << 25  # GROUP_AND_C2C_EVENT
_LOOK = "look at app and secret under channels.qqbot"
_UNKNOWN = frozenset({100007, 100016})
_STALE = frozenset({11241, 11243, 11244})
_AGAIN = frozenset({11242, 11252, 11263, 11281, 304082, 304083})
_BANNED = frozenset({11253, 11254, 11264, 11265})
_SLOW = frozenset({20028, 1100100, 1100308})
_OVER = frozenset({22009, 304026, 304027})
_LINK, _TWICE = 304003, 40054005


class Twice(Invalid):
    """QQ has an answer with this number already."""


class Over(Invalid):
    """The message that this answers is too old, unknown, or was answered often enough."""


class Linked(Invalid):
    """There is a link in it that was not registered."""


class Wire:
    """One bot's client."""

    def __init__(self, settings: QqSettings, kit: Kit) -> None:
        self._settings, self._clock = settings, kit.clock
        self._secret = settings.secret.get_secret_value()
        if not settings.app or not self._secret:
            raise Refused("QQ needs the bot's AppID and AppSecret", hint=_LOOK)
        self._client, self._files = kit.http(timeout=20.0), kit.http(timeout=30.0)
        self._token = Token(kit.clock, self._new)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._files.aclose()

    def forget(self) -> None:
        """The token may not be good any more: ask for it again."""
        self._token.forget()

    async def token(self) -> str:
        """What QQ wants to see. Raises `Refused` for a wrong AppID or secret, `Unavailable` to be tried again."""
        return await self._token.get()

    async def _new(self) -> tuple[str, float]:
        body = {"appId": self._settings.app, "clientSecret": self._secret}
        url = f"{self._settings.tokens.rstrip('/')}/app/getAppAccessToken"
        told = _mapping(answered(await self._ask("POST", url, {}, body), "QQ"))
        if (code := _code(told)) in _UNKNOWN:
            raise Refused(f"QQ does not know this bot ({code})", hint=_LOOK)
        token, lasts = told.get("access_token"), str(told.get("expires_in", ""))
        if not isinstance(token, str) or not token or not lasts.isdecimal() or len(lasts) > 9:
            raise Unavailable(f"QQ gave no token ({code})", retry_after=5.0)
        return f"QQBot {token}", max(float(lasts) - _EARLY, 5.0)

    async def identify(self) -> Mapping[str, Any]:
        """Who we are, for the gateway."""
        return {"token": await self.token(), "intents": _INTENTS, "shard": [0, 1], "properties": {}}

    async def gateway(self) -> str:
        """The gateway's address. Raises as `call`, `Unavailable` when no session may be begun today any more."""
        return gateway(await self.call("GET", "/gateway/bot"), "QQ")

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the API answers, as JSON says it. Raises as `judge` says."""
        url = f"{self._settings.api.rstrip('/')}{path}"
        for last in (False, True):
            shown = await self.token()
            answer = await self._ask(method, url, {"authorization": shown}, body)
            told = answered(answer, "QQ")
            if answer.is_success:
                return told
            stale = answer.status_code == 401 or _code(_mapping(told)) in _STALE
            if last or not stale:
                raise judge(answer.status_code, _mapping(told), answer.headers.get("retry-after", ""))
            self._token.forget(shown)
        raise AssertionError

    async def upload(self, place: str, media: Media, data: bytes) -> str:
        """The ``file_info`` of a file that may be sent to `place`. Raises as `call`."""
        kind = file_type(media)
        body = {"file_type": kind, "file_data": base64.b64encode(data).decode(), "srv_send_msg": False}
        told = _mapping(
            await self.call("POST", f"{place}/files", body | ({"file_name": media.name or "file"} if kind == 4 else {}))
        )
        info = told.get("file_info")
        if not isinstance(info, str) or not info:
            raise Unavailable("QQ took no file", retry_after=2.0)
        return info

    async def fetch(self, url: str, most: int) -> tuple[bytes, str]:
        """The bytes of a file that somebody sent, and their type. Raises `Invalid` for one that is too big, lies
        elsewhere, or is not to be had when asked for twice: the rest of its message is still heard."""
        host = (urlsplit(url).hostname or "").lower() if url.isascii() else ""
        if not any(host == one or host.endswith(f".{one}") for one in self._settings.media):
            raise Invalid("the file does not lie where QQ keeps its files", code="not_wanted")
        return await download_again(self._files, self._clock, url, most)

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], body: Mapping[str, Any] | None
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        more = {"accept": "application/json", "x-union-appid": self._settings.app, "content-type": "application/json"}
        with reaching("QQ", 1.0):
            return await self._client.request(method, url, headers=headers | more, content=content)


def judge(status: int, told: Mapping[str, Any], header: str = "") -> KithError:
    """What a refusal means: `Unavailable` where waiting helps, `Refused` for the bot itself, `Twice`, `Over` and
    `Linked` where something else may be tried, `Invalid` for what is not wanted."""
    code, text = _code(told), str(told.get("message", ""))[:200]
    if code == _TWICE:
        return Twice("QQ has this answer already", code="not_wanted")
    if code in _OVER:
        return Over(f"QQ does not take an answer to this message any more: {text} ({code})", code="not_wanted")
    if code == _LINK:
        return Linked(f"QQ does not take this link: {text}", code="not_wanted")
    if status == 429 or code in _SLOW:
        return Unavailable("QQ asks us to wait", retry_after=seconds_of(header, 5.0))
    if status == 401 or code in _STALE:
        return Refused(f"QQ does not know this bot: {text} ({code})", hint=_LOOK)
    if status == 403 or code in _BANNED:
        return Refused(f"QQ does not let this bot do that: {text} ({code})")
    if status >= 500 or status == 408 or code in _AGAIN:
        return Unavailable(f"QQ does not answer as it should ({status}, {code})", retry_after=2.0)
    return Invalid(f"QQ does not want this: {text} ({code})", code="not_wanted")


def _code(told: Mapping[str, Any]) -> int:
    found = told.get("code", told.get("err_code", 0))
    return found if isinstance(found, int) else 0


def _mapping(found: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
