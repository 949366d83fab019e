"""The WeChat channel: at least once, because a message whose answer was lost cannot be asked for again."""

from __future__ import annotations

import asyncio

from kith.channels.kit import Arrival, Hook, HookReply, Kit, Office, Post, Replay, Seal, collect, deliver, tags
from kith.channels.wechat.parse import parse
from kith.channels.wechat.render import letter, render, sealed
from kith.channels.wechat.settings import WechatSettings
from kith.core.errors import Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent

PATIENCE = 4.5  # seconds; the platform waits for 5
_REST = 1.0
_PLAIN = {"content-type": "text/plain"}


class WechatChannel:
    """Implements `Channel` and `Hooked`."""

    def __init__(self, settings: WechatSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._seal = Seal(settings.token, settings.key, settings.app)
        self._replay = Replay(kit.clock)
        self._accept: Accept | None = None
        self._office = Office(self._seal, self._replay)
        self._waiting: dict[str, list[asyncio.Future[Parcel]]] = {}

    async def start(self, accept: Accept) -> None:
        """Ask for a token. Raises `Unavailable`, or `Refused` for a wrong secret or an address not on the list."""
        await self.stop()
        query = {"grant_type": "client_credential", "appid": self._settings.app, "secret": self._settings.secret}
        post = Post(self._settings.base, "/cgi-bin/token", query)
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

        async def one(_: int, body: dict[str, object]) -> str:
            await desk.call("POST", "/cgi-bin/message/custom/send", body)
            self._kit.alive()
            return ""

        if self._settings.reply == "service":
            return await deliver(self._kit, parcel, render(parcel), one)
        waiting = [call for call in self._waiting.get(parcel.target, ()) if not call.done()]
        if not waiting:
            raise Unavailable("no call of this person waits for an answer", retry_after=1.0)
        waiting[-1].set_result(parcel)  # the latest: the platform has given up the earlier ones
        return Sent("")

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
            self._seal.check(query.get("signature", ""), stamp, nonce)
            return HookReply(200, _PLAIN, echo.encode("utf-8", "replace"))
        if request.method != "POST" or self._accept is None:
            return HookReply(405, {"allow": "GET, POST"})
        cipher, shown = self._office.believed(request.body, query)
        call: asyncio.Future[Parcel] = asyncio.get_running_loop().create_future()
        with self._replay.until_kept(shown):  # else the platform calls up to three times
            opened = self._seal.open(cipher)
            envelope = parse(opened, Arrival(self._settings.account, self._kit.clock.now()))
            if envelope is None:
                return HookReply(200, _PLAIN, b"success")
            if self._settings.reply == "passive":
                self._waiting.setdefault(envelope.conversation, []).append(call)
            try:
                await self._accept(await collect(self._kit, envelope, desk.fetch))
                if self._settings.reply == "passive":
                    return await self._answer(call, tags(opened).get("ToUserName", ""), stamp, nonce)
            finally:
                self._leave(envelope.conversation, call)
        return HookReply(200, _PLAIN, b"success")

    async def _answer(self, call: asyncio.Future[Parcel], account: str, stamp: str, nonce: str) -> HookReply:
        """The reply as the answer to the call. When it takes longer than `PATIENCE`, the platform is left to call
        again: it does so twice with the same message, which is heard only once."""
        try:
            async with asyncio.timeout(PATIENCE):
                parcel = await call
        except TimeoutError:
            await asyncio.sleep(_REST)  # only a call that is not answered at all is made again
            raise Unavailable("the reply is not ready", retry_after=1.0) from None
        cipher = self._seal.close(letter(parcel, account, self._kit.clock.now()).encode())
        body = sealed(cipher, self._seal.sign(stamp, nonce, cipher), stamp, nonce)
        return HookReply(200, {"content-type": "application/xml"}, body)

    def _leave(self, conversation: str, call: asyncio.Future[Parcel]) -> None:
        call.cancel()
        rest = [one for one in self._waiting.get(conversation, ()) if one is not call]
        if rest:
            self._waiting[conversation] = rest
        else:
            self._waiting.pop(conversation, None)
