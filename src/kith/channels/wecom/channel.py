"""The WeCom channel: at least once, because a message whose answer was lost cannot be asked for again."""

from __future__ import annotations

from typing import Any

from kith.channels.kit import Arrival, Hook, HookReply, Kit, Office, Post, Replay, Seal, collect, deliver
from kith.channels.wecom.parse import parse
from kith.channels.wecom.render import render
from kith.channels.wecom.settings import WecomSettings
from kith.core.errors import Invalid
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
        self._office = Office(self._seal, self._replay)

    async def start(self, accept: Accept) -> None:
        """Ask for a token. Raises `Unavailable`, or `Refused` for a wrong secret or an address not on the list."""
        await self.stop()
        query = {"corpid": self._settings.corp, "corpsecret": self._settings.secret}
        post = Post(self._settings.base, "/cgi-bin/gettoken", query)
        await self._office.open(self._kit.http(timeout=15.0), self._kit.clock, post)
        self._kit.alive()
        self._accept = accept

    async def probe(self) -> None:
        """Ask the platform for its own addresses. Raises as `start`."""
        await self._office.desk.call("GET", "/cgi-bin/get_api_domain_ip")
        self._kit.alive()

    async def send(self, parcel: Parcel) -> Sent:
        """Send every piece of a reply. Raises `Unavailable` to be tried again, `Invalid` for what is not wanted."""
        desk = self._office.desk

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
        self._accept = None
        await self._office.close()

    async def hook(self, request: Hook) -> HookReply:
        """Hear a sealed call, if its signature is good and new. Raises `Refused`, `Invalid` and as the inbox."""
        desk, query = self._office.desk, request.query
        stamp, nonce, shown = (query.get(key, "") for key in ("timestamp", "nonce", "msg_signature"))
        if request.method == "GET":
            echo = query.get("echostr", "")
            self._seal.check(shown, stamp, nonce, echo)
            return HookReply(200, {"content-type": "text/plain"}, self._seal.open(echo))
        if request.method != "POST" or self._accept is None:
            return HookReply(405, {"allow": "GET, POST"})
        cipher, shown = self._office.believed(request.body, query)
        with self._replay.until_kept(shown):  # else the platform calls up to three times
            envelope = parse(self._seal.open(cipher), Arrival(self._settings.account, self._kit.clock.now()))
            if envelope is not None:
                await self._accept(await collect(self._kit, envelope, desk.fetch))
        return HookReply(200, {"content-type": "text/plain"}, b"success")
