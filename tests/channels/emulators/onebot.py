"""A OneBot v11 program as the standard says it is ("OneBot 11 standard": communication, api, event, message), with the
additions of NapCat's documentation ("Interface", "Events"), on loopback, misbehaving on demand.

Kept to: 403 at the handshake for a wrong token, ``lifecycle`` at the beginning and heartbeats, answers known by
``echo``, retcodes 100, 102, 1400, 1404, 1403, events told once and never again, a history that can be asked for, files
by name or address, at most 4,500 bytes of text in a message.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web
from websockets.asyncio.client import connect

from tests.channels.emulators.site import listening, reach

OWN, TOKEN = 10001000, "a-token-of-the-tests"
Answer = dict[str, Any]


class Onebot:
    """`said` are the calls that sent something; `trouble` what the next calls of an action end with: a retcode, an
    HTTP status from 429 to 599 below 1000, ``drop`` (not done) or ``lose`` (done, and the socket closed)."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.uploads: list[dict[str, Any]] = []
        self.shown: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.forwards: dict[str, list[dict[str, Any]]] = {}
        self.trouble: dict[str, list[int | str]] = {}
        self.asked: list[str] = []
        self.history: list[dict[str, Any]] = []
        self.manner = "napcat"  # whose history this is: napcat, llonebot, lagrange or go-cqhttp
        self.without: set[str] = set()  # actions that this program does not know
        self.online = True
        self.token = TOKEN
        self.sockets: set[Any] = set()
        self.url = ""
        self._number = 1000

    def event(self, message: Any, *, user: int = 7, group: int = 0, **more: Any) -> dict[str, Any]:
        """Somebody writes: the event of it, kept in the history."""
        self._number += 1
        where = {"message_type": "group", "group_id": group} if group else {"message_type": "private"}
        told = {
            "time": int(time.time()), "self_id": OWN, "post_type": "message", **self._names(),
            "user_id": user, "sub_type": "normal" if group else "friend",
            "sender": {"user_id": user, "nickname": f"u{user}"},
            "message": [{"type": "text", "data": {"text": message}}] if isinstance(message, str) else message,
            **where, **more,
        }  # fmt: skip
        self.history.append(told)
        return told

    def _names(self) -> dict[str, int]:
        """What the latest message is called: NapCat's ``message_seq`` is the id again, others count with it."""
        counted = {} if self.manner == "lagrange" else {"message_seq": self._number + 7000 * (self.manner != "napcat")}
        return {"message_id": self._number, **counted}

    async def hear(self, message: Any, copies: int = 1, **more: Any) -> dict[str, Any]:
        """Somebody writes, and whoever is connected is told, once."""
        told = self.event(message, **more)
        for _ in range(copies):
            await self.tell(told)
        return told

    async def tell(self, event: Mapping[str, Any]) -> None:
        for socket in tuple(self.sockets):
            await reach(_send(socket, event))

    async def beat(self) -> None:
        """A heartbeat."""
        status = {"online": self.online, "good": self.online}
        meta = {"time": 1_700_000_000, "self_id": OWN, "post_type": "meta_event", "meta_event_type": "heartbeat"}
        await self.tell({**meta, "status": status, "interval": 30_000})

    async def link(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=403)
        socket = web.WebSocketResponse(max_msg_size=64 * 1024 * 1024)
        await socket.prepare(request)
        await self._greet(socket)
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT and not await self._frame(socket, frame.data):
                    break
        finally:
            self.sockets.discard(socket)
        return socket

    async def _greet(self, socket: Any) -> None:
        meta = {"time": 1_700_000_000, "self_id": OWN, "post_type": "meta_event", "meta_event_type": "lifecycle"}
        await _send(socket, {**meta, "sub_type": "connect"})
        self.sockets.add(socket)

    async def _frame(self, socket: Any, raw: str) -> bool:
        """Answer one call; whether the socket stays open."""
        told = json.loads(raw)
        now = self._trouble(told["action"])
        if now == "drop":
            return False
        answer = {"retcode": now} if isinstance(now, int) and now else self._do(told["action"], told["params"])
        if now == "lose":
            return False
        status = "ok" if answer["retcode"] == 0 else "failed"
        await _send(socket, {"status": status, "data": None, "wording": "", **answer, "echo": told["echo"]})
        return True

    @asynccontextmanager
    async def dialled(self, port: int, token: str = TOKEN, role: str = "Universal") -> Any:
        """Connected to Kith's port: "reverse WebSocket"."""
        headers = {"Authorization": f"Bearer {token}", "X-Self-ID": str(OWN), "X-Client-Role": role}
        async with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, proxy=None) as socket:
            await self._greet(socket)
            task = asyncio.create_task(self._serve(socket))
            try:
                yield socket
            finally:
                self.sockets.discard(socket)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, socket: Any) -> None:
        async for raw in socket:
            if not await self._frame(socket, raw):
                await socket.close()

    async def call(self, request: web.Request) -> web.StreamResponse:
        """The HTTP API."""
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        action = request.match_info["action"]
        now = self._trouble(action)
        if isinstance(now, int) and 400 <= now < 600:
            return web.Response(status=now, headers={"Retry-After": "7"} if now == 429 else {})
        answer = {"retcode": now} if isinstance(now, int) and now else self._do(action, await request.json())
        if answer["retcode"] == 1404:
            return web.Response(status=404)
        return web.json_response({"status": "ok" if answer["retcode"] == 0 else "failed", "data": None, **answer})

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        return web.Response(body=self.files[name]) if name in self.files else web.Response(status=404)

    def _trouble(self, action: str) -> int | str:
        self.asked.append(action)
        waiting = self.trouble.get(action, [])
        return waiting.pop(0) if waiting else 0

    def _do(self, action: str, given: Mapping[str, Any]) -> Answer:
        if action in self.without:
            return {"retcode": 1404}
        match action:
            case "get_login_info":
                return _yes({"user_id": OWN, "nickname": "Kith"})
            case "get_status":
                return _yes({"online": self.online, "good": self.online})
            case "send_private_msg" | "send_group_msg":
                return self._say(action, given)
            case "upload_private_file" | "upload_group_file":
                self.uploads.append({**given, "bytes": base64.b64decode(given["file"].removeprefix("base64://"))})
                return _yes(None)
            case "set_input_status":
                self.shown.append(dict(given))
                return _yes(None)
            case "get_friend_msg_history" | "get_group_msg_history":
                return self._page("group_id" if "group" in action else "user_id", given)
            case _:
                return self._give(action, given)

    def _page(self, key: str, given: Mapping[str, Any]) -> Answer:
        """A page of the history: the latest, or from the named message on, which belongs to it. NapCat goes to newer
        ones unless told otherwise and fails where it does not know the message, Lagrange knows no other name than
        ``message_id``, LLOneBot turns the page around; go-cqhttp gives 20 at most."""
        group, count = key == "group_id", given.get("count", 20)
        found = [one for one in self.history if one.get(key) == given[key] and bool(one.get("group_id")) == group]
        at = given.get("message_id" if self.manner == "lagrange" else "message_seq", 0)
        if not at or not found:
            return _yes({"messages": found[-count:]})
        name = "message_id" if self.manner in ("napcat", "lagrange") else "message_seq"
        places = [place for place, one in enumerate(found) if one[name] == at]
        if not places:
            return {"retcode": 1200}
        turned = bool(given.get("reverse_order") or given.get("reverseOrder"))
        if self.manner == "napcat" and not turned:
            return _yes({"messages": found[places[0] :][:count]})
        page = found[: places[0] + 1][-min(count, 20 if self.manner == "go-cqhttp" else count) :]
        return _yes({"messages": page[::-1] if turned and self.manner == "llonebot" else page})

    def _give(self, action: str, given: Mapping[str, Any]) -> Answer:
        match action:
            case "get_msg":
                found = [one for one in self.history if one["message_id"] == given["message_id"]]
                return _yes(found[0]) if found else {"retcode": 100}
            case "get_forward_msg" if given["id"] in self.forwards:
                return _yes({"messages": self.forwards[given["id"]]})
            case "get_image" if given["file"] in self.files:
                return _yes({"file": f"cache/{given['file']}", "url": f"{self.url}/files/{given['file']}"})
            case "get_record" | "get_file" if given["file"] in self.files:
                encoded = base64.b64encode(self.files[given["file"]]).decode()
                return _yes({"file": f"cache/{given['file']}", "base64": encoded})
            case "get_image" | "get_record" | "get_file" | "get_forward_msg":
                return {"retcode": 100}
            case _:
                return {"retcode": 1404}

    def _say(self, action: str, given: Mapping[str, Any]) -> Answer:
        key = "group_id" if "group" in action else "user_id"
        text = "".join(one["data"]["text"] for one in given["message"] if one["type"] == "text")
        if not isinstance(given.get(key), int) or not given["message"]:
            return {"retcode": 1400}
        if len(text.encode()) > 12_000 or len(text) > 4_500:
            return {"retcode": 100}
        self._number += 1
        self.said.append({"action": action, "id": self._number, "text": text, **given})
        self.history.append({
            "time": int(time.time()), "self_id": OWN, "post_type": "message_sent", "user_id": OWN,
            **self._names(), "message": given["message"], "sender": {"user_id": OWN, "nickname": "Kith"},
            "message_type": "group" if "group" in action else "private", key: given[key],
        })  # fmt: skip
        return _yes({"message_id": self._number})


def _yes(data: Any) -> Answer:
    return {"retcode": 0, "data": data}


async def _send(socket: Any, told: Mapping[str, Any]) -> None:
    raw = json.dumps(told)
    await (socket.send_str(raw) if isinstance(socket, web.WebSocketResponse) else socket.send(raw))


@asynccontextmanager
async def onebot() -> Any:
    """A program of one's own."""
    found = Onebot()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get("/", found.link)
    app.router.add_get("/files/{name}", found.file)
    app.router.add_post("/{action}", found.call)
    async with listening(app) as found.url:
        yield found
