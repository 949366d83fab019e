"""Calls of Feishu's open API with a ``tenant_access_token``, which lives two hours; its refusals as Kith's errors."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Generator, Mapping
from typing import Any, cast
from urllib.parse import quote

import httpx
import msgspec

from kith.channels.feishu.settings import FeishuSettings
from kith.channels.kit import inner
from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Refused, Unavailable

_EARLY = 300.0
_GRACE = 2.0
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
        self._client, self._clock, self._settings = client, clock, settings
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()
        self._flying, self._closing, self._landed = 0, False, asyncio.Event()

    async def close(self) -> None:
        """Close the connections, after what is under way has had a moment to end."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self._flying:
                    self._landed.clear()
                    await self._landed.wait()
        await self._client.aclose()

    @contextlib.contextmanager
    def _flight(self) -> Generator[None]:
        """One request under way. Raises `Unavailable` once this is being closed, and for a connection that failed."""
        if self._closing:
            raise Unavailable("the Feishu channel is not connected")
        self._flying += 1
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"Feishu cannot be reached ({type(error).__name__})", retry_after=2.0) from None
        finally:
            self._flying -= 1
            self._landed.set()

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
        for last in (False, True):
            token = await self.token()
            head = {"authorization": f"Bearer {token}"}
            url, data = self._settings.base + path, bytearray()
            with self._flight():
                async with self._client.stream("GET", url, params={"type": kind}, headers=head) as answer:
                    async for chunk in answer.aiter_bytes():
                        data += chunk
                        if len(data) > most:
                            raise Invalid("the file is too large", code="too_large")
            if answer.is_success:
                mime = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                return bytes(data), mime if re.fullmatch(r"(image|audio|video)/[\w.+-]{1,60}", mime) else ""
            told = _read(answer, bytes(data))
            if told.get("code") not in _STALE or last:
                self._judge(answer, told)
                break
            self._forget(token)
        raise Unavailable("Feishu gave no file", retry_after=5.0)

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
        async with self._lock:
            if not self._token or self._clock.now() >= self._until:
                given = {"app_id": self._settings.app, "app_secret": self._settings.secret.get_secret_value()}
                path = "/open-apis/auth/v3/tenant_access_token/internal"
                answer = await self._ask("POST", path, {"json": given}, {})
                told = _read(answer, answer.content)
                if (code := told.get("code")) != 0 and code not in _WAIT:
                    raise Refused(f"Feishu does not know this app: {code} {str(told.get('msg', ''))[:200]}", hint=_HINT)
                self._judge(answer, told)
                token, lasts = told.get("tenant_access_token"), told.get("expire")
                if not isinstance(token, str) or not token or not isinstance(lasts, int):
                    raise Unavailable("Feishu gave no token", retry_after=5.0)
                self._token, self._until = token, self._clock.now() + max(lasts - _EARLY, 30.0)
            return self._token

    async def _known(self, method: str, path: str, given: Mapping[str, Any], query: dict[str, str]) -> dict[str, Any]:
        for last in (False, True):
            token = await self.token()
            head = {"authorization": f"Bearer {token}"}
            if "content" in given:
                head["content-type"] = "application/json; charset=utf-8"
            answer = await self._ask(method, path, {**given, "headers": head}, query)
            told = _read(answer, answer.content)
            if told.get("code") not in _STALE or last:
                self._judge(answer, told)
                return told
            self._forget(token)
        raise AssertionError

    def _forget(self, token: str) -> None:
        if self._token == token:
            self._token = ""

    async def _ask(self, method: str, path: str, given: Mapping[str, Any], query: dict[str, str]) -> httpx.Response:
        with self._flight():
            return await self._client.request(method, self._settings.base + path, params=query, **given)

    def _judge(self, answer: httpx.Response, told: Mapping[str, Any]) -> None:
        code, said = int(told.get("code", -1)), str(told.get("msg", ""))[:200]
        if answer.status_code == 429 or answer.status_code >= 500 or code in _WAIT:
            raise Unavailable(f"Feishu says {answer.status_code} {code}", retry_after=_wait(answer, code))
        if code == 0 and answer.is_success:
            return
        if code in _STALE:
            self._token = ""
            raise Unavailable(f"Feishu does not know the token any more ({code})", retry_after=2.0)
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
        found = answer.headers.get(header, "")
        if found.isascii() and found.isdigit() and len(found) < 6:
            return min(max(float(found), 1.0), 3600.0)
    return _WAIT.get(code, 5.0)


def _read(answer: httpx.Response, content: bytes) -> dict[str, Any]:
    try:
        told: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unavailable(f"Feishu's answer makes no sense ({answer.status_code})", retry_after=_wait(answer, 0))
    found = cast("dict[str, Any]", told)
    code = found.get("code")
    return {**found, "code": code if isinstance(code, int) and not isinstance(code, bool) else -1}
