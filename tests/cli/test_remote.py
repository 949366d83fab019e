"""A conversation on a server that drops connections, forgets, and speaks nonsense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve

from kith.cli import partner
from kith.cli.partner import Remote
from kith.cli.server import Server
from kith.core.errors import KithError, Unavailable

Handler = Callable[[ServerConnection, int], Awaitable[None]]


async def start(handler: Handler, patience: float = 60.0) -> tuple[SocketServer, Remote]:
    """A server whose handler is told how many connections there were before, and hears what comes after the first
    frame: that one asks to follow, and is granted."""
    count = 0

    async def accept(connection: ServerConnection) -> None:
        nonlocal count
        count += 1
        first = json.loads(await connection.recv())
        asked.append((first["type"], first["conversation"], first["after"]))
        await connection.send(json.dumps({"type": "resumed", "at": f"{boots[0]}.0.t0"}))
        assert connection.request is not None
        assert connection.request.path == "/api/channels/web/live"
        assert connection.request.headers["Authorization"] == "Bearer kith_x"
        await handler(connection, count - 1)

    server = await serve(accept, "127.0.0.1", 0)
    port = next(iter(server.sockets)).getsockname()[1]
    return server, Remote(Server(f"http://127.0.0.1:{port}", "kith_x", 1), "main", patience)


asked: list[tuple[str, str, str | None]] = []
boots = ["h"]


@pytest.fixture(autouse=True)
def no_server_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none() -> None:
        return None

    monkeypatch.setattr(partner, "find_server", none)
    asked.clear()
    boots[:] = ["h"]


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(90):
            await story()

    asyncio.run(limited())


async def answer(connection: ServerConnection, frame: dict[str, Any], **more: Any) -> None:
    told = {"type": "accepted", "id": frame["id"], "duplicate": False, "turn": "t1", **more}
    await connection.send(json.dumps(told))


def test_a_broken_connection_is_made_anew_and_resumed() -> None:
    frames: list[dict[str, Any]] = []

    async def handler(connection: ServerConnection, number: int) -> None:
        for text, at in (("a", "h.1."), ("b", "h.2.t1")) if number else ():
            told = {"type": "message", "id": f"m{'ab'.index(text) + 1}", "turn": "t1", "text": text, "at": at}
            await connection.send(json.dumps(told))
        async for raw in connection:
            frame = json.loads(raw)
            frames.append(frame)
            if number == 0:
                await answer(connection, frame)
                await connection.send(
                    json.dumps({"type": "message", "id": "m1", "turn": "t1", "text": "a", "at": "h.1."})
                )
                connection.transport.abort()
                return

    async def story() -> None:
        server, remote = await start(handler)
        async with server:
            await remote.open()
            texts: list[str] = []
            saying = asyncio.create_task(remote.say("hello", "big"))
            async for event in remote.events():
                texts.append(str(event.data.get("text", event.kind)))
                if event.kind == "end":
                    break
            assert await saying == "t1"
            # the repeated one is not shown again; with the last one the reply is whole, whoever told so before
            assert texts == ["a", "lost", "back", "b", "end"]
            await remote.close()

    run(story)
    assert frames[0] | {"type": "message", "text": "hello", "model": "big", "conversation": "main"} == frames[0]
    assert asked == [("resume", "main", None), ("resume", "main", "h.1.")]


def test_a_message_is_repeated_under_the_same_id_until_it_is_kept() -> None:
    ids: list[str] = []

    async def handler(connection: ServerConnection, number: int) -> None:
        async for raw in connection:
            frame = json.loads(raw)
            ids.append(frame["id"])
            if number == 0:
                connection.transport.abort()  # before saying that it is kept
                return
            await answer(connection, frame, duplicate=True)

    greet(handler)
    assert len(ids) >= 2
    assert len(set(ids)) == 1


async def _read(remote: Remote) -> list[Any]:
    return [event async for event in remote.events()]


def greet(handler: Handler) -> None:
    """Say hello to a server, which has to keep it."""

    async def story() -> None:
        server, remote = await start(handler)
        async with server:
            await remote.open()
            reading = asyncio.create_task(_read(remote))
            assert await remote.say("hello") == "t1"
            await remote.close()
            await reading

    run(story)


def test_a_refusal_is_an_error() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        async for raw in connection:
            told = {"type": "error", "id": json.loads(raw)["id"], "code": "busy", "message": "No.", "detail": "full"}
            await connection.send(json.dumps(told))

    async def story() -> None:
        server, remote = await start(handler)
        async with server:
            await remote.open()
            reading = asyncio.create_task(_read(remote))
            with pytest.raises(KithError, match="No") as caught:
                await remote.say("hello")
            assert (caught.value.code, caught.value.hint) == ("busy", "full")
            await remote.close()
            assert await reading == []

    run(story)


@pytest.mark.parametrize("raw", ["", "nonsense", "[]", "{}", '{"type": 5}', '{"type":"message"}', b"\xff\x00"])
def test_nonsense_from_a_server_is_skipped(raw: str | bytes) -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        async for frame in connection:
            await connection.send(raw)
            await answer(connection, json.loads(frame))

    greet(handler)


def test_a_server_that_stays_away_is_told() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.wait_closed()

    async def story() -> None:
        server, remote = await start(handler, patience=0.3)
        await remote.open()
        saying = asyncio.create_task(remote.say("hello"))
        server.close()
        await server.wait_closed()
        with pytest.raises(Unavailable, match="gone"):
            await _read(remote)
        with pytest.raises(Unavailable, match="gone"):
            await saying
        with pytest.raises(Unavailable, match="gone"):
            await remote.say("and now?")
        await remote.close()

    run(story)


def test_a_server_without_room_is_asked_again() -> None:
    frames: list[str] = []

    async def handler(connection: ServerConnection, number: int) -> None:
        async for raw in connection:
            frame = json.loads(raw)
            frames.append(frame["id"])
            if len(frames) < 3:
                full = {"type": "error", "id": frame["id"], "code": "inbox_full", "message": "No.", "retry_after": 0}
                await connection.send(json.dumps(full))
            else:
                await answer(connection, frame)

    greet(handler)
    assert len(frames) == 3 and len(set(frames)) == 1
