"""The Slack channel: events come over the socket, or as calls; either way they are acknowledged after they were kept.

Slack sends again what is not acknowledged within three seconds; the inbox knows it by its channel and time stamp.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any, NoReturn, cast

import httpx

from kith.channels.kit import (
    Arrival,
    Hook,
    HookReply,
    Kit,
    Replay,
    body_of,
    collect,
    deliver,
    hand_over,
    let_go,
    tended,
)
from kith.channels.slack.parse import parse
from kith.channels.slack.render import render
from kith.channels.slack.settings import SlackSettings
from kith.channels.slack.wire import Wire
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_QUEUE = 2000


class SlackChannel:
    """One app in one workspace. Implements `Channel` and, for the Events API, `Hooked`."""

    def __init__(self, settings: SlackSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._replay = Replay(kit.clock)
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUE)
        self._client: httpx.AsyncClient | None = None
        self._own = ""

    async def start(self, accept: Accept) -> None:
        """Ask who we are, and open the socket. Raises `Unavailable`, `Refused` for a wrong token, `Invalid`."""
        given = self._settings
        if given.lacks():
            raise Invalid("Slack needs `app_token` (Socket Mode) or `signing_secret` (Events API)", code="bad_field")
        wire = self._wire = Wire(given)
        self._queue = asyncio.Queue(_QUEUE)
        try:
            self._own = str((await wire.call("auth.test")).get("user_id", ""))
            self._accept = accept
            if given.app_token.get_secret_value():
                await wire.listen(self._hear)
                self._task = asyncio.create_task(tended("Slack", self._kit.lost, lambda: self._run(wire)))
        except KithError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the socket; what was not acknowledged comes again."""
        self._accept = None
        task, self._task, wire, self._wire = self._task, None, self._wire, None
        await let_go([task], wire)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def probe(self) -> None:
        """Whether the socket answers; without one, whether Slack does. Raises `Unavailable`, `Refused`."""
        wire = self._connected()
        if self._task is None:
            await wire.call("auth.test")
        elif not await wire.connected():
            raise Unavailable("Slack's socket does not answer")

    async def reach(self) -> None:
        """Whether the Web API answers, which replies go by; without the socket `probe` asks. Raises as `probe`."""
        wire = self._connected()
        if self._task is not None:
            await wire.call("auth.test")

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when Slack has every piece; the receipts are ``channel/stamp``. Raises `Unavailable`, `Refused`."""
        wire = self._connected()

        async def say(_: int, piece: dict[str, Any]) -> str:
            if (media := piece.get("media")) is not None:
                data, where = await self._kit.blobs.fetch(media), {k: v for k, v in piece.items() if k != "media"}
                await wire.upload(self._files(), data, media.name or media.type, where)
                return ""
            answer = await wire.call("chat.postMessage", **piece)
            stamp = answer.get("ts", "")
            return f"{piece['channel']}/{stamp}" if stamp else ""  # as reactions name it

        return await deliver(self._kit, parcel, render(parcel), say)

    async def hook(self, request: Hook) -> HookReply:
        """Hear a call of Slack's, if its signature is good and new. Raises `Refused`, `Invalid` and as the inbox."""
        if self._accept is None:
            raise Unavailable("the Slack channel is not connected")
        mark = self._checked(request)
        told = body_of(request.body)
        if isinstance(told, dict) and cast("dict[str, Any]", told).get("type") == "url_verification":
            challenge = str(cast("dict[str, Any]", told).get("challenge", ""))[:1000]
            return HookReply(200, {"content-type": "text/plain"}, challenge.encode("utf-8", "replace"))
        with self._replay.until_kept(mark):
            envelope = await self._read(told)
            if envelope is not None:
                await self._accept(envelope)
        return HookReply(200)

    def _checked(self, request: Hook) -> str:
        """The signature (docs.slack.dev, "Verifying requests from Slack") of a call that is good and new."""
        secret = self._settings.signing_secret.get_secret_value()
        stamp, shown = (request.headers.get(f"x-slack-{key}", "") for key in ("request-timestamp", "signature"))
        at = int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 else 0
        signed = hmac.new(secret.encode(), f"v0:{at}:".encode() + request.body, hashlib.sha256).hexdigest()
        if not secret or not hmac.compare_digest(shown.encode("utf-8", "replace"), f"v0={signed}".encode()):
            raise Refused("the signature of this call is not good", code="bad_signature")
        self._replay.check(at, signed)
        return signed

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the Slack channel is not connected")
        return self._wire

    def _arrival(self) -> Arrival:
        return Arrival(self._settings.account, self._kit.clock.now())

    def _hear(self, message: dict[str, Any]) -> None:
        """Called by the SDK. What finds no room is not acknowledged, and comes again."""
        self._kit.alive()
        if message.get("envelope_id") and not self._queue.full():
            self._queue.put_nowait(message)

    async def _run(self, wire: Wire) -> NoReturn:
        while True:
            message = await self._queue.get()
            try:
                if await self._take(message.get("payload")):
                    await wire.acknowledge(str(message["envelope_id"]))
            except Unavailable as error:
                _log.info("event not acknowledged", reason=error.message)

    async def _read(self, payload: Any) -> Envelope | None:
        """An event with the bytes of its files. Raises `Invalid`, `Unavailable`."""
        envelope = parse(payload, self._arrival(), self._own)
        if envelope is None:
            return None
        wire = self._connected()

        async def fetch(address: str, most: int) -> tuple[bytes, str]:
            return await wire.fetch(self._files(), address, most)

        return await collect(self._kit, envelope, fetch)

    def _files(self) -> httpx.AsyncClient:
        """The client for files, which lie at another host than the API."""
        if self._client is None:
            self._client = self._kit.http(timeout=30.0)
        return self._client

    async def _take(self, payload: Any) -> bool:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""

        async def made() -> Envelope | None:
            return await self._read(payload)

        return await hand_over(self._kit, lambda: self._accept, made)
