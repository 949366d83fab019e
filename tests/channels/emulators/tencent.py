"""The APIs of WeCom and of WeChat official accounts as their documentation describes them, and the caller of callbacks.

Tokens live 7,200 s or until `expire`; a text of more than 2,048 bytes is refused with 45002 here (WeCom cuts it off);
`trouble` holds what the next calls fail with: a status of 400 and more, or an errcode.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kith.channels.kit import Seal
from kith.core.channel import Hook

OWNER, SECRET, TOKEN = "wx5823bf96d3bd56c7", "s3cret", "QDG6eK"
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
SEAL = Seal(TOKEN, KEY, OWNER)
PICTURE = b"\xff\xd8\xff\xe0 a picture"


class Tencent:
    """Both platforms: which paths are asked tells which one it is."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.stored: dict[str, tuple[str, str, bytes]] = {}
        self.tokens = 0
        self.good = ""
        self.trouble: list[int] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/cgi-bin/gettoken", self.token)
        app.router.add_get("/cgi-bin/token", self.token)
        app.router.add_get("/cgi-bin/get_api_domain_ip", self.addresses)
        app.router.add_get("/cgi-bin/media/get", self.media)
        app.router.add_post("/cgi-bin/media/upload", self.upload)
        app.router.add_post("/cgi-bin/message/send", self.send)
        app.router.add_post("/cgi-bin/message/custom/send", self.send)
        return app

    def expire(self) -> None:
        """The token is not good any more, whatever its time."""
        self.good = "another"

    async def token(self, request: web.Request) -> web.Response:
        query = request.query
        if query.get("corpsecret", query.get("secret")) != SECRET or OWNER not in query.values():
            return web.json_response({"errcode": 40001, "errmsg": "invalid credential"})
        self.tokens += 1
        self.good = f"token-{self.tokens}"
        return web.json_response({"access_token": self.good, "expires_in": 7200})

    async def addresses(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"ip_list": ["192.0.2.1"]})

    async def media(self, request: web.Request) -> web.Response:
        if request.query.get("media_id") != "media_1":
            return web.json_response({"errcode": 40007, "errmsg": "invalid media_id"})
        return self._refused(request) or web.Response(body=PICTURE, content_type="image/jpeg")

    async def upload(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        field: Any = (await request.post())["media"]
        kind, data = request.query["type"], field.file.read()
        if len(data) <= 5 or (kind == "image" and field.content_type not in ("image/jpeg", "image/png")):
            return web.json_response({"errcode": 40006, "errmsg": "invalid media"})
        self.stored[f"up_{len(self.stored)}"] = (kind, field.filename, data)
        return web.json_response({"errcode": 0, "type": kind, "media_id": f"up_{len(self.stored) - 1}"})

    async def send(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        body = await request.json()
        if body["msgtype"] != "text":
            if self.stored.get(body[body["msgtype"]]["media_id"], ("",))[0] != body["msgtype"]:
                return web.json_response({"errcode": 40007, "errmsg": "invalid media_id"})
        elif len(body["text"]["content"].encode()) > 2048:
            return web.json_response({"errcode": 45002, "errmsg": "content size out of limit"})
        self.sent.append(body)
        return web.json_response({"errcode": 0, "errmsg": "ok", "msgid": f"r{len(self.sent)}"})

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.trouble and (code := self.trouble.pop(0)):
            if 400 <= code < 600:
                return web.Response(status=code, headers={"Retry-After": "7"} if code == 429 else {})
            return web.json_response({"errcode": code, "errmsg": "trouble"})
        if request.query.get("access_token") != self.good:
            return web.json_response({"errcode": 42001, "errmsg": "access_token expired"})
        return None


def call(letter: str, *, stamp: str = "1700000000", nonce: str = "n1", seal: Seal = SEAL) -> Hook:
    """A letter sealed and posted as the platform does."""
    cipher = seal.close(letter.encode())
    query = {"timestamp": stamp, "nonce": nonce, "msg_signature": seal.sign(stamp, nonce, cipher)}
    query |= {"signature": seal.sign(stamp, nonce), "encrypt_type": "aes"}
    return Hook("POST", query=query, body=f"<xml><Encrypt><![CDATA[{cipher}]]></Encrypt></xml>".encode())
