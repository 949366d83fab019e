"""Slack's Web API and Socket Mode as their documentation says they are (docs.slack.dev), on loopback, misbehaving on
demand.

Kept to: errors as ``{"ok": false}`` with status 200, ``Retry-After`` with 429, a new socket address from each
``apps.connections.open``, an event sent again on the next socket until it was acknowledged, 40,000 characters of text.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from tests.channels.emulators.site import listening, reach


class Slack:
    """`said` are the app's messages; `trouble` holds the answers to the next posts: a status or an error's name."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.trouble: list[int | str] = []
        self.waiting: dict[str, dict[str, Any]] = {}  # not acknowledged
        self.sockets: set[web.WebSocketResponse] = set()
        self.opened = 0
        self.token, self.app_token = "xoxb-test", "xapp-test"
        self.url = ""
        self.elsewhere = ""  # where uploads are said to go, in place of here
        self.files: dict[str, bytes] = {}
        self.readable = True  # whether the app has the scope files:read
        self.uploads: dict[str, tuple[str, int, bytes]] = {}
        self.posted: list[tuple[str, str, str, bytes]] = []
        self._number = 0

    async def hear(self, text: str, channel: str = "D1", user: str = "U1", copies: int = 1, **more: Any) -> str:
        """Somebody writes; the message's time stamp."""
        self._number += 1
        stamp = f"1700000000.{self._number:06}"
        event: dict[str, Any] = {
            "type": "message",
            "channel": channel,
            "channel_type": "im",
            "user": user,
            "text": text,
            "ts": stamp,
        }
        event |= more
        for copy in range(copies):
            name = f"e{self._number}-{copy}"
            payload = {"type": "event_callback", "event_id": f"Ev{self._number}", "event": event}
            frame = self.waiting[name] = {"type": "events_api", "envelope_id": name, "payload": payload}
            for socket in tuple(self.sockets):
                await reach(socket.send_json(frame))
        return stamp

    async def call(self, request: web.Request) -> web.StreamResponse:
        method, shown = request.match_info["method"], request.headers.get("Authorization", "")
        if shown != f"Bearer {self.app_token if method == 'apps.connections.open' else self.token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        match method:
            case "auth.test":
                return web.json_response({"ok": True, "user_id": "UKITH", "team_id": "T1"})
            case "apps.connections.open":
                self.opened += 1
                return web.json_response({"ok": True, "url": f"ws{self.url[4:]}/link?ticket={self.opened}"})
            case "chat.postMessage":
                return await self._post(await request.json())
            case "files.getUploadURLExternal":
                form = await request.post()
                self._number += 1
                self.uploads[f"F{self._number}"] = (str(form["filename"]), int(str(form["length"])), b"")
                url = f"{self.elsewhere or self.url}/upload/F{self._number}"
                return web.json_response({"ok": True, "upload_url": url, "file_id": f"F{self._number}"})
            case "files.completeUploadExternal":
                return self._complete(await request.json())
            case _:
                return web.json_response({"ok": False, "error": "unknown_method"})

    def _complete(self, told: dict[str, Any]) -> web.StreamResponse:
        for file in told["files"]:
            name, length, data = self.uploads[file["id"]]
            if len(data) != length:
                return web.json_response({"ok": False, "error": "file_not_found"})
            self.posted.append((told["channel_id"], told.get("thread_ts", ""), name, data))
        return web.json_response({"ok": True, "files": told["files"]})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        assert "Authorization" not in request.headers  # the address itself is the permission
        name, length, _ = self.uploads[request.match_info["file"]]
        self.uploads[request.match_info["file"]] = (name, length, await request.read())
        return web.Response(text=f"OK - {length}")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """As ``files.slack.com``: without the right token, a page to log in."""
        if request.headers.get("Authorization") != f"Bearer {self.token}" or not self.readable:
            return web.Response(text="<html>log in</html>", content_type="text/html")
        found = self.files.get(request.match_info["name"])
        return web.Response(body=found, content_type="image/png") if found else web.Response(status=404)

    async def _post(self, message: dict[str, Any]) -> web.StreamResponse:
        now = self.trouble.pop(0) if self.trouble else 0
        if now == 429:
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "7"})
        if isinstance(now, int) and now:
            return web.Response(status=now, text="oops")
        if now:
            return web.json_response({"ok": False, "error": now})
        if len(message["text"]) > 40_000:
            return web.json_response({"ok": False, "error": "msg_too_long"})
        self.said.append(message)
        return web.json_response({"ok": True, "ts": f"1700000001.{len(self.said):06}", "channel": message["channel"]})

    async def link(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.sockets.add(socket)
        try:
            for message in tuple(self.waiting.values()):
                await socket.send_json(message)
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self.waiting.pop(frame.json()["envelope_id"], None)
        finally:
            self.sockets.discard(socket)
        return socket

    async def refresh(self) -> None:
        """Slack replaces its sockets now and then, and says so."""
        for socket in tuple(self.sockets):
            await reach(socket.send_json({"type": "disconnect", "reason": "refresh_requested"}))
        await asyncio.sleep(0)


@asynccontextmanager
async def slack() -> Any:
    """A Slack of one's own."""
    found = Slack()
    app = web.Application()
    app.router.add_post("/api/{method}", found.call)
    app.router.add_get("/link", found.link)
    app.router.add_post("/upload/{file}", found.upload)
    app.router.add_get("/files/{name}", found.file)
    async with listening(app) as found.url:
        yield found
