"""iLink's API and CDN as Tencent's client speaks to them ("openclaw-weixin": api, login-qr, types, upload), on
loopback, misbehaving on demand. There is no public description of the server; what is kept to was observed by others:
failures in ``ret`` or in ``errcode`` with status 200, -14 for a session that has expired, -2 for a conversation's token
that is dead (after 90 s) and, with "freq limit", for more than 7 messages in five minutes, messages given again until
a newer ``get_updates_buf`` is asked for, files under AES-128-ECB.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.channels.emulators.site import listening

TOKEN, OWNER = "a-token-of-the-tests", "o9cq80@im.wechat"
LIVES, WINDOW, MOST = 90.0, 300.0, 7


class Ilink:
    """`said` are the bot's messages; `trouble` what the next calls of a path end with: a code, an HTTP status from 400,
    ``drop`` (not done) or ``lose`` (done, and the connection cut). `hold` is how long a question for news waits."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.cursors: list[int] = []
        self.typed: list[dict[str, Any]] = []
        self.notified: list[str] = []
        self.files: dict[str, bytes] = {}
        self.uploads: list[dict[str, Any]] = []
        self.trouble: dict[str, list[int | str]] = {}
        self.tokens: dict[str, float] = {}
        self.sent: dict[str, list[float]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.codes: list[str] = []
        self.asked: list[str] = []
        self.token, self.slot = TOKEN, "ret"
        self.lives, self.most, self.hold = LIVES, MOST, 0.5
        self.without = False  # whether a message without a token is taken
        self.shift = 0.0
        self.url = ""
        self._news = asyncio.Event()

    def now(self) -> float:
        return time.monotonic() + self.shift

    def hear(self, *items: dict[str, Any] | str, user: str = OWNER, number: int = 0, **more: Any) -> str:
        """Somebody writes; the token with which they can be answered."""
        token = secrets.token_hex(8)
        self.tokens[token] = self.now()
        told = [{"type": 1, "text_item": {"text": item}} if isinstance(item, str) else item for item in items]
        self.messages.append({
            "message_id": number or 7_000_000_000_000_000_000 + len(self.messages), "from_user_id": user,
            "message_type": 1, "message_state": 2, "item_list": told, "context_token": token, **more,
        })  # fmt: skip
        self._news.set()
        return token

    async def call(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        body = await request.json()
        if path == "get_bot_qrcode":
            return self._code(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}" or "base_info" not in body:
            return self._no(-14, "session timeout")
        assert request.headers["AuthorizationType"] == "ilink_bot_token" and request.headers["X-WECHAT-UIN"]
        waiting = self.trouble.get(path, [])
        now = waiting.pop(0) if waiting else 0
        if isinstance(now, int) and now >= 400:
            return web.Response(status=now, headers={"Retry-After": "7"} if now == 429 else {})
        if isinstance(now, int) and now:
            return self._no(now, "trouble")
        if now != "drop":
            answer = await self._do(path, body)
        if now:
            assert request.transport is not None
            request.transport.abort()
        return answer if now != "drop" else web.Response()

    async def _do(self, path: str, body: dict[str, Any]) -> web.StreamResponse:
        match path:
            case "msg/notifystart" | "msg/notifystop":
                self.notified.append(path.rpartition("/")[2])
                return web.json_response({"ret": 0})
            case "getupdates":
                return await self._get(body["get_updates_buf"])
            case "sendmessage":
                return self._say(body["msg"])
            case "getconfig":
                return web.json_response({"ret": 0, "typing_ticket": f"ticket of {body['ilink_user_id']}"})
            case "sendtyping":
                self.typed.append(body)
                return web.json_response({"ret": 0})
            case "getuploadurl":
                self.uploads.append(body)
                return web.json_response({"ret": 0, "upload_param": "u p&"})
            case _:
                return web.Response(status=404)

    async def _get(self, cursor: str) -> web.StreamResponse:
        place = int(cursor or 0)
        self.cursors.append(place)
        try:
            async with asyncio.timeout(self.hold):
                while len(self.messages) <= place:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        found = self.messages[place : place + 100]
        cursor = {"get_updates_buf": str(place + len(found))} if found else {"get_updates_buf": ""}
        return web.json_response({"ret": 0, "msgs": found, **cursor, "longpolling_timeout_ms": int(self.hold * 1000)})

    def _say(self, message: dict[str, Any]) -> web.StreamResponse:
        user, token, now = message["to_user_id"], message.get("context_token"), self.now()
        recent = [at for at in self.sent.get(user, []) if at > now - WINDOW]
        if len(recent) >= self.most:
            return self._no(-2, "freq limit")
        if not self.without if token is None else self.tokens.get(token, -1e9) < now - self.lives:
            return self._no(-2, "unknown error")
        if any(len(item.get("text_item", {}).get("text", "")) > 4000 for item in message["item_list"]):
            return self._no(-3001, "too long")
        self.sent[user] = [*recent, now]
        self.said.append({**message, "text": message["item_list"][0].get("text_item", {}).get("text", "")})
        return web.json_response({})

    def _no(self, code: int, reason: str) -> web.StreamResponse:
        return web.json_response({self.slot: code, "errmsg": reason, **({"ret": 0} if self.slot != "ret" else {})})

    def _code(self, request: web.Request) -> web.StreamResponse:
        assert request.query["bot_type"] == "3"
        self.codes.append(f"q{len(self.codes) + 1}")
        return web.json_response(
            {"ret": 0, "qrcode": self.codes[-1], "qrcode_img_content": f"https://w/{self.codes[-1]}"}
        )

    async def status(self, request: web.Request) -> web.StreamResponse:
        """What the phone has done meanwhile: the next of `statuses`, in turn."""
        assert request.query["qrcode"] == self.codes[-1]
        self.asked.append(request.query.get("verify_code", ""))
        return web.json_response({"ret": 0, **(self.statuses.pop(0) if self.statuses else {"status": "wait"})})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        assert request.query["encrypted_query_param"] == "u p&"
        name = f"f{len(self.files)}"
        self.files[name] = await request.read()
        return web.Response(headers={"x-encrypted-param": name})

    async def download(self, request: web.Request) -> web.StreamResponse:
        name = request.query["encrypted_query_param"]
        return web.Response(body=self.files[name]) if name in self.files else web.Response(status=404)


def confirmed(base: str = "") -> dict[str, Any]:
    """The phone has said yes."""
    return {
        "status": "confirmed",
        "bot_token": TOKEN,
        "ilink_bot_id": "b@im.bot",
        "ilink_user_id": OWNER,
        "baseurl": base,
    }


@asynccontextmanager
async def ilink() -> Any:
    """A WeChat of one's own."""
    found = Ilink()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/ilink/bot/{path:.+}", found.call)
    app.router.add_get("/ilink/bot/get_qrcode_status", found.status)
    app.router.add_post("/c2c/upload", found.upload)
    app.router.add_get("/c2c/download", found.download)
    async with listening(app) as found.url:
        yield found
