"""Calls of OneBot's API, over a WebSocket or over HTTP; its answers as Kith's errors.

Over a WebSocket an answer is known by the ``echo`` of its question (the OneBot 11 standard, "Communication").
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from kith.channels.kit import decoded_fields, seconds_of
from kith.core.errors import Invalid, KithError, Refused, Unavailable

PATIENCE = 20.0
BIGGEST = 64 * 1024 * 1024  # of one frame: a file of 20 MB comes as Base64 within JSON
_DENIED = frozenset({1401, 1403})
_UNWANTED = frozenset({100, 1400, 1404, 1405, 1406})
_HINT = "look at the access token, there and under channels.onebot.token"


class Pipe(Protocol):
    """A WebSocket, whoever opened it."""

    async def send(self, message: str) -> None: ...
    async def recv(self) -> str | bytes: ...
    async def close(self, code: int = 1000, reason: str = "") -> None: ...


class Caller(Protocol):
    """Asks the program to do something."""

    async def call(self, action: str, arguments: Mapping[str, Any] | None = None, patience: float = PATIENCE) -> Any:
        """The ``data`` of the answer. Raises `Unavailable`, `Refused`, `Invalid`; see `judge`."""
        ...

    async def close(self) -> None:
        """Ask no more."""
        ...


class Link:
    """One WebSocket. `heard` is told every event; `gone`, with the reason, that there will be no more."""

    def __init__(self, pipe: Pipe, heard: Callable[[dict[str, Any]], None], gone: Callable[[KithError], None]) -> None:
        self._pipe, self._heard, self._gone = pipe, heard, gone
        self._asked: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._count = itertools.count(1)
        self._over: KithError | None = None
        self._task = asyncio.create_task(self._read())

    async def call(self, action: str, arguments: Mapping[str, Any] | None = None, patience: float = PATIENCE) -> Any:
        """The ``data`` of the answer. Raises as `Caller.call`."""
        if self._over is not None:
            raise self._over
        echo = f"kith-{next(self._count)}"
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[echo] = answer
        frame = msgspec.json.encode({"action": action, "params": arguments or {}, "echo": echo}).decode()
        try:
            async with asyncio.timeout(patience):
                await self._pipe.send(frame)
                return judge(await answer)
        except TimeoutError:
            raise Unavailable(f"the OneBot program did not answer {action!r}", retry_after=2.0) from None
        except (WebSocketException, OSError) as error:
            raise self._over or Unavailable(f"the WebSocket is closed ({type(error).__name__})") from None
        finally:
            self._asked.pop(echo, None)

    async def close(self) -> None:
        """Close the socket; `gone` is not told."""
        self._gone = _unheard
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._end(Unavailable("the OneBot channel is not connected"))
        try:
            async with asyncio.timeout(2.0):
                await self._pipe.close()
        except (TimeoutError, WebSocketException, OSError):
            return

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._pipe.recv())
        except (WebSocketException, OSError) as error:
            self._end(Unavailable(f"the WebSocket was closed ({type(error).__name__})"))

    def _take(self, raw: str | bytes) -> None:
        told = decoded_fields(raw)
        answer = self._asked.get(str(told.get("echo")))
        if "post_type" in told:
            self._heard(told)
        elif answer is not None:
            if not answer.done():
                answer.set_result(told)
        elif told.get("retcode") in _DENIED:  # said without being asked, before the socket is closed
            self._end(_denied(told))

    def _end(self, reason: KithError) -> None:
        if self._over is None:
            self._over = reason
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(reason)
            self._gone(reason)


async def dial(
    url: str, token: str, heard: Callable[[dict[str, Any]], None], gone: Callable[[KithError], None]
) -> Link:
    """Open the program's WebSocket. Raises `Unavailable`, `Refused` for a wrong token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        pipe = await connect(
            url, additional_headers=headers, proxy=None, max_size=BIGGEST, open_timeout=10, close_timeout=2
        )
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            raise Refused(f"the OneBot program refuses us ({status})", hint=_HINT) from None
        raise Unavailable(f"the OneBot program answers {status}", retry_after=5.0) from None
    except (InvalidURI, InvalidHandshake, WebSocketException, OSError, TimeoutError) as error:
        raise Unavailable(f"the OneBot program cannot be reached ({type(error).__name__})") from None
    return Link(cast("Pipe", pipe), heard, gone)


class Phone:
    """The HTTP API at `url`."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client, self._url = client, url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def call(self, action: str, arguments: Mapping[str, Any] | None = None, patience: float = PATIENCE) -> Any:
        """The ``data`` of the answer. Raises as `Caller.call`."""
        try:
            async with asyncio.timeout(patience):
                answer = await self._client.post(
                    f"{self._url}/{action}", json=dict(arguments or {}), headers=self._headers
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unavailable(f"the OneBot program cannot be reached ({type(error).__name__})") from None
        status = answer.status_code
        if status in (401, 403):
            raise Refused(f"the OneBot program refuses us ({status})", hint=_HINT)
        if status == 429 or status >= 500:
            after = seconds_of(answer.headers.get("retry-after", ""), 5.0)
            raise Unavailable(f"the OneBot program answers {status}", retry_after=after)
        if not answer.is_success:
            raise Invalid(f"the OneBot program does not want {action!r} ({status})", code="not_wanted")
        return judge(decoded_fields(answer.content))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _unheard(reason: KithError) -> None:
    """Nobody listens to `reason`."""


def judge(told: Mapping[str, Any]) -> Any:
    """The ``data`` of an answer that says that it was done, or will be (``async``).

    Raises `Refused` for the access token or for what QQ does not allow, `Invalid` for what is not known or wanted,
    `Unavailable` for everything else: the program says by no number whether QQ took a message when it timed out.
    """
    code = told.get("retcode")
    if told.get("status") in ("ok", "async") or code in (0, 1):
        return told.get("data")
    said = told.get("wording") or told.get("message") or told.get("msg")
    reason = f"the OneBot program says {code}: {str(said or '')[:200]}"
    if code in _DENIED:
        raise _denied(told)
    if code in _UNWANTED:
        raise Invalid(reason, code="not_wanted")
    if code == 102:
        raise Refused(reason)
    if code == 1429:
        raise Unavailable(reason, retry_after=30.0)
    raise Unavailable(reason, retry_after=5.0)


def _denied(told: Mapping[str, Any]) -> Refused:
    return Refused(f"the OneBot program refuses us ({told.get('retcode')})", hint=_HINT)
