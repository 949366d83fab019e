"""DingTalk's API and Stream mode as their documentation says they are, on loopback, misbehaving on demand.

Pages (open.dingtalk.com): "Stream mode protocol", "Get the access token of an internal app", "Batch send messages of
robots in direct chats", "Robots send group messages", "Message types of enterprise robots", "Upload media files",
"Download files received by robots", "Robot receives messages". The frames are those of DingTalk's own SDK.

Kept to: a ticket opens one connection, a token per app (stale on demand), 15,000 bytes of ``msgParam``, 20 MB of a file
and 2 MB of a voice of known kinds; a message comes again, under another frame, until it was answered with code 200.
"""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from tests.channels.emulators.site import reach
from tests.channels.emulators.stream import PICTURE, Stream, streaming

APP, SECRET = "dingue4kfzdxbyn0pjqd", "s3cret"
TOPIC = "/v1.0/im/bot/messages/get"
KEYS = {
    "sampleText": {"content"}, "sampleMarkdown": {"title", "text"}, "sampleImageMsg": {"photoURL"},
    "sampleAudio": {"mediaId", "duration"}, "sampleFile": {"mediaId", "fileName", "fileType"},
}  # fmt: skip
UPLOADS = {"image": (20, ("jpg", "gif", "png", "bmp")), "voice": (2, ("amr", "mp3", "wav")),
           "file": (20, ("doc", "docx", "xls", "xlsx", "ppt", "pptx", "zip", "pdf", "rar"))}  # fmt: skip


class Dingtalk(Stream):
    """`said` are the robot's messages, `waiting` those of people by their own ids."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {"code_1": PICTURE}
        self.uploads: dict[str, tuple[str, str, bytes]] = {}
        self.system: list[dict[str, Any]] = []
        self.tickets: set[str] = set()
        self.strangers, self.flooded = {"nobody"}, set[str]()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1.0/oauth2/accessToken", self.authorise)
        app.router.add_post("/v1.0/gateway/connections/open", self.open)
        app.router.add_get("/connect", self.connect)
        app.router.add_post("/v1.0/robot/oToMessages/batchSend", self.send)
        app.router.add_post("/v1.0/robot/groupMessages/send", self.send)
        app.router.add_post("/robot/sendBySession", self.session)
        app.router.add_post("/media/upload", self.upload)
        app.router.add_post("/v1.0/robot/messageFiles/download", self.download)
        app.router.add_get("/files/{name}", self.file)
        return app

    async def authorise(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._trouble("token")) is not None:
            return bad
        told = await request.json()
        if (told["appKey"], told["appSecret"]) != (APP, SECRET):
            return _no("invalidClientIdOrSecret", 400)
        return web.json_response({"accessToken": self.renew("token"), "expireIn": self.lasts})

    async def open(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._trouble("open")) is not None:
            return bad
        told = await request.json()
        if (told["clientId"], told["clientSecret"]) != (APP, SECRET):
            return _no("authFailed", 401)
        if {"type": "CALLBACK", "topic": TOPIC} not in told["subscriptions"]:
            return _no("invalidSubscriptions", 400)
        self.opened += 1
        ticket = f"t+/{self.opened}="
        self.tickets.add(ticket)
        return web.json_response({"endpoint": f"{self.base}/connect", "ticket": ticket})

    async def connect(self, request: web.Request) -> web.StreamResponse:
        if (ticket := request.query.get("ticket", "")) not in self.tickets:
            return web.Response(status=401)
        self.tickets.discard(ticket)  # for one connection only
        return await self.converse(request)

    async def push(self, socket: web.WebSocketResponse, name: str) -> None:
        self._number += 1
        headers = {"appId": "a", "connectionId": "c", "contentType": "application/json", "time": "1769851697756",
                   "messageId": f"f{self._number}/{name}", "topic": TOPIC}  # fmt: skip
        data = json.dumps(self.waiting[name], ensure_ascii=False)
        await reach(socket.send_json({"specVersion": "1.0", "type": "CALLBACK", "headers": headers, "data": data}))

    async def take(self, socket: web.WebSocketResponse, message: WSMessage) -> None:
        if message.type is not WSMsgType.TEXT:
            return
        told = json.loads(message.data)
        name = told["headers"]["messageId"]
        if not name.startswith("f"):
            self.system.append(told)
        else:
            self.answered.append(told)
            if told["code"] == 200:
                self.waiting.pop(name.partition("/")[2], None)

    async def hear(self, text: str, person: str = "ann", group: str = "", copies: int = 1, **more: Any) -> str:
        """Somebody writes; the message's id."""
        self._number += 1
        name = f"msg{self._number}=="
        self.waiting[name] = {
            "msgId": name, "conversationId": group or f"cid-{person}", "conversationType": "2" if group else "1",
            "senderStaffId": person, "senderId": f"$:{person}", "senderNick": person.title(), "chatbotUserId": "$:kith",
            "isInAtList": True, "msgtype": "text", "text": {"content": text}, "createAt": 1769851697611,
            "sessionWebhook": f"{self.gate or self.url}/robot/sendBySession?session={group or person}",
            "sessionWebhookExpiredTime": 4_000_000_000_000, **more,
        }  # fmt: skip
        for _ in range(copies):
            for socket in tuple(self.sockets):
                if name in self.waiting:
                    await self.push(socket, name)
        return name

    async def tell(self, topic: str, data: dict[str, Any]) -> None:
        """A system frame."""
        headers = {"contentType": "application/json", "messageId": f"s{len(self.system)}", "topic": topic, "time": "1"}
        for socket in tuple(self.sockets):
            await socket.send_json({"specVersion": "1.0", "type": "SYSTEM", "headers": headers,
                                    "data": json.dumps(data)})  # fmt: skip

    async def send(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._refused("send", request.headers.get("x-acs-dingtalk-access-token"))) is not None:
            return bad
        told = await request.json()
        param = json.loads(told["msgParam"])
        if told["robotCode"] != APP:
            return _no("invalidParameter.robotCode.notExsit", 400)
        if set(param) != KEYS.get(told["msgKey"]) or len(told["msgParam"].encode()) > 15_000:
            return _no("invalidParameter.msgParam.invalid", 400)
        people = told.get("userIds", [])
        wrong = [one for one in people if one in self.strangers]
        flooded = [one for one in people if one in self.flooded]
        if not wrong and not flooded:
            where = people[0] if people else told["openConversationId"]
            self.said.append({"to": where, "key": told["msgKey"], **param})
        self.lost("send", request)
        answer: dict[str, Any] = {"processQueryKey": f"key-{len(self.said)}"}
        if people:
            answer |= {"invalidStaffIdList": wrong, "flowControlledStaffIdList": flooded}
        return web.json_response(answer)

    async def session(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._trouble("session")) is not None:
            return bad
        told = await request.json()
        said = told.get("markdown") or {"text": told["text"]["content"]}
        self.said.append({"to": request.query["session"], "key": "session", **said})
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("access_token") != self.token:
            return web.json_response({"errcode": 40014, "errmsg": "不合法的access_token"})
        kind = request.query.get("type", "")
        form = await request.post()
        field: Any = form["media"]
        data = field.file.read()
        field.file.close()
        most, endings = UPLOADS[kind]
        if len(data) > most << 20 or field.filename.rpartition(".")[2].lower() not in endings:
            return web.json_response({"errcode": 40004, "errmsg": "不合法的媒体文件类型"})
        name = f"@media_{len(self.uploads) + 1}"
        self.uploads[name] = kind, field.filename, data
        return web.json_response({"errcode": 0, "errmsg": "ok", "media_id": name, "created_at": 1, "type": kind})

    async def download(self, request: web.Request) -> web.StreamResponse:
        if (bad := self._refused("download", request.headers.get("x-acs-dingtalk-access-token"))) is not None:
            return bad
        told = await request.json()
        if told["robotCode"] != APP or told["downloadCode"] not in self.files:
            return _no("invalidParameter.downloadCode", 400)
        return web.json_response({"downloadUrl": f"{self.gate or self.url}/files/{told['downloadCode']}"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self.files[request.match_info["name"]])

    def _refused(self, kind: str, token: str | None) -> web.StreamResponse | None:
        return _no("InvalidAuthentication", 401) if token != self.token else self._trouble(kind)

    def _trouble(self, kind: str) -> web.StreamResponse | None:
        if (now := self.next(kind)) == 429:
            return web.json_response({"code": "Throttling"}, status=429, headers={"retry-after": "7"})
        if isinstance(now, int):
            return web.Response(status=now, text="oops") if now else None
        if now.isdigit():
            return web.json_response({"errcode": int(now), "errmsg": "no"})
        return _no(now, 403 if now.startswith("Forbidden") else 400)


def _no(code: str, status: int) -> web.StreamResponse:
    return web.json_response({"code": code, "requestid": "r", "message": "no"}, status=status)


def dingtalk() -> AbstractAsyncContextManager[Dingtalk]:
    """A DingTalk of one's own."""
    return streaming(Dingtalk())
