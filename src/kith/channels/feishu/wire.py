"""Calls of Feishu's open API with a ``tenant_access_token``, which lives two hours; its refusals as Kith's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import httpx
import msgspec

from kith.channels.feishu.settings import FeishuSettings
from kith.channels.kit import Flights, Stale, Token, answering, decoded, gathered, inner, seconds_of, telling
from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Refused, Unavailable

_EARLY = 300.0
_STALE = frozenset({99991661, 99991663, 99991664, 99991665, 99991668, 99991671, 99991677})
_WAIT = {
    1: 5.0, 99991400: 5.0, 230020: 1.0, 230049: 1.0, 11232: 5.0, 11233: 5.0, 11247: 5.0, 1000040343: 5.0,
    1000040350: 30.0, 1663: 5.0, 99991500: 5.0, 55001: 2.0,
}  # fmt: skip
_OURS = frozenset({10003, 10012, 10014, 10015, 10017, 11205, 99991543, 99991662, 230006, 403, 514, 1000040344})
_RIGHTS = frozenset({99991672, 99991679, 230027, 99991401})
_CLOSED = frozenset({230002, 230013, 230017, 230018, 230029, 230035, 230038, 230053, 232009, 99991403})
GONE = frozenset({230011, 230110, 230050, 230019, 230071})
CARD = frozenset({230099, 11310, 200861})


class Unwanted(Invalid):
    """Something that Feishu does not take; `number` is its code."""

    def __init__(self, number: int, said: str) -> None:
        super().__init__(f"Feishu does not want this: {number} {said}".rstrip(), code="not_wanted")
        self.number = number


class Wire:
    """One app's client."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, settings: FeishuSettings) -> None:
        self._client, self._settings = client, settings
        self._token, self._flights = Token(clock, self._new), Flights("Feishu")

    async def close(self) -> None:
        """Close the connections, after what is under way has had a moment to end."""
        await self._flights.close(self._client)

    async def reach(self) -> None:
        """Whether the API answers, without a call that Feishu counts. Raises `Unavailable`, `Refused`."""
        await self._token.get()
        await answering(self._client, self._settings.base, "Feishu")

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        """What the API answers, ``data`` in it. Raises `Unavailable` with the seconds to wait, `Refused`, `Unwanted`.

        A token that Feishu calls stale is asked for anew, once.
        """
        content = None if body is None else {"content": msgspec.json.encode(body)}
        return await self._known(method, path, content or {}, query)

    async def upload(self, kind: str, data: bytes, fields: Mapping[str, str], name: str) -> str:
        """Lay a file (``images`` or ``files``) at Feishu; its key. Raises as `call`."""
        key = "image" if kind == "images" else "file"
        given = {"data": dict(fields), "files": {key: (name or key, data)}}
        told = inner(await self._known("POST", f"/open-apis/im/v1/{kind}", given, {}), "data")
        found = told.get(f"{key}_key")
        if not isinstance(found, str) or not found:
            raise Unavailable("Feishu gave no key for a file", retry_after=5.0)
        return found

    async def fetch(self, message: str, key: str, kind: str, most: int) -> tuple[bytes, str]:
        """The bytes of a file in a message, and their type where Feishu says one that tells something. Raises as
        `call`, `Invalid` (code ``too_large``) behind `most` bytes."""
        path = f"/open-apis/im/v1/messages/{quote(message)}/resources/{quote(key)}"

        async def once(token: str) -> tuple[bytes, str]:
            url, head = self._settings.base + path, {"authorization": f"Bearer {token}"}
            with self._flights.one():
                async with self._client.stream("GET", url, params={"type": kind}, headers=head) as answer:
                    data = await gathered(answer, most)
            if answer.is_success:
                return data, telling(answer)
            self._judge(answer, _read(answer, data))
            raise Unavailable("Feishu gave no file", retry_after=5.0)

        return await self._token.use(once)

    async def endpoint(self) -> tuple[str, float]:
        """The address of a new long connection, and how often Feishu wants a ping, in seconds. Raises as `call`."""
        given = {"AppID": self._settings.app, "AppSecret": self._settings.secret.get_secret_value()}
        answer = await self._ask("POST", "/callback/ws/endpoint", {"json": given, "headers": {"locale": "zh"}}, {})
        told = _read(answer, answer.content)
        code = told.get("code")
        if code not in (0, *_WAIT):
            raise Refused(
                f"Feishu opens no long connection: {code} {str(told.get('msg', ''))[:200]}",
                hint="look at channels.feishu.app and secret, and at the app's event subscription",
            )
        self._judge(answer, told)
        data = inner(told, "data")
        url = data.get("URL")
        if not isinstance(url, str) or not url.startswith(("wss://", "ws://")):
            raise Unavailable("Feishu gave no address for a long connection", retry_after=5.0)
        if url.startswith("ws://") and self._settings.base.startswith("https://"):
            raise Unavailable("Feishu gave an address without encryption", retry_after=60.0)
        return url, seconds(inner(data, "ClientConfig"))

    async def token(self) -> str:
        """A token that is good. Raises `Refused` for a wrong id or secret, `Unavailable`."""
        return await self._token.get()

    async def _new(self) -> tuple[str, float]:
        given = {"app_id": self._settings.app, "app_secret": self._settings.secret.get_secret_value()}
        answer = await self._ask("POST", "/open-apis/auth/v3/tenant_access_token/internal", {"json": given}, {})
        told = _read(answer, answer.content)
        if (code := told.get("code")) != 0 and code not in _WAIT:
            raise Refused(f"Feishu does not know this app: {code} {str(told.get('msg', ''))[:200]}", hint=_HINT)
        self._judge(answer, told)
        token, lasts = told.get("tenant_access_token"), told.get("expire")
        if not isinstance(token, str) or not token or not isinstance(lasts, int):
            raise Unavailable("Feishu gave no token", retry_after=5.0)
        return token, max(lasts - _EARLY, 30.0)

    async def _known(self, method: str, path: str, given: Mapping[str, Any], query: dict[str, str]) -> dict[str, Any]:
        async def once(token: str) -> dict[str, Any]:
            head = {"authorization": f"Bearer {token}"}
            if "content" in given:
                head["content-type"] = "application/json; charset=utf-8"
            answer = await self._ask(method, path, {**given, "headers": head}, query)
            told = _read(answer, answer.content)
            self._judge(answer, told)
            return told

        return await self._token.use(once)

    async def _ask(self, method: str, path: str, given: Mapping[str, Any], query: dict[str, str]) -> httpx.Response:
        with self._flights.one():
            return await self._client.request(method, self._settings.base + path, params=query, **given)

    def _judge(self, answer: httpx.Response, told: Mapping[str, Any]) -> None:
        code, said = int(told.get("code", -1)), str(told.get("msg", ""))[:200]
        if answer.status_code == 429 or answer.status_code >= 500 or code in _WAIT:
            raise Unavailable(f"Feishu says {answer.status_code} {code}", retry_after=_wait(answer, code))
        if code == 0 and answer.is_success:
            return
        if code in _STALE:
            raise Stale(f"Feishu does not know the token any more ({code})", retry_after=2.0)
        raise _verdict(code, said)


_HINT = "look at channels.feishu.app, secret and base (Lark is at https://open.larksuite.com)"


def _verdict(code: int, said: str) -> KithError:
    if code in _OURS:
        return Refused(f"Feishu refuses the app: {code} {said}", hint=_HINT)
    if code in _RIGHTS:
        return Refused(f"the app lacks a permission: {code} {said}", hint="grant it in the console, publish a version")
    if code in _CLOSED:
        return Refused(f"Feishu does not let us speak there: {code} {said}")
    return Unwanted(code, said)


def seconds(config: Mapping[str, Any]) -> float:
    """``PingInterval`` of a ``ClientConfig``, kept within reason."""
    every = config.get("PingInterval")
    return float(min(max(every, 5), 120)) if isinstance(every, int) and not isinstance(every, bool) else 90.0


def _wait(answer: httpx.Response, code: int) -> float:
    """How long: ``x-ogw-ratelimit-reset`` or ``retry-after``, in seconds (open.feishu.cn, "Frequency control")."""
    for header in ("x-ogw-ratelimit-reset", "retry-after"):
        if wait := seconds_of(answer.headers.get(header, ""), 0.0, 1.0):
            return wait
    return _WAIT.get(code, 5.0)


def _read(answer: httpx.Response, content: bytes) -> dict[str, Any]:
    found: Any = decoded(content)
    if not isinstance(found, dict):
        raise Unavailable(f"Feishu's answer makes no sense ({answer.status_code})", retry_after=_wait(answer, 0))
    found = cast("dict[str, Any]", found)
    code = found.get("code")
    return {**found, "code": code if isinstance(code, int) and not isinstance(code, bool) else -1}
