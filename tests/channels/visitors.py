"""People who come to Kith's own door: over a WebSocket, and as a program that posts and is posted to.

They read where the house is from its note before each connection, because it moves when it is started again; `door`,
where there is one, is a proxy in front of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.channels.emulators.site import listening
from tests.channels.proxy import Proxy
from tests.channels.rig import Stage

_SECRET = "a secret of the tests"
_GONE = (OSError, WebSocketException, httpx.HTTPError, ValueError, KeyError, TimeoutError)


@dataclass(slots=True)
class Place:
    """Where the house is."""

    home: Path
    door: Proxy | None = None

    def find(self) -> tuple[str, str]:
        """``host:port`` and the token of this machine. Raises `OSError` or `ValueError` when there is no house."""
        note = json.loads((self.home / "run" / "server.json").read_text("utf-8"))
        return f"127.0.0.1:{self.door.port if self.door else urlsplit(note['url']).port}", str(note["token"])

    def pid(self) -> int:
        """Of the house that has written its note; 0 when there is none."""
        try:
            return int(json.loads((self.home / "run" / "server.json").read_text("utf-8"))["pid"])
        except (OSError, ValueError, KeyError):
            return 0

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"http://{self.find()[0]}/health/live", timeout=2, trust_env=False).is_success
        except _GONE:
            return False


@dataclass(slots=True)
class _Said:
    frame: str
    kept: asyncio.Event = field(default_factory=asyncio.Event)


class WebPerson:
    """A client of the WebSocket that connects again, says again what was not acknowledged, and resumes."""

    def __init__(self, name: str, place: Place) -> None:
        self.name, self._place = name, place
        self.heard: list[str] = []
        self.copies: list[str] = []
        self.recoveries: list[float] = []
        self._seen: set[str] = set()
        self._at = ""
        self._said: dict[str, _Said] = {}
        self._count = 0
        self._lost = 0.0
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._live())

    async def close(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def joined(self) -> None:
        """Returns when there is a connection; what was waited for it does not count."""
        while self._socket is None:
            await asyncio.sleep(0.02)
        self.recoveries.clear()

    async def say(self, text: str) -> None:
        """Returns when Kith has acknowledged it."""
        self._count += 1
        frame = {"type": "message", "id": f"{self.name}-{self._count}", "conversation": self.name, "text": text}
        said = self._said[str(frame["id"])] = _Said(json.dumps(frame))
        if self._socket is not None:
            with contextlib.suppress(*_GONE):
                await self._socket.send(said.frame)
        await said.kept.wait()

    async def _live(self) -> None:
        while True:
            with contextlib.suppress(*_GONE):
                address, token = self._place.find()
                url, bearer = f"ws://{address}/api/channels/web/live", {"Authorization": f"Bearer {token}"}
                async with connect(url, additional_headers=bearer, open_timeout=30) as socket:
                    await self._talk(socket)
            self._socket, self._lost = None, self._lost or time.monotonic()
            await asyncio.sleep(0.05)

    async def _talk(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"type": "resume", "conversation": self.name, "after": self._at}))
        for said in tuple(self._said.values()):
            await socket.send(said.frame)
        self._socket = socket
        async for raw in socket:
            self._hear(json.loads(raw))

    def _hear(self, frame: dict[str, Any]) -> None:
        self._at = frame.get("at") or self._at
        match frame["type"]:
            case "resumed":
                self.recoveries += [time.monotonic() - self._lost] if self._lost else []
                self._lost = 0.0
            case "accepted":
                if (said := self._said.pop(frame["id"], None)) is not None:
                    said.kept.set()
            case "message" if frame["id"] in self._seen:
                self.copies.append(frame["id"])
            case "message":
                self._seen.add(frame["id"])
                self.heard.append(frame["text"])
            case "error" if frame.get("id") in self._said:
                asyncio.get_running_loop().call_later(0.3, self._again, frame["id"])
            case _:
                return

    def _again(self, name: str) -> None:
        if name in self._said and self._socket is not None:
            self._repeating = asyncio.ensure_future(self._repeat(self._socket, self._said[name].frame))

    async def _repeat(self, socket: ClientConnection, frame: str) -> None:
        with contextlib.suppress(*_GONE):
            await socket.send(frame)


@contextlib.asynccontextmanager
async def web_stage(folder: Path, people: int) -> AsyncIterator[Stage]:
    place = Place(folder / "home")
    crowd = [WebPerson(f"person{number}", place) for number in range(people)]
    for one in crowd:
        one.open()
    try:
        yield Stage("web", 0, lambda port: {}, crowd, place=place)
    finally:
        for one in crowd:
            await one.close()


class HookPerson:
    """Somebody behind a program that posts signed JSON; `shop` is what it is posted to."""

    def __init__(self, name: str, place: Place, client: httpx.AsyncClient) -> None:
        self.name, self._place, self._client = name, place, client
        self.heard: list[str] = []
        self.copies: list[str] = []
        self._seen: set[str] = set()
        self._count = 0

    async def say(self, text: str) -> None:
        """Posts it until it is kept, signed anew each time."""
        self._count += 1
        body = json.dumps({"id": f"{self.name}-{self._count}", "sender": self.name, "text": text}).encode()
        while True:
            with contextlib.suppress(*_GONE):
                address, _ = self._place.find()
                headers = _signed(body)
                answer = await self._client.post(
                    f"http://{address}/hooks/webhook/local", content=body, headers=headers, timeout=30
                )
                if answer.status_code == 202:
                    return
            await asyncio.sleep(0.1)

    def hear(self, told: dict[str, Any]) -> None:
        if told["id"] in self._seen:
            self.copies.append(told["id"])
            return
        self._seen.add(told["id"])
        self.heard.append(told["text"])


def _signed(body: bytes, at: int = 0) -> dict[str, str]:
    at = at or int(time.time())
    mark = hmac.new(_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"content-type": "application/json", "x-kith-timestamp": str(at), "x-kith-signature": f"v1={mark}"}


@contextlib.asynccontextmanager
async def webhook_stage(folder: Path, people: int) -> AsyncIterator[Stage]:
    place = Place(folder / "home")

    async def serve(request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except OSError:  # it was cut, and comes again
            return web.Response(status=400)
        wanted = _signed(body, int(request.headers["X-Kith-Timestamp"]))["x-kith-signature"]
        if request.headers["X-Kith-Signature"] != wanted:
            return web.Response(status=401)
        told = json.loads(body)
        if told["type"] == "message":
            assert request.headers["Idempotency-Key"] == told["id"]
            crowd[told["conversation"]].hear(told)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/replies", serve)

    def settings(to: int) -> dict[str, Any]:
        return {"url": f"http://127.0.0.1:{to}/replies", "secret": _SECRET}

    async with httpx.AsyncClient(trust_env=False) as client, listening(app) as url:
        crowd = {f"person{number}": HookPerson(f"person{number}", place, client) for number in range(people)}
        yield Stage("webhook", int(url.rpartition(":")[2]), settings, tuple(crowd.values()), place=place)


VISITS = {"web": web_stage, "webhook": webhook_stage}
