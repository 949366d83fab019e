"""Feishu's open platform as its documentation says it is, on loopback, misbehaving on demand.

Pages (open.feishu.cn): "Get tenant_access_token for a custom app", "Send message", "Reply message", "Edit message",
"Update card sent by the app", "Upload image", "Upload file", "Get the resource files in messages", "Get bot info",
"Frequency control", "Receive events through a long connection", "Message content". The frames of the long connection,
its endpoint and the headers of its handshake are those of Feishu's own SDKs.

Kept to: a token of its own for every call, stale on demand (99991663); within an hour one message for each ``uuid`` of
at most 50 characters; 150 KB of text, 30 KB of a card or post; 20 edits of a post, none of a card that is not shared;
events come again on the next connection until they were answered with code 200.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from kith.channels.feishu.frames import CONTROL, DATA, Frame, decode, encode
from tests.channels.emulators.site import reach
from tests.channels.emulators.stream import PICTURE, Stream, streaming

APP, SECRET, BOT = "cli_a1b2c3", "s3cret", "ou_kith"


class Feishu(Stream):
    """`said` are the app's messages by id, `waiting` the frames of each event."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.gone: set[str] = set()
        self.files: dict[str, bytes] = {"img_1": PICTURE}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.pings = 0
        self.every, self.parts, self.mute = 120, 1, False
        self.refuse: dict[str, str] = {}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/open-apis/auth/v3/tenant_access_token/internal", self.authorise)
        app.router.add_get("/open-apis/bot/v3/info", self.bot)
        app.router.add_post("/open-apis/im/v1/messages", self.send)
        app.router.add_post("/open-apis/im/v1/messages/{name}/reply", self.send)
        app.router.add_put("/open-apis/im/v1/messages/{name}", self.edit)
        app.router.add_patch("/open-apis/im/v1/messages/{name}", self.patch)
        app.router.add_get("/open-apis/im/v1/messages/{name}/resources/{key}", self.resource)
        app.router.add_post("/open-apis/im/v1/images", self.upload)
        app.router.add_post("/open-apis/im/v1/files", self.upload)
        app.router.add_post("/callback/ws/endpoint", self.endpoint)
        app.router.add_get("/ws/v2", self.line)
        return app

    async def authorise(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._trouble("token", request)) is not None:
            return bad
        told = await request.json()
        if (told["app_id"], told["app_secret"]) != (APP, SECRET):
            return _no(10014, "app secret invalid")
        told = {"tenant_access_token": self.renew("t"), "expire": self.lasts}
        return web.json_response({"code": 0, "msg": "ok", **told})

    async def bot(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._refused("bot", request)) is not None:
            return bad
        return web.json_response({"code": 0, "msg": "ok", "bot": {"app_name": "Kith", "open_id": BOT}})

    async def send(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._refused("send", request)) is not None:
            return bad
        told, goal = await request.json(), request.match_info.get("name", "")
        if goal in self.gone:
            return _no(230011, "The message is recalled.")
        if not goal and request.query.get("receive_id_type") != "chat_id":
            return _no(230001, "invalid receive_id_type")
        if (wrong := _content(told, len(await request.read()))) is not None:
            return wrong
        key = told.get("uuid", "")
        if len(key) > 50:
            return _no(230001, "uuid is too long")
        name = self.keys.get(key) if key else None
        if name is None:
            self._number += 1
            name = f"om_said_{self._number}"
            self.said[name] = {**told, "goal": goal, "content": json.loads(told["content"]), "edits": 0}
            self.keys[key] = name
        if self.lost("send", request):
            return web.Response(status=500)
        return web.json_response({"code": 0, "msg": "success", "data": {"message_id": name, "msg_type": "x"}})

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """Posts and texts."""
        if (bad := self._refused("edit", request)) is not None:
            return bad
        told, said = await request.json(), self.said[request.match_info["name"]]
        if said["msg_type"] not in ("text", "post") or told["msg_type"] != said["msg_type"]:
            return _no(230054, "This operation is not supported for this message type.")
        if said["edits"] >= 20:
            return _no(230072, "The message has reached the number of times it can be edited.")
        return self._changed(said, told)

    async def patch(self, request: web.Request) -> web.StreamResponse:
        """Cards."""
        if (bad := self._refused("patch", request)) is not None:
            return bad
        told, said = await request.json(), self.said[request.match_info["name"]]
        shared = [one.get("config", {}).get("update_multi") for one in (said["content"], json.loads(told["content"]))]
        if said["msg_type"] != "interactive" or shared != [True, True]:
            return _no(230001, "This message is not a shared card.")
        return self._changed(said, told)

    def _changed(self, said: dict[str, Any], told: dict[str, Any]) -> web.StreamResponse:
        if (wrong := _content({**said, **told}, len(json.dumps(told, ensure_ascii=False).encode()))) is not None:
            return wrong
        said |= {"content": json.loads(told["content"]), "edits": said["edits"] + 1}
        return web.json_response({"code": 0, "msg": "success", "data": {}})

    async def resource(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._refused("resource", request)) is not None:
            return bad
        key, kind = request.match_info["key"], request.query.get("type")
        if key not in self.files or kind != ("image" if key.startswith("img") else "file"):
            return _no(234003, "File not in msg.")
        mime = "image/png" if kind == "image" else "application/octet-stream"
        return web.Response(body=self.files[key], content_type=mime)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._refused("upload", request)) is not None:
            return bad
        form: dict[str, Any] = dict(await request.post())
        kind = "image" if request.path.endswith("images") else "file"
        data = form[kind].file.read()
        form[kind].file.close()
        if not data or len(data) > (10 if kind == "image" else 30) * 1024 * 1024:
            return _no(234006, "The file size exceed the max value.")
        wanted = {"image": ("image_type", ("message", "avatar")), "file": ("file_type", _FILES)}[kind]
        if form.get(wanted[0]) not in wanted[1]:
            return _no(234001, "Invalid request param.")
        key = f"{'img' if kind == 'image' else 'file'}_up_{len(self.uploads) + 1}"
        self.uploads[key] = {**form, kind: data}
        return web.json_response({"code": 0, "msg": "success", "data": {f"{kind}_key": key}})

    async def endpoint(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._trouble("endpoint", request)) is not None:
            return bad
        told = await request.json()
        if (told["AppID"], told["AppSecret"]) != (APP, SECRET):
            return _no(514, "auth failed")
        self.opened += 1
        url = f"{self.base}/ws/v2?device_id={self.opened}&service_id=33554678&ticket={self.opened}"
        config = {"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 0, "PingInterval": self.every}
        return web.json_response({"code": 0, "msg": "", "data": {"URL": url, "ClientConfig": config}})

    async def line(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=403, headers=self.refuse)
        return await self.converse(request)

    async def push(self, socket: web.WebSocketResponse, name: str) -> None:
        for frame in self.waiting[name]:
            await reach(socket.send_bytes(encode(frame)))

    async def take(self, socket: web.WebSocketResponse, message: WSMessage) -> None:
        if message.type is not WSMsgType.BINARY:
            return
        frame = decode(message.data)
        if frame.method == CONTROL and frame.header("type") == "ping":
            self.pings += 1
            if not self.mute:
                config = json.dumps({"PingInterval": self.every}).encode()
                await socket.send_bytes(encode(Frame(CONTROL, frame.service, (("type", "pong"),), config)))
        elif frame.method == DATA:
            told = json.loads(frame.payload)
            self.answered.append(told)
            if told.get("code") == 200:
                self.waiting.pop(frame.header("message_id"), None)

    async def event(self, kind: str, event: dict[str, Any], copies: int = 1) -> dict[str, Any]:
        """Something happens, and is told to every connection (Feishu: to one of them)."""
        self._number += 1
        header = {"event_id": f"e{self._number}", "event_type": kind, "token": "v-token", "app_id": APP}
        whole = {"schema": "2.0", "header": header, "event": event}
        payload = json.dumps(whole, ensure_ascii=False).encode()
        step = -(-len(payload) // self.parts)
        for copy in range(copies):
            name = f"w{self._number}-{copy}"
            common = (("type", "event"), ("message_id", name), ("trace_id", "t"), ("sum", str(self.parts)))
            self.waiting[name] = [
                Frame(DATA, 33554678, (*common, ("seq", str(part))), payload[part * step : (part + 1) * step], copy + 1)
                for part in range(self.parts)
            ]
            for socket in tuple(self.sockets):
                for frame in reversed(self.waiting.get(name, ())):
                    await reach(socket.send_bytes(encode(frame)))
        return whole

    async def hear(
        self, text: str, chat: str = "oc_1", kind: str = "p2p", user: str = "ou_ann", copies: int = 1, **more: Any
    ) -> str:
        """Somebody writes; the message's id."""
        name = f"om_{self._number + 1}"
        said = {"message_id": name, "chat_id": chat, "chat_type": kind, "message_type": "text",
                "content": json.dumps({"text": text}), **more}  # fmt: skip
        sender = {"sender_id": {"open_id": user}, "sender_type": "user"}
        await self.event("im.message.receive_v1", {"sender": sender, "message": said}, copies)
        return name

    async def drop(self) -> None:
        """Every connection ends."""
        for socket in tuple(self.sockets):
            await socket.close()
        await asyncio.sleep(0)

    def _refused(self, kind: str, request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _no(99991663, "Invalid access token for authorization.")
        return self._trouble(kind, request)

    def _trouble(self, kind: str, request: web.Request) -> web.StreamResponse | None:
        if (now := int(self.next(kind))) == 0:
            return None
        if now == 429:
            return web.json_response(
                {"code": 99991400, "msg": "request trigger frequency limit"},
                status=429, headers={"x-ogw-ratelimit-limit": "100", "x-ogw-ratelimit-reset": "7"},
            )  # fmt: skip
        return web.Response(status=now, text="oops") if 400 <= now < 600 else _no(now, "no")


_FILES = ("opus", "mp4", "pdf", "doc", "xls", "ppt", "stream")


def _content(told: dict[str, Any], size: int) -> web.StreamResponse | None:
    """What is wrong with a message."""
    try:
        content = json.loads(told["content"])
    except ValueError:
        return _no(230001, "content is not a string in json format")
    kind = told["msg_type"]
    if size > (150 if kind == "text" else 30) * 1024:
        return _no(230025, "The length of the message content reaches its limit.")
    if kind == "text" and not content["text"]:
        return _no(230001, "text is empty")
    if kind == "interactive" and "![" in str(content):
        return _no(230099, "Failed to create card content, ext=ErrCode: 11310; ErrMsg: invalid image keys")
    return None


def _no(code: int, said: str) -> web.StreamResponse:
    return web.json_response({"code": code, "msg": said, "error": {"log_id": "x"}}, status=400)


def feishu() -> AbstractAsyncContextManager[Feishu]:
    """A Feishu of one's own."""
    return streaming(Feishu())
