"""The gateway on a real port: the official client, hostile connections, WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import openai
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kith.core.errors import Invalid, Unavailable
from kith.gateway import Gateway, GatewaySettings

pytestmark = pytest.mark.server
PATIENCE = 90.0
HELLO = [{"role": "user", "content": "good day"}]


@contextlib.asynccontextmanager
async def official(address: str, token: str) -> AsyncGenerator[Any]:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0) as client:
        yield client


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story, 200))


def test_the_official_client_works_unchanged(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), official(address, token) as client:
            assert [model.id async for model in await client.models.list()] == ["kith", "small", "org/vec"]
            assert (await client.models.retrieve("small")).owned_by == "echo"
            for model in ("kith", "small"):
                whole = await client.chat.completions.create(model=model, messages=HELLO, temperature=0.5, user="u")
                assert whole.choices[0].message.content == "good day " and whole.usage.total_tokens == 10
                stream = await client.chat.completions.create(
                    model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
                )
                chunks = [chunk async for chunk in stream]
                assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "good day "
                assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 2

    run(story())


def test_the_official_client_gets_its_own_exceptions(build: Any) -> None:
    expected = [
        ("kith", "toolong", openai.BadRequestError, "context_length_exceeded"),
        ("none", "hello", openai.NotFoundError, "model_not_found"),
        ("kith", "busy", openai.RateLimitError, "rate_limited"),
        ("kith", "away", openai.InternalServerError, "model_loading"),
        ("kith", "bug", openai.InternalServerError, "broken"),
    ]

    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), official(address, token) as client:
            for model, text, kind, code in expected:
                for stream in (False, True):
                    with pytest.raises(kind) as caught:
                        await client.chat.completions.create(model=model, messages=user(text), stream=stream)
                    assert caught.value.code == code
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(model="kith", messages=HELLO, n=2)
            assert refused.value.param == "n"
            stream = await client.chat.completions.create(model="kith", messages=user("start late"), stream=True)
            with pytest.raises(openai.APIError, match="being loaded"):
                async for _ in stream:
                    pass
            async with official(address, "kith_wrong") as stranger:
                with pytest.raises(openai.AuthenticationError):
                    await stranger.models.list()

    run(story())


def test_the_official_client_tries_again_when_told_to(build: Any) -> None:
    async def story() -> None:
        house = build()
        house.voice.trouble["away"].retry_after = 0.01
        house.voice.fails = 1
        async with house.serving() as (address, token), official(address, token) as client:
            patient = client.with_options(max_retries=2)
            whole = await patient.chat.completions.create(model="kith", messages=HELLO)
        assert whole.choices[0].message.content == "good day " and len(house.talk.envelopes) == 2

    run(story())


@pytest.mark.parametrize("text", ["go forever", "then wait"])
def test_leaving_a_stream_closes_the_generator(build: Any, text: str) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), official(address, token) as client:
            stream = await client.chat.completions.create(model="small", messages=user(text), stream=True)
            await anext(aiter(stream))
            assert not house.voice.closed.is_set()
            await stream.close()
            await asyncio.wait_for(house.voice.closed.wait(), PATIENCE)
            await client.models.list()

    run(story())


def test_leaving_before_the_first_word_or_a_whole_answer_closes_the_generator(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), official(address, token) as client:
            asked = asyncio.create_task(client.chat.completions.create(model="kith", messages=user("then wait")))
            await asyncio.wait_for(house.voice.began.wait(), PATIENCE)
            asked.cancel()
            await asyncio.wait_for(house.voice.closed.wait(), PATIENCE)

    run(story())


async def talk(address: str, *pieces: bytes, wait: bool = True) -> bytes:
    """Send bytes as they are; everything that comes back."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    found = b""
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        if wait:
            found = await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return found


def head(token: str, *more: str, method: str = "POST", path: str = "/v1/chat/completions") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("slow", [False, True])
def test_hostile_connections_are_ended_and_the_server_serves_on(build: Any, slow: bool) -> None:
    async def story() -> None:
        house = build(max_body=4096, max_head=4096, **({"read_timeout": 1.0} if slow else {}))
        async with house.serving() as (address, token):
            chunked = head(token, "Transfer-Encoding: chunked")
            endless = [b"400\r\n" + b"x" * 1024 + b"\r\n"] * 40
            late = [
                ("slow body", [head(token, "Content-Length: 100"), b"{"], b"408"),
                ("slow head", [b"GET / HTTP/1.1\r\nHost: 127.0"], b"408"),
            ]
            cases = [
                ("garbage", [b"\x16\x03\x01\x02\x00\x01" * 50], b"400"),
                ("lying length", [head(token, "Content-Length: 999999999")], b"413"),
                ("endless chunks", [chunked, *endless], b"413"),
                ("endless head", [b"GET / HTTP/1.1\r\n", b"X: " + b"y" * 200_000], b"431"),
                ("many headers", [b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n"], b"431"),
                ("endless address", [b"GET /" + b"y" * 50_000 + b" HTTP/1.1\r\n\r\n"], b"431"),
                ("two lengths", [head(token, "Content-Length: 5", "Content-Length: 6"), b"hello"], b"400"),
                ("smuggling", [head(token, "Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n"], b"400"),
                ("two hosts", [head(token, "Host: evil", "Connection: close", method="GET", path="/")], b"403"),
                ("bad chunk", [chunked, b"zz\r\n"], b"400"),
            ]
            for name, pieces, status in late if slow else cases:
                answer = await talk(address, *pieces)
                assert answer, name
                assert answer.split(b" ", 2)[1] == status, (name, answer[:200])
                assert b'"error"' in answer, name
                await talk(address, *pieces, wait=False)
            async with httpx.AsyncClient() as client:
                huge = await client.post(
                    f"{address}/api/ask", content=b"x" * 3_000_000, headers={"Authorization": f"Bearer {token}"}
                )
                assert huge.status_code == 413
                assert (await client.get(f"{address}/health/live")).status_code == 200
            async with official(address, token) as client:
                assert (await client.chat.completions.create(model="kith", messages=HELLO)).choices

    run(story())


def test_no_more_connections_than_allowed(build: Any) -> None:
    async def story() -> None:
        house = build(max_connections=2)
        async with house.serving() as (address, _):
            host, _, port = address.removeprefix("http://").partition(":")
            held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
            assert (await talk(address, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            async with httpx.AsyncClient() as client:
                while (await client.get(f"{address}/health/live")).status_code != 200:
                    await asyncio.sleep(0)

    run(story())


def test_a_client_that_does_not_read_is_given_up(build: Any) -> None:
    async def story() -> None:
        house = build(write_timeout=0.3)
        async with house.serving() as (address, token):
            host, _, port = address.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            body = json.dumps({"model": "kith", "messages": user("go forever"), "stream": True}).encode()
            writer.write(head(token, f"Content-Length: {len(body)}") + body)
            await asyncio.wait_for(house.voice.closed.wait(), PATIENCE)
            writer.transport.abort()

    run(story())


def test_followers_and_streams_end_when_the_server_stops(build: Any) -> None:
    async def story() -> None:
        house = build(grace=1)
        async with house.serving() as (address, token), httpx.AsyncClient() as client:
            bearer = {"Authorization": f"Bearer {token}"}
            async with client.stream("GET", f"{address}/api/conversations/c_1/events", headers=bearer) as follower:
                lines = follower.aiter_lines()
                assert await anext(lines) == ": hello"
                house.streams.publish("c_1", "delta", {"text": "x"})
                while not (await anext(lines)).startswith("data"):
                    pass
                stopping = asyncio.create_task(house.gateway.stop())
                assert [line async for line in lines if line] == []
                await stopping
        assert house.gateway.address == ""
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as client:
                await client.get(f"{address}/health/live")

    run(story())


def test_a_taken_port_is_named(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, _):
            port = int(address.rpartition(":")[2])
            with pytest.raises(Unavailable, match=f"port {port} on 127.0.0.1 is taken") as caught:
                await Gateway(house.ports, GatewaySettings(port=port)).start()
            assert "--port" in caught.value.hint
        with pytest.raises(Invalid, match=r"cannot listen on ::2"):
            await Gateway(house.ports, GatewaySettings.model_construct(host="::2", port=0)).start()

    run(story())


def live(address: str, path: str = "/api/channels/live/live") -> str:
    return address.replace("http", "ws") + path


def test_a_socket_talks_by_header_or_subprotocol(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token):
            bearer = {"Authorization": f"Bearer {token}"}
            async with connect(live(address), additional_headers=bearer) as socket:
                await socket.send("你好")
                assert await socket.recv() == "你好"
                await socket.send(b"\xff bytes")
                assert await socket.recv() == "\ufffd bytes"
                await socket.send("bye")
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd.code == 1000
            async with connect(live(address), subprotocols=["kith", f"bearer.{token}"]) as socket:
                assert socket.subprotocol == "kith"
            assert [principal.id for principal in house.line.principals] == ["owner", "owner"]

    run(story())


def test_a_socket_is_refused_with_a_reason(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token):
            bearer = {"Authorization": f"Bearer {token}"}
            refused: list[tuple[str, dict[str, str], int]] = [
                (live(address), {}, 401),
                (live(address) + f"?token={token}", {}, 401),
                (live(address, "/api/channels/none/live"), bearer, 404),
                (live(address), {**bearer, "Origin": "http://evil.example"}, 403),
            ]
            for url, headers, status in refused:
                with pytest.raises(InvalidStatus) as caught:
                    await connect(url, additional_headers=headers)
                assert caught.value.response.status_code == status
                assert b'"error"' in caught.value.response.body

    run(story())


@pytest.mark.parametrize(
    ("frame", "code"),
    [("x" * 70_000, 1009), ("refuse", 1008), ("bug", 1011)],
)
def test_hostile_frames_end_only_their_own_socket(build: Any, frame: str, code: int) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token):
            bearer = {"Authorization": f"Bearer {token}"}
            async with connect(live(address), additional_headers=bearer) as good:
                async with connect(live(address), additional_headers=bearer) as bad:
                    await bad.send(frame)
                    with pytest.raises(ConnectionClosed) as closed:
                        await bad.recv()
                    assert closed.value.rcvd.code == code and "secret" not in closed.value.rcvd.reason
                await good.send("still here")
                assert await good.recv() == "still here"

    run(story())


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff\xff", b"\x81\x85aaaahello", b"\x81\x02no", b"\x83\x80abcd", b"\x81\x81\x00\x00\x00\x00\xff"]
)
def test_broken_frames_end_only_their_own_socket(build: Any, raw: bytes) -> None:
    shake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")

    async def story() -> None:
        house = build()
        async with house.serving() as (address, token):
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            opening = head(token, *shake, key, method="GET", path="/api/channels/live/live")
            host, _, port = address.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(opening)
            assert b"101" in await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
            await asyncio.wait_for(house.line.left.wait(), PATIENCE)
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{address}/health/live")).status_code == 200

    run(story())


def test_a_socket_that_does_not_read_costs_little_and_is_given_up(build: Any) -> None:
    async def story() -> None:
        house = build(write_timeout=0.3)
        async with house.serving() as (address, token):
            bearer = {"Authorization": f"Bearer {token}"}
            async with connect(live(address), additional_headers=bearer, max_queue=1) as socket:
                await socket.send("flood")
                await asyncio.wait_for(house.line.left.wait(), PATIENCE)
                assert house.line.sent * 10_000 < 16_000_000  # what two kernels buffer, and 64 KiB of ours
                socket.transport.abort()

    run(story())


def test_sockets_end_when_the_server_stops(build: Any) -> None:
    async def story() -> None:
        house = build(grace=1)
        async with house.serving() as (address, token):
            socket = await connect(live(address), additional_headers={"Authorization": f"Bearer {token}"})
            await socket.send("hello")
            assert await socket.recv() == "hello"
            await house.gateway.stop()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd.code == 1012

    run(story())


def test_answers_do_not_wait_for_acknowledgements(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), httpx.AsyncClient(base_url=address) as client:
            await client.get("/api/me", headers={"Authorization": f"Bearer {token}"})
            (connection,) = house.gateway._server.server_state.connections
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # no algorithm of Nagle

    run(story())
