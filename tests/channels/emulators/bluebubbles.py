"""The BlueBubbles server's REST API and webhooks as its documentation says they are, misbehaving on demand.

Pages of docs.bluebubbles.app: "REST API & Webhooks", "Webhook Management API", and the server's Postman collection
(Message, Attachment, Chat, Server).

Kept to: the password in the query (or a bearer token), the format of answers and errors, at most 1,000 messages a page,
``tempGuid`` wanted with AppleScript and refused while it is being sent (and forgotten afterwards), replies only through
the Private API, ``Attachment not provided or was empty``, webhooks whose URLs are unique and that are called once,
answered or not.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.channels.emulators.site import listening
from tests.channels.rig import Stage

PASSWORD = "the password & more"


class BlueBubbles:
    """`messages` is what the Mac has; `trouble` holds the answers to the next sends: a status of HTTP, ``drop``,
    ``lose`` (done, but nobody learns of it), ``slow`` (done after the answer was given up) or ``absent``."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.trouble: list[int | str] = []
        self.signs: list[str] = []
        self.hooks: list[dict[str, Any]] = []
        self.private = True
        self.password = PASSWORD
        self.header = False
        self.deaf = False  # webhooks are lost
        self.copies = 1
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.slow = asyncio.Event()
        self._sending: set[str] = set()
        self._calls: deque[dict[str, Any]] = deque()
        self._news = asyncio.Event()
        self._latest = 0

    @property
    def said(self) -> list[dict[str, Any]]:
        """The messages of this Mac's owner."""
        return [one for one in self.messages if one["isFromMe"] and not one["error"]]

    def message(self, text: str, chat: str, *, own: bool = False, **more: Any) -> dict[str, Any]:
        self._latest = max(self._latest + 1, int(time.time() * 1000))
        group = ";+;" in chat
        author = (
            None if own else {"address": "+15550000001" if group else chat.rpartition(";")[2], "service": "iMessage"}
        )
        return {
            "guid": str(uuid.uuid4()).upper(), "text": text, "handle": author, "attachments": [], "error": 0,
            "dateCreated": self._latest, "isFromMe": own, "itemType": 0, "associatedMessageGuid": None,
            "associatedMessageType": None, "threadOriginatorGuid": None, "dateEdited": None, "dateRetracted": None,
            "chats": [{"guid": chat, "style": 43 if group else 45, "chatIdentifier": chat.rpartition(";")[2]}], **more,
        }  # fmt: skip

    def hear(self, text: str, chat: str = "iMessage;-;+15551234567", **more: Any) -> str:
        """Somebody writes; the message's id."""
        found = self.message(text, chat, **more)
        self.messages.append(found)
        for _ in range(self.copies):
            self.tell("new-message", found)
        return str(found["guid"])

    def change(self, guid: str, **fields: Any) -> None:
        """A message is edited, or taken back."""
        found = next(one for one in self.messages if one["guid"] == guid)
        found.update(fields)
        self.tell("updated-message", found)

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        if not self.deaf:
            self._calls.append({"type": kind, "data": data})
            self._news.set()

    async def run(self) -> None:
        """Make the calls, each once."""
        async with aiohttp.ClientSession() as session:
            while True:
                while not (self._calls and self.hooks):
                    self._news.clear()
                    await self._news.wait()
                call = self._calls.popleft()
                for hook in tuple(self.hooks):
                    if call["type"] in hook["events"] or "*" in hook["events"]:
                        with suppress(aiohttp.ClientError, TimeoutError):
                            async with session.post(hook["url"], json=call) as answer:
                                self.answers.append(answer.status)

    @web.middleware
    async def door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        query = next((request.query[key] for key in ("guid", "password", "token") if key in request.query), "")
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ") if self.header else query
        return await handler(request) if shown == self.password else _no(401, "Authentication Error", "Unauthorized")

    async def ping(self, request: web.Request) -> web.StreamResponse:
        return _yes("pong")

    async def info(self, request: web.Request) -> web.StreamResponse:
        return _yes({
            "os_version": "15.1", "server_version": "1.9.9", "private_api": self.private,
            "helper_connected": self.private, "detected_icloud": "kith@example.com", "detected_imessage": None,
        })  # fmt: skip

    async def query(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if not 1 <= body.get("limit", 100) <= 1000 or body.get("sort", "DESC") not in ("ASC", "DESC"):
            return _no(400, "Validation Error", "The limit must be between 1 and 1000")
        found = [one for one in self.messages if one["dateCreated"] >= body.get("after", 0)]
        if chat := body.get("chatGuid"):
            found = [one for one in found if one["chats"][0]["guid"] == chat]
        found.sort(key=lambda one: one["dateCreated"], reverse=body.get("sort") != "ASC")
        return _yes(found[body.get("offset", 0) :][: body.get("limit", 100)])

    async def text(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("message", "").strip():
            return _no(400, "Validation Error", "A 'message' is required when sending via AppleScript")
        return await self._send(body, text=body["message"])

    async def attachment(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post())
        field = form.pop("attachment")
        assert isinstance(field, web.FileField)
        data = field.file.read()
        field.file.close()
        if not data or not form.get("name"):
            return _no(400, "Validation Error", "Attachment not provided or was empty!")
        guid = str(uuid.uuid4()).upper()
        self.files[guid] = data
        file = {"guid": guid, "transferName": form["name"], "mimeType": field.content_type, "totalBytes": len(data)}
        return await self._send(form, text="\ufffc", attachments=[file])

    async def _send(self, body: dict[str, Any], **said: Any) -> web.StreamResponse:
        key, method = body.get("tempGuid", ""), body.get("method", "apple-script")
        if "selectedMessageGuid" in body:
            method, said["threadOriginatorGuid"] = "private-api", body["selectedMessageGuid"]
        if method == "apple-script" and not key:
            return _no(400, "Validation Error", "A 'tempGuid' is required when sending via AppleScript")
        if method == "private-api" and not self.private:
            return _no(500, "iMessage Error", "iMessage Private API is not enabled!")
        if key in self._sending:
            return _no(400, "Validation Error", f"Message is already queued to be sent! (Temp GUID: {key})")
        now = self.trouble.pop(0) if self.trouble else 0
        if now == "drop":
            return _Drop()
        if isinstance(now, int) and now:
            return web.json_response({"status": now, "message": "oops"}, status=now, headers={"Retry-After": "7"})
        self._sending.add(key)
        try:
            if now == "slow":
                await asyncio.shield(self.slow.wait())
            found = self.message(said.pop("text"), body["chatGuid"], own=True, **said)
            found["error"] = 22 if now == "absent" else 0
            self.messages.append(found)
            self.tell("new-message", {**found, "tempGuid": key})
        finally:
            self._sending.discard(key)
        if now == "absent":
            return _no(500, "iMessage Error", "Failed to send message! See attached message error code.", found)
        return _Drop() if now == "lose" else _yes({**found, "tempGuid": key})

    async def download(self, request: web.Request) -> web.StreamResponse:
        guid = request.match_info["guid"]
        if guid not in self.files:
            return _no(500, "Server Error", "Attachment does not exist in disk!")
        return web.Response(body=self.files[guid], content_type="image/jpeg")

    async def sign(self, request: web.Request) -> web.StreamResponse:
        if not self.private:
            return _no(500, "iMessage Error", "iMessage Private API is not enabled!")
        self.signs.append(f"{request.match_info['what']} {request.match_info['chat']}")
        return _yes(None)

    async def listed(self, request: web.Request) -> web.StreamResponse:
        return _yes(self.hooks)

    async def enlist(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if all(one["url"] != body["url"] for one in self.hooks):
            self.hooks.append({"id": max([0, *(one["id"] for one in self.hooks)]) + 1, **body})
            self._news.set()
        return _yes(self.hooks[-1])

    async def delist(self, request: web.Request) -> web.StreamResponse:
        self.hooks = [one for one in self.hooks if one["id"] != int(request.match_info["id"])]
        return _yes(None)


class _Drop(web.Response):
    """An answer that never comes: the connection is reset in its place."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        assert request.transport is not None
        request.transport.abort()
        return await super().prepare(request)


def _yes(data: Any) -> web.StreamResponse:
    return web.json_response({"status": 200, "message": "Success", "data": data})


def _no(status: int, kind: str, message: str, data: Any = None) -> web.StreamResponse:
    error = {"type": kind, "message": message}
    return web.json_response({"status": status, "message": "Error", "error": error, "data": data}, status=status)


@asynccontextmanager
async def bluebubbles() -> Any:
    """A Mac of one's own."""
    found = BlueBubbles()
    app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[found.door])
    app.router.add_get("/api/v1/ping", found.ping)
    app.router.add_get("/api/v1/server/info", found.info)
    app.router.add_post("/api/v1/message/query", found.query)
    app.router.add_post("/api/v1/message/text", found.text)
    app.router.add_post("/api/v1/message/attachment", found.attachment)
    app.router.add_get("/api/v1/attachment/{guid}/download", found.download)
    app.router.add_post("/api/v1/chat/{chat}/{what}", found.sign)
    app.router.add_get("/api/v1/webhook", found.listed)
    app.router.add_post("/api/v1/webhook", found.enlist)
    app.router.add_delete("/api/v1/webhook/{id}", found.delist)
    async with listening(app) as found.url:
        calling = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            found.slow.set()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)


class MacPerson:
    """Somebody with an iPhone."""

    def __init__(self, mac: BlueBubbles, chat: str) -> None:
        self._mac, self._chat = mac, chat

    @property
    def heard(self) -> list[str]:
        """What came from the Mac."""
        return [one["text"] for one in self._mac.said if one["chats"][0]["guid"] == self._chat]

    async def say(self, text: str) -> None:
        self._mac.hear(text, self._chat)


@asynccontextmanager
async def mac_stage(_: Path, count: int) -> AsyncIterator[Stage]:
    """`count` people and a Mac that outlives Kith."""
    async with bluebubbles() as mac:
        people = [MacPerson(mac, f"iMessage;-;+1555{place:04}") for place in range(count)]
        yield Stage(
            "imessage",
            int(mac.url.rpartition(":")[2]),
            lambda port: {"server": f"http://127.0.0.1:{port}", "password": PASSWORD, "poll": 1},
            people,
            mends=True,
        )
