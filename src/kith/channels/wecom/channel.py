"""The WeCom channel: at least once, because a message whose answer was lost cannot be asked for again."""

from __future__ import annotations

from typing import Any

import httpx

from kith.channels.kit import Arrival, Desk, Hook, HookReply, Kit, Post, Replay, Seal, collect, deliver, tags
from kith.channels.wecom.parse import parse
from kith.channels.wecom.render import render
from kith.channels.wecom.settings import WecomSettings
from kith.core.errors import Invalid, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent


class WecomChannel:
    """Implements `Channel` and `Hooked`."""

    def __init__(self, settings: WecomSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._seal = Seal(settings.token, settings.key, settings.corp)
        self._replay = Replay(kit.clock)
        self._accept: Accept | None = None
        self._client: httpx.AsyncClient | None = None
        self._desk: Desk | None = None

    async def start(self, accept: Accept) -> None:
        """Ask for a token. Raises `Unavailable`, or `Refused` for a wrong secret or an address not on the list."""
        await self.stop()
        query = {"corpid": self._settings.corp, "corpsecret": self._settings.secret}
        self._client = self._kit.http(timeout=15.0)
        self._desk = Desk(self._client, self._kit.clock, Post(self._settings.base, "/cgi-bin/gettoken", query))
        await self._desk.token()
        self._kit.alive()
        self._accept = accept

    async def probe(self) -> None:
        """Ask the platform for its own addresses. Raises as `start`."""
        await self._open().call("GET", "/cgi-bin/get_api_domain_ip")
        self._kit.alive()

    async def send(self, parcel: Parcel) -> Sent:
        """Send every piece of a reply. Raises `Unavailable` to be tried again, `Invalid` for what is not wanted."""
        desk = self._open()

        async def one(_: int, body: dict[str, Any]) -> str:
            if (media := body.pop("media", None)) is not None:
                data, name = await self._kit.blobs.fetch(media), media.name or media.mime.replace("/", ".")
                body[body["msgtype"]] = {"media_id": await desk.store(body["msgtype"], data, name, media.mime)}
            told = await desk.call("POST", "/cgi-bin/message/send", body)
            self._kit.alive()
            if told.get("invaliduser"):
                raise Invalid("this member cannot be reached by the app", code="not_wanted")
            return str(told.get("msgid", ""))[:200]

        return await deliver(self._kit, parcel, render(parcel, self._settings.agent), one)

    async def stop(self) -> None:
        """No call is accepted afterwards."""
        self._accept = self._desk = None
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def hook(self, request: Hook) -> HookReply:
        """Hear a sealed call, if its signature is good and new. Raises `Refused`, `Invalid` and as the inbox."""
        desk, query = self._open(), request.query
        stamp, nonce, shown = (query.get(key, "") for key in ("timestamp", "nonce", "msg_signature"))
        if request.method == "GET":
            echo = query.get("echostr", "")
            self._seal.check(shown, stamp, nonce, echo)
            return HookReply(200, {"content-type": "text/plain"}, self._seal.open(echo))
        if request.method != "POST" or self._accept is None:
            return HookReply(405, {"allow": "GET, POST"})
        cipher = tags(request.body).get("Encrypt", "")
        self._seal.check(shown, stamp, nonce, cipher)
        self._replay.check(float(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 13 else 0.0, shown)
        try:
            envelope = parse(self._seal.open(cipher), Arrival(self._settings.account, self._kit.clock.now()))
            if envelope is not None:
                await self._accept(await collect(self._kit, envelope, desk.fetch))
        except Unavailable:
            self._replay.forget(shown)  # it was not kept: the platform calls up to three times
            raise
        self._kit.alive()
        return HookReply(200, {"content-type": "text/plain"}, b"success")

    def _open(self) -> Desk:
        if self._desk is None:
            raise Unavailable("the channel is not started")
        return self._desk
