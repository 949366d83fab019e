"""Meta's WhatsApp Cloud API as its documentation says it is, on loopback, misbehaving on demand.

Pages of developers.facebook.com, WhatsApp Business Platform: "Messages API", "Text messages", "Media", "Supported media
types", "Typing indicators", "Webhooks: messages webhook reference" (text, group, status …), "Create a webhook
endpoint", "Error codes", "Throughput" (pair rate limits).

Kept to: 4,096 characters of text, the media types and sizes, an address for a file that wants the token too, bursts of
45 messages to one person in 6 seconds, the 24-hour window told at once or afterwards, calls signed over their bytes and
made again until they are answered with 200, ``biz_opaque_callback_data`` given back with each status.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web

from tests.channels.emulators.site import listening

NUMBER, TOKEN, SECRET, VERIFY = "106540352242922", "EAAJB-TEST", "the-secret-of-the-app", "a word of our own"
OURS = "15550783881"
MIMES = {
    "audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "text/plain", "application/pdf", "image/jpeg",
    "image/png", "image/webp", "video/3gpp", "video/mp4",
}  # fmt: skip
KINDS = {"image": 5, "audio": 16, "video": 16, "document": 100}  # and the largest, in MiB


class Whatsapp:
    """`said` are the messages of the business, `trouble` the answers to its next messages: a status of HTTP, a code of
    the Graph API, ``drop`` or ``lose``. Whoever is in `closed` has been silent for a day."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.read: list[dict[str, Any]] = []
        self.files: dict[str, tuple[bytes, str]] = {}
        self.trouble: list[int | str] = []
        self.closed: set[str] = set()
        self.late = True  # the window is told of by a status; else at once
        self.token = TOKEN
        self.url = self.hook = ""
        self.elsewhere = ""  # where files lie, if not here
        self.answers: list[int] = []
        self.statuses = ("sent", "delivered", "read")
        self._calls: deque[dict[str, Any]] = deque()
        self._news = asyncio.Event()
        self._times: dict[str, deque[float]] = {}
        self._number = 0

    def message(self, text: str = "", sender: str = "16505551234", kind: str = "text", **more: Any) -> dict[str, Any]:
        """What somebody writes."""
        self._number += 1
        words = {"text": {"body": text}} if kind == "text" else {}
        return {
            "from": sender, "id": f"wamid.{self._number:08}", "timestamp": str(int(time.time())), "type": kind,
            **words, **more,
        }  # fmt: skip

    def hear(self, text: str = "", sender: str = "16505551234", kind: str = "text", **more: Any) -> str:
        """Somebody writes, and we are called; the message's id."""
        message = self.message(text, sender, kind, **more)
        self.tell(self.value(messages=[message], contacts=[{"profile": {"name": "Ann"}, "wa_id": sender}]))
        return str(message["id"])

    def value(self, **more: Any) -> dict[str, Any]:
        about = {"display_phone_number": OURS, "phone_number_id": NUMBER}
        return {"messaging_product": "whatsapp", "metadata": about, **more}

    def tell(self, *values: dict[str, Any]) -> None:
        """One call with an entry for each value."""
        entries = [{"id": "1", "changes": [{"field": "messages", "value": value}]} for value in values]
        self._calls.append({"object": "whatsapp_business_account", "entry": entries})
        self._news.set()

    @property
    def waiting(self) -> int:
        """Calls that were not answered with 200."""
        return len(self._calls)

    async def run(self) -> None:
        """Make the calls; one that failed goes to the end of the row."""
        async with aiohttp.ClientSession() as session:
            while True:
                while not (self._calls and self.hook):
                    self._news.clear()
                    await self._news.wait()
                call = self._calls[0]
                status = 0
                with suppress(aiohttp.ClientError, TimeoutError):
                    status = await self.call(session, json.dumps(call).encode())
                self._calls.popleft()
                if status != 200:
                    self._calls.append(call)
                    await asyncio.sleep(0.02)

    async def call(self, session: aiohttp.ClientSession, body: bytes, secret: str = SECRET) -> int:
        """One signed call; how it was answered."""
        signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signed}", "Content-Type": "application/json"}
        async with session.post(self.hook, data=body, headers=headers) as answer:
            self.answers.append(answer.status)
            return answer.status

    async def about(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        name = request.match_info["name"]
        if name == NUMBER:
            return web.json_response({"id": NUMBER, "display_phone_number": "+1 555-078-3881"})
        if name not in self.files:
            return _no(100, "Unsupported get request. Object does not exist", 400)
        data, mime = self.files[name]
        return web.json_response({
            "messaging_product": "whatsapp", "id": name, "mime_type": mime, "file_size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(), "url": f"{self.elsewhere or self.url}/attachments/{name}",
        })  # fmt: skip

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if self._refused(request) is not None or name not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[name][0])

    async def media(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        form = await request.post()
        field = form["file"]
        assert isinstance(field, web.FileField)
        data = field.file.read()
        field.file.close()
        if form["messaging_product"] != "whatsapp" or form["type"] not in MIMES or field.content_type not in MIMES:
            return _no(131053, "Media upload error", 400)
        name = f"media{len(self.files)}"
        self.files[name] = data, field.content_type
        return web.json_response({"id": name})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        body = await request.json()
        if body.get("status") == "read":
            self.read.append(body)
            return web.json_response({"success": True})
        now = self.trouble.pop(0) if self.trouble else 0
        if now == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if now in (429, 500, 503):
            return web.Response(status=int(now), headers={"Retry-After": "7"}, text="oops")
        if isinstance(now, int) and now:
            return _no(now, "Trouble", 400)
        answer = self._say(body)
        if now == "lose":  # done, but nobody learns of it
            assert request.transport is not None
            request.transport.abort()
        return answer

    def _say(self, body: dict[str, Any]) -> web.StreamResponse:
        kind, who = body["type"], body.get("to") or body["recipient"]
        if body["messaging_product"] != "whatsapp" or body["recipient_type"] not in ("individual", "group"):
            return _no(100, "Invalid parameter", 400)
        if kind == "text":
            text = body["text"]["body"]
            if not text.strip() or len(text.encode("utf-16-le")) // 2 > 4096:
                return _no(100, "Param text['body'] must be at most 4096 characters long.", 400)
        elif kind not in KINDS or len(self.files.get(body[kind]["id"], (b"",))[0]) not in range(1, KINDS[kind] << 20):
            return _no(131053, "Media upload error", 400)
        if self._hurried(who):
            return _no(131056, "(Business Account, Consumer Account) pair rate limit hit", 400)
        if who in self.closed and not self.late:
            return _no(131047, "Re-engagement message", 400)
        self._number += 1
        name = f"wamid.OURS{self._number:08}"
        self._status(who, name, body.get("biz_opaque_callback_data", ""))
        if who not in self.closed:
            self.said.append({**body, "id": name})
        return web.json_response({"messaging_product": "whatsapp", "messages": [{"id": name}]})

    def _status(self, who: str, name: str, key: str) -> None:
        about = {"id": name, "recipient_id": who, "timestamp": str(int(time.time())), "biz_opaque_callback_data": key}
        if who in self.closed:
            error = {"code": 131047, "title": "Re-engagement message"}
            self.tell(self.value(statuses=[{**about, "status": "failed", "errors": [error]}]))
        else:
            self.tell(*(self.value(statuses=[{**about, "status": state}]) for state in self.statuses))

    def _hurried(self, who: str) -> bool:
        times, now = self._times.setdefault(who, deque()), time.monotonic()
        while times and times[0] < now - 6:
            times.popleft()
        times.append(now)
        return len(times) > 45

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        good = request.headers.get("Authorization") == f"Bearer {self.token}"
        return None if good else _no(190, "Error validating access token: Session has expired", 401)


def _no(code: int, message: str, status: int) -> web.StreamResponse:
    error = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "fbtrace_id": "A"}
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def whatsapp() -> Any:
    """A WhatsApp of one's own. It calls `hook` once that is set."""
    found = Whatsapp()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v24.0/{number}/messages", found.messages)
    app.router.add_post("/v24.0/{number}/media", found.media)
    app.router.add_get("/v24.0/{name}", found.about)
    app.router.add_get("/attachments/{name}", found.file)
    async with listening(app) as found.url:
        calling = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
