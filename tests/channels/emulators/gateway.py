"""The gateway protocol that Discord and QQ share, on loopback, misbehaving on demand: hello, identify, heartbeats and
their answers; a session is taken up again with its name and the last number heard, and all later events come again.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.channels.emulators.site import reach


@dataclass
class Session:
    """What one connection is told, kept so that it can be told again."""

    name: str
    user: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None


class Gateway(ABC):
    """With `deaf`, heartbeats are not answered; `interval` is theirs in milliseconds. `gateway` is the address told,
    `begun` and `resumed` say how often a session was begun, and from which number on one was taken up again."""

    largest = 1 << 20

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.resumed: list[int] = []
        self.begun = 0
        self.starts = 1000
        self.interval = 5000
        self.deaf = False
        self.url = self.gateway = ""

    @abstractmethod
    def admit(self, body: dict[str, Any]) -> int:
        """The close code for somebody who is not let in."""

    @abstractmethod
    def owner(self, body: dict[str, Any]) -> dict[str, Any]:
        """Who it is that was let in."""

    @abstractmethod
    def ready(self, session: Session) -> dict[str, Any]:
        """What READY says."""

    async def dispatch(self, name: str, body: Any) -> None:
        """Tell every session."""
        for session in tuple(self.sessions.values()):
            await self.tell(session, name, body)

    async def tell(self, session: Session, name: str, body: Any) -> None:
        event = {"op": 0, "s": len(session.events) + 1, "t": name, "d": body}
        session.events.append(event)
        if session.socket is not None and not session.socket.closed:
            await reach(session.socket.send_json(event))

    async def command(self, op: int, body: Any = None) -> None:
        """Say something other than an event to everybody: 1 beat, 7 connect again, 9 your session is gone."""
        for session in tuple(self.sessions.values()):
            if session.socket is not None:
                await reach(session.socket.send_json({"op": op, "d": body}))

    async def leave(self, code: int) -> None:
        """End every connection with a close code."""
        for session in tuple(self.sessions.values()):
            if session.socket is not None:
                await session.socket.close(code=code)

    def forget(self) -> None:
        """All sessions are gone, as after a while without a connection."""
        for session in self.sessions.values():
            if session.socket is not None and (request := session.socket._req) is not None and request.transport:
                request.transport.abort()
        self.sessions.clear()

    def limits(self) -> dict[str, Any]:
        """What ``/gateway/bot`` says."""
        limit = {"total": 1000, "remaining": max(self.starts, 0), "reset_after": 14_400_000, "max_concurrency": 1}
        return {"url": self.gateway, "shards": 1, "session_start_limit": limit}

    async def link(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "s": None, "t": None, "d": {"heartbeat_interval": self.interval}})
        session: Session | None = None
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT or len(frame.data) > self.largest:
                    await socket.close(code=4002)
                    break
                told = json.loads(frame.data)
                if told["op"] == 1:
                    if not self.deaf:
                        await socket.send_json({"op": 11, "d": None})
                elif told["op"] in (2, 6) and session is None:
                    session = await (self._identify if told["op"] == 2 else self._resume)(socket, told["d"])
                elif session is None:
                    await socket.close(code=4003)
        finally:
            if session is not None and session.socket is socket:
                session.socket = None
        return socket

    async def _identify(self, socket: web.WebSocketResponse, body: dict[str, Any]) -> Session | None:
        if code := self.admit(body):
            await socket.close(code=code)
            return None
        self.begun += 1
        self.starts -= 1
        session = Session(f"s{self.begun}", self.owner(body), socket=socket)
        self.sessions[session.name] = session
        await self.tell(session, "READY", self.ready(session))
        return session

    async def _resume(self, socket: web.WebSocketResponse, body: dict[str, Any]) -> Session | None:
        session = self.sessions.get(body["session_id"])
        if code := self.admit({"intents": 0, **body}):
            await socket.close(code=code)
        elif session is None:
            await self.lost(socket)
        elif body["seq"] > len(session.events):
            await socket.close(code=4007)
        else:
            self.resumed.append(body["seq"])
            for event in session.events[body["seq"] :]:
                await socket.send_json(event)
            session.socket = socket
            await self.tell(session, "RESUMED", {})
            return session
        return None

    async def lost(self, socket: web.WebSocketResponse) -> None:
        """What is said to somebody whose session is gone."""
        await socket.send_json({"op": 9, "d": False})
