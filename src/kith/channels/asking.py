"""Asking a platform over HTTP: requests under way, answers read whatever they are, and tokens that live for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, cast

import httpx
import msgspec

from kith.channels.media import download
from kith.core.clock import Clock
from kith.core.errors import Invalid, Unavailable

_GRACE = 2.0
_PAUSE = 0.5
_LONGEST = 3600.0

T = TypeVar("T")


def decoded(content: bytes | str) -> Any:
    """What JSON says; None for what is none."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def decoded_fields(content: bytes | str) -> dict[str, Any]:
    """The fields of a JSON object; empty for anything else."""
    found = decoded(content)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def answered(answer: httpx.Response, platform: str) -> Any:
    """What an answer says, as JSON; None where it says nothing. Raises `Unavailable` for a good answer that is none."""
    found = decoded(answer.content)
    if found is None and answer.is_success and answer.content not in (b"", b"null"):
        raise Unavailable(f"{platform}'s answer makes no sense", retry_after=2.0)
    return found


def seconds_of(header: str, otherwise: float, least: float = 0.0) -> float:
    """How long a header (``retry-after``) asks us to wait: from `least` seconds to an hour, `otherwise` where it does
    not say."""
    good = header.isascii() and header.isdigit() and len(header) < 6
    return min(max(float(header), least), _LONGEST) if good else otherwise


@contextlib.contextmanager
def reaching(platform: str, retry_after: float = 2.0) -> Generator[None]:
    """One request. Raises `Unavailable` for a connection that failed."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Unavailable(f"{platform} cannot be reached ({type(error).__name__})", retry_after=retry_after) from None


async def answering(client: httpx.AsyncClient, address: str, platform: str) -> None:
    """Whether a platform's server can be reached and works, whatever it answers: asked without a token, so that it is
    counted nowhere. Raises `Unavailable`."""
    with reaching(platform):
        answer = await client.get(address)
    if answer.status_code >= 500:
        raise Unavailable(f"{platform} does not answer as it should ({answer.status_code})", retry_after=5.0)


class Flights:
    """The requests that are under way: a client is closed after they have had a moment to end."""

    def __init__(self, platform: str) -> None:
        self._platform, self._count, self._closing, self._landed = platform, 0, False, asyncio.Event()

    @contextlib.contextmanager
    def one(self) -> Generator[None]:
        """One more. Raises `Unavailable` once this is being closed, and for a connection that failed."""
        if self._closing:
            raise Unavailable(f"the {self._platform} channel is not connected")
        self._count += 1
        try:
            with reaching(self._platform):
                yield
        finally:
            self._count -= 1
            self._landed.set()

    async def close(self, *clients: httpx.AsyncClient) -> None:
        """Let none begin any more, wait for the others, and close the connections."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self._count:
                    self._landed.clear()
                    await self._landed.wait()
        await asyncio.gather(*(client.aclose() for client in clients))


class Stale(Unavailable):
    """The platform does not know the token any more."""


class Token:
    """An access token that lives for a while. `ask` gives a new one, and for how many seconds to use it."""

    def __init__(self, clock: Clock, ask: Callable[[], Awaitable[tuple[str, float]]]) -> None:
        self._clock, self._ask = clock, ask
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """One that is good. Raises as `ask`."""
        async with self._lock:
            if not self._token or self._clock.now() >= self._until:
                self._token, lasts = await self._ask()
                self._until = self._clock.now() + lasts
            return self._token

    def forget(self, token: str = "") -> None:
        """This one (whatever it is, where empty) may not be good any more."""
        if token in ("", self._token):
            self._token = ""

    async def use(self, doing: Callable[[str], Awaitable[T]]) -> T:
        """Do something with a token; with a new one, once, when it raises `Stale`. Raises as both."""
        token = await self.get()
        try:
            return await doing(token)
        except Stale:
            self.forget(token)
        token = await self.get()
        try:
            return await doing(token)
        except Stale:
            self.forget(token)
            raise


async def download_again(client: httpx.AsyncClient, clock: Clock, url: str, most: int) -> tuple[bytes, str]:
    """The bytes behind an address, and their type where it tells more than the message. Raises as `download`, and
    `Invalid` for what is not to be had when asked for twice: the rest of its message is still heard."""
    try:
        data, mime = await download(client, url, most)
    except Unavailable:
        await clock.sleep(_PAUSE)
        try:
            data, mime = await download(client, url, most)
        except Unavailable as error:
            raise Invalid(error.message, code="not_wanted") from None
    return data, "" if mime == "application/octet-stream" else mime
