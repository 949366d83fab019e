"""The loopback channel: idempotent by parcel id, as a platform that takes a key would be."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from kith.channels.kit import LINE_LIMIT, Arrival, Kit, sorry
from kith.channels.loopback.journal import Journal
from kith.channels.loopback.parse import parse
from kith.channels.loopback.render import render
from kith.channels.loopback.settings import LoopbackSettings
from kith.core.errors import Invalid, KithError, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Accepted, Sent

_KEPT = 10_000


class LoopbackChannel:
    """`delivered` holds the latest replies, and `faults` errors that the next sends will raise, for tests."""

    def __init__(self, settings: LoopbackSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._accept: Accept | None = None
        self._journal = Journal(settings.journal) if settings.journal else None
        self._seen: set[str] = set()
        self._latest: deque[str] = deque()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self.delivered: deque[Parcel] = deque(maxlen=_KEPT)
        self.faults: deque[Exception] = deque()

    async def start(self, accept: Accept) -> None:
        """Read the journal and open the socket. Raises `Unavailable`."""
        self._accept = accept
        if self._journal is not None:
            self._seen = await asyncio.to_thread(self._journal.open)
        if self._settings.inject is not None:
            self._server = await _listen(self._settings.inject, self._serve)

    async def send(self, parcel: Parcel) -> Sent:
        """Deliver once, however often it is asked. Raises what `faults` holds, `Unavailable` for a full disk."""
        if self._accept is None:
            raise Unavailable("the loopback channel is not started")
        if self.faults:
            raise self.faults.popleft()
        if parcel.id not in self._seen:
            self._seen.add(parcel.id)
            try:
                if self._journal is not None:
                    await self._journal.append(render(parcel))
            except KithError:
                self._seen.discard(parcel.id)
                raise
            self.delivered.append(parcel)
            self._remember(parcel.id)
        return Sent(parcel.id)

    def _remember(self, parcel: str) -> None:
        """Keep the latest ids of this start only: a reply in doubt is among the last of its conversation."""
        self._latest.append(parcel)
        if len(self._latest) > _KEPT:
            self._seen.discard(self._latest.popleft())

    async def stop(self) -> None:
        """Close the socket; no message is accepted afterwards."""
        self._accept = None
        if self._server is not None:
            self._server.close()
            for client in tuple(self._clients):
                client.close()
            await self._server.wait_closed()
            self._server = None
        if self._settings.inject is not None:
            self._settings.inject.unlink(missing_ok=True)

    async def inject(self, raw: str | bytes) -> Accepted:
        """Hear one message as if it came from the socket. Raises `Invalid`, and what the inbox raises."""
        if self._accept is None:
            raise Unavailable("the loopback channel is not started")
        return await self._accept(parse(raw, Arrival(self._settings.account, self._kit.clock.now())))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while (answer := await self._answer(reader)) is not None:
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._clients.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        """Hear one line; the answer leaves only after the message is kept. None when the client has gone."""
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            await _skip(reader)
            return {"accepted": False, "error": dict(sorry(Invalid("the line is too long", code="bad_frame")))}
        try:
            accepted = await self.inject(line)
        except KithError as error:
            return {"accepted": False, "error": dict(sorry(error))}
        return {"accepted": True, "duplicate": accepted.duplicate, "turn": accepted.id}


async def _listen(path: Path, serve: Any) -> asyncio.Server:
    try:
        await asyncio.to_thread(_clear, path)
        server = await asyncio.start_unix_server(serve, path, limit=LINE_LIMIT)
        await asyncio.to_thread(path.chmod, 0o600)
    except OSError as error:
        raise Unavailable(f"the socket {path} cannot be opened: {error.strerror or error}") from None
    return server


def _clear(path: Path) -> None:
    """A socket that a crash left behind is in the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


async def _skip(reader: asyncio.StreamReader) -> None:
    """Read away the rest of a line that is too long, without keeping it."""
    while True:
        try:
            await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)
        except asyncio.IncompleteReadError:
            return
        else:
            return
