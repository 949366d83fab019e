"""What DingTalk's stream and Feishu's long connection share, on loopback: a connection whose address is asked for, on
which an event comes again until it was answered; a token that grows old; and troubles on demand.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import WSMessage, web

from tests.channels.emulators.site import listening

PICTURE = b"\xff\xd8\xff\xe0 a picture"


class Stream(ABC):
    """`waiting` are the events that nobody has answered yet, by name; `trouble` holds what the next calls of a kind
    answer: a status, a code, or ``lose`` (done, but nobody learns of it)."""

    def __init__(self) -> None:
        self.trouble: dict[str, list[int | str]] = {}
        self.waiting: dict[str, Any] = {}
        self.answered: list[dict[str, Any]] = []
        self.sockets: set[web.WebSocketResponse] = set()
        self.opened = self.tokens = 0
        self.token, self.lasts = "", 7200
        self.url = ""
        self.gate = ""  # where the sockets are, when not at `url`
        self._number = 0

    @abstractmethod
    def app(self) -> web.Application:
        """Everything that can be called."""

    @abstractmethod
    async def push(self, socket: web.WebSocketResponse, name: str) -> None:
        """Tell a waiting event."""

    @abstractmethod
    async def take(self, socket: web.WebSocketResponse, message: WSMessage) -> None:
        """Something was said on a connection."""

    @property
    def base(self) -> str:
        """Where connections go."""
        return (self.gate or self.url).replace("http", "ws", 1)

    def renew(self, prefix: str) -> str:
        """The next token; those before it are not good any more."""
        self.tokens += 1
        self.token = f"{prefix}-{self.tokens}"
        return self.token

    def expire(self) -> None:
        """The token is not good any more, whatever its time."""
        self.token = "another"

    async def converse(self, request: web.Request) -> web.StreamResponse:
        """One connection: all that waits, then what comes."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        told = set[str]()
        while news := [name for name in self.waiting if name not in told]:
            for name in news:
                told.add(name)
                if name in self.waiting:
                    await self.push(socket, name)
        self.sockets.add(socket)
        try:
            async for message in socket:
                await self.take(socket, message)
        finally:
            self.sockets.discard(socket)
        return socket

    def next(self, kind: str) -> int | str:
        """What goes wrong with this call; 0 for nothing."""
        waiting = self.trouble.get(kind, [])
        return waiting.pop(0) if waiting and waiting[0] != "lose" else 0

    def lost(self, kind: str, request: web.Request) -> bool:
        """Whether nobody learns how the call went."""
        waiting = self.trouble.get(kind, [])
        if waiting[:1] != ["lose"]:
            return False
        waiting.pop(0)
        assert request.transport is not None
        request.transport.abort()
        return True


S = TypeVar("S", bound=Stream)


@asynccontextmanager
async def streaming(found: S) -> AsyncIterator[S]:
    """A platform, while it listens."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # connections are cut on purpose
    async with listening(found.app()) as found.url:
        yield found
