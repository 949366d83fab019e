"""QQ's open platform for bots (API v2) on loopback, misbehaving on demand.

Written from the pages "接口调用与鉴权", "事件订阅与通知", "安全和授权", "发送消息", "富媒体消息", "消息收发 · 事件"
and the error codes ("openapi", "websocket") of bot.q.qq.com/wiki. Kept to: access tokens live 7,200 s, or until
`expire`; a message is answered five times at most (22009) and for a while (304027, here: until it is in `late`), each
answer with a number of its own (40054005); what answers nothing is refused unless `unasked` are left; links that were
not registered are refused (304003); a message of the kind 7 wants a text and a file that was uploaded for the same kind
of conversation.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kith.core.channel import Hook
from tests.channels.emulators.gateway import Gateway, Session
from tests.channels.emulators.site import listening

APP, SECRET = "11111111", "DG5g3B4j9X2KOErG"
ANN, GROUP = "E4F4AEA33253A2797FB897C50B81D7ED", "C9F778FE6ADF9D1D1DBE395BF744A33A"


class Qq(Gateway):
    """`said` are the messages sent; `trouble` holds what the next ones meet: a status, a code of the platform, or
    ``drop``, ``lose`` (sent, but the answer is lost)."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[dict[str, Any]] = []
        self.trouble: list[int | str] = []
        self.files: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, dict[str, Any]]] = {}
        self.asked: dict[str, str] = {}
        self.late: set[str] = set()
        self.unasked = 0
        self.tokens = 0
        self.good = ""
        self.close = 0
        self.gone = 4006
        self._answers: dict[str, set[int]] = {}
        self._count = itertools.count(1)

    def admit(self, body: dict[str, Any]) -> int:
        return self.close or (0 if body["token"] == f"QQBot {self.good}" else 4004)

    def owner(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"id": "6158788878435714165", "username": "Kith", "bot": True}

    def ready(self, session: Session) -> dict[str, Any]:
        return {"version": 1, "session_id": session.name, "user": session.user, "shard": [0, 1]}

    async def lost(self, socket: web.WebSocketResponse) -> None:
        await socket.close(code=self.gone)

    def expire(self) -> None:
        """The token is not good any more, whatever its time."""
        self.good = "another"

    def message(self, text: str, *, user: str = ANN, group: str = "", **more: Any) -> dict[str, Any]:
        """What somebody writes, as an event."""
        number = f"ROBOT1.0_{next(self._count)}!"
        self.asked[number] = f"groups/{group}" if group else f"users/{user}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        body: dict[str, Any] = {"id": number, "content": text, "timestamp": stamp, **more}
        if group:
            body |= {"author": {"member_openid": user}, "group_openid": group}
        else:
            body |= {"author": {"user_openid": user}}
        return {"op": 0, "t": "GROUP_AT_MESSAGE_CREATE" if group else "C2C_MESSAGE_CREATE", "d": body}

    async def hear(self, text: str, **more: Any) -> str:
        """Somebody writes; the message's id."""
        event = self.message(text, **more)
        await self.dispatch(event["t"], event["d"])
        return str(event["d"]["id"])

    async def give(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if (body.get("appId"), body.get("clientSecret")) != (APP, SECRET):
            return web.json_response({"code": 100016, "message": "invalid appid or secret"})
        self.tokens += 1
        self.good = f"token-{self.tokens}"
        return web.json_response({"access_token": self.good, "expires_in": "7200"})

    @web.middleware
    async def known(self, request: web.Request, handler: Any) -> web.StreamResponse:
        guarded = request.path.startswith(("/v2/", "/gateway", "/users"))
        if guarded and request.headers.get("Authorization") != f"QQBot {self.good}":
            return _no(401, 11244, "token not exist or expire")
        return await handler(request)

    async def bot(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.limits())

    async def me(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.owner({}))

    async def upload(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["file_type"] == 4 and not body.get("file_name"):
            return _no(400, 50035, "file_name")
        info = f"file-{next(self._count)}"
        self.uploads[info] = (request.match_info["kind"], body)
        return web.json_response({"file_uuid": info, "file_info": info, "ttl": 60})

    async def send(self, request: web.Request) -> web.StreamResponse:
        now = self.trouble.pop(0) if self.trouble else 0
        assert request.transport is not None
        if now == "drop":
            request.transport.abort()
        if isinstance(now, int) and now:
            if now >= 1000:
                return _no(400, now, "trouble")
            return _no(now, 0, "trouble", {"Retry-After": "7"} if now == 429 else {})
        answer = self._take(f"{request.match_info['kind']}/{request.match_info['name']}", await request.json())
        if now == "lose":
            request.transport.abort()
        return answer

    def _take(self, place: str, body: dict[str, Any]) -> web.StreamResponse:
        text = body.get("content") or body.get("markdown", {}).get("content") or ""
        media, asked = body.get("media"), body.get("msg_id")
        if not text or (body["msg_type"] == 7) != bool(media):
            return _no(400, 50006, "message is empty")
        if re.search(r"https?://|\w\.(com|org|net)\b", text):
            return _no(400, 304003, "url not allowed")
        if media and self.uploads.get(media["file_info"], ("",))[0] != place.partition("/")[0]:
            return _no(400, 304082, "upload media info fail")
        if asked is None:
            if self.unasked < 1:
                return _no(400, 22009, "msg limit exceed")
            self.unasked -= 1
        else:
            given = self._answers.setdefault(asked, set())
            if self.asked.get(asked) != place:
                return _no(400, 304026, "msg id error")
            if asked in self.late:
                return _no(400, 304027, "msg expire")
            if body.get("msg_seq", 1) in given:
                return _no(400, 40054005, "消息被去重，请检查请求msgseq")
            if len(given) >= 5:
                return _no(400, 22009, "msg limit exceed")
            given.add(body.get("msg_seq", 1))
        file = base64.b64decode(self.uploads[media["file_info"]][1]["file_data"]) if media else b""
        self.said.append({**body, "place": place, "text": text, "file": file})
        return web.json_response({"id": f"ROBOT1.0_r{len(self.said)}", "timestamp": "2023-11-06T13:37:18+08:00"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        data = self.files.get(request.match_info["name"])
        return web.Response(body=data) if data is not None else web.Response(status=404)


def call(event: Any, *, secret: str = SECRET, at: float | None = None, raw: bytes | None = None) -> Hook:
    """An event signed and posted as QQ does."""
    key = Ed25519PrivateKey.from_private_bytes((secret * 32).encode()[:32])
    body = raw if raw is not None else json.dumps({"id": "e1", **event}, ensure_ascii=False).encode()
    stamp = str(int(time.time() if at is None else at))
    headers = {
        "x-signature-ed25519": key.sign(stamp.encode() + body).hex(), "x-signature-timestamp": stamp,
        "x-bot-appid": APP, "user-agent": "QQBot-Callback",
    }  # fmt: skip
    return Hook("POST", headers=headers, body=body)


def _no(status: int, code: int, text: str, headers: dict[str, str] | None = None) -> web.StreamResponse:
    return web.json_response({"code": code, "err_code": code, "message": text}, status=status, headers=headers)


@asynccontextmanager
async def qq() -> Any:
    """A QQ of one's own."""
    found = Qq()
    app = web.Application(client_max_size=32 * 1024 * 1024, middlewares=[found.known])
    app.router.add_post("/app/getAppAccessToken", found.give)
    app.router.add_get("/gateway/bot", found.bot)
    app.router.add_get("/users/@me", found.me)
    app.router.add_post("/v2/{kind:users|groups}/{name}/messages", found.send)
    app.router.add_post("/v2/{kind:users|groups}/{name}/files", found.upload)
    app.router.add_get("/download/{name}", found.file)
    app.router.add_get("/websocket", found.link)
    async with listening(app) as found.url:
        found.gateway = f"ws{found.url[4:]}/websocket"
        try:
            yield found
        finally:
            await found.leave(1001)
