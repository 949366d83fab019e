"""The webhook channel against a real HTTP receiver that misbehaves, and calls to it good and bad."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kith.channels.kit import Kit
from kith.channels.webhook.channel import WebhookChannel
from kith.channels.webhook.render import signature
from kith.channels.webhook.settings import WebhookSettings
from kith.core.channel import Hook
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from kith.runtime.streams import Streams

SECRET = "a secret of the tests"
FIXTURES = Path(__file__).parent / "fixtures"


class Receiver:
    """A real HTTP server that believes signatures and keys, and fails as `trouble` says."""

    def __init__(self) -> None:
        self.got: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.pings = 0
        self.trouble: list[int] = []
        self.lose: list[bool] = []  # whether an answer is lost after the message was taken
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        stamp = int(request.headers["X-Kith-Timestamp"])
        if request.headers["X-Kith-Signature"] != signature(SECRET, stamp, body):
            return web.Response(status=401)
        if self.trouble and (status := self.trouble.pop(0)):
            return web.Response(status=status, headers={"Retry-After": "7"} if status == 429 else {})
        told = json.loads(body)
        if told["type"] == "ping":
            self.pings += 1
            return web.Response(status=204)
        key = request.headers["Idempotency-Key"]
        assert key == told["id"]
        if key not in self.got:
            self.got[key] = told
            self.order.append(told["text"])
        if self.lose and self.lose.pop(0):
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=200, headers={"X-Message-Id": f"r{len(self.got)}"})


def tell(story: Callable[[WebhookChannel, Receiver, list[Envelope]], Awaitable[None]], **settings: Any) -> None:
    async def whole() -> None:
        receiver = Receiver()
        app = web.Application()
        app.router.add_post("/replies", receiver.serve)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        url, clock = f"http://127.0.0.1:{port}/replies", FrozenClock()
        kit = Kit(None, Streams(), clock, Ids(clock), lambda turn: None)
        channel = WebhookChannel(WebhookSettings(**{"url": url, "secret": SECRET, **settings}), kit)
        heard: list[Envelope] = []

        async def accept(envelope: Envelope) -> Accepted:
            if envelope.message.text == "busy":
                raise Unavailable("the disk is full")
            heard.append(envelope)
            return Accepted("t_1", "c_1", duplicate=len(heard) > 1)

        try:
            await channel.start(accept)
            await story(channel, receiver, heard)
        finally:
            await channel.stop()
            await runner.cleanup()

    asyncio.run(whole())


def parcel(text: str, number: int = 1) -> Parcel:
    said = Message(f"m_{number}", "assistant", (Text(text),), 0.0)
    return Parcel(f"m_{number}", number, "c_1", "webhook", "local", "anna", said, reply_to="1")


def call(channel: Any, body: bytes, *, at: int = 1_700_000_000, secret: str = SECRET) -> Hook:
    return Hook(
        "POST", headers={"x-kith-timestamp": str(at), "x-kith-signature": signature(secret, at, body)}, body=body
    )


@pytest.mark.server
def test_a_reply_arrives_signed_and_once_however_often_it_is_tried() -> None:
    async def story(channel: WebhookChannel, receiver: Receiver, heard: list[Envelope]) -> None:
        assert receiver.pings == 1
        assert (await channel.send(parcel("hello"))).receipt == "r1"
        receiver.lose = [True]  # taken, but the answer never came: the client tries again with the same key
        for _ in range(3):
            try:
                await channel.send(parcel("again", 2))
                break
            except Unavailable:
                continue
        assert receiver.order == ["hello", "again"]
        assert receiver.got["m_1-0"]["conversation"] == "anna" and receiver.got["m_1-0"]["reply_to"] == "1"

    tell(story)


@pytest.mark.server
def test_a_long_reply_goes_in_pieces_that_are_not_repeated() -> None:
    async def story(channel: WebhookChannel, receiver: Receiver, heard: list[Envelope]) -> None:
        text = " ".join(f"word{n}" for n in range(9000))
        receiver.trouble = [0, 503]
        with pytest.raises(Unavailable):
            await channel.send(parcel(text))
        assert len(receiver.got) == 1
        await channel.send(parcel(text))
        parts = [(one["part"], one["parts"]) for one in receiver.got.values()]
        assert parts == [(n, len(parts)) for n in range(1, len(parts) + 1)]
        assert " ".join(one["text"] for one in receiver.got.values()) == text

    tell(story)


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "kind", "after"),
    [(429, Unavailable, 7.0), (500, Unavailable, 5.0), (503, Unavailable, 5.0), (400, Invalid, None),
     (302, Invalid, None), (403, Refused, None)],
)  # fmt: skip
def test_what_the_receiver_says_decides(status: int, kind: type[KithError], after: float | None) -> None:
    async def story(channel: WebhookChannel, receiver: Receiver, heard: list[Envelope]) -> None:
        receiver.trouble = [status]
        with pytest.raises(kind) as caught:
            await channel.send(parcel("hello"))
        assert getattr(caught.value, "retry_after", None) == after

    tell(story)


@pytest.mark.server
def test_a_wrong_secret_is_told_at_once() -> None:
    async def story(channel: WebhookChannel, receiver: Receiver, heard: list[Envelope]) -> None:
        raise AssertionError

    with pytest.raises(Refused, match="secret"):
        tell(story, secret="another secret of the tests")


@pytest.mark.server
def test_calls_are_believed_only_when_signed_new_and_in_time() -> None:
    async def story(channel: WebhookChannel, receiver: Receiver, heard: list[Envelope]) -> None:
        body = (FIXTURES / "message.json").read_bytes()
        reply = await channel.hook(call(channel, body))
        assert (reply.status, json.loads(reply.body)) == (202, {"accepted": True, "duplicate": False, "turn": "t_1"})
        for bad in (
            call(channel, body),  # the very same call
            call(channel, body, secret="x" * 20),
            call(channel, body, at=1_700_000_000 - 301),
            call(channel, body, at=1_700_000_000 + 301),
            Hook("POST", body=body),
            Hook("POST", headers={"x-kith-timestamp": "٣", "x-kith-signature": "v1=é"}, body=body),
        ):
            with pytest.raises(Refused):
                await channel.hook(bad)
        again = await channel.hook(call(channel, body, at=1_700_000_001))
        assert json.loads(again.body)["duplicate"]
        with pytest.raises(Invalid):
            await channel.hook(call(channel, b'{"id": "9"}'))
        assert (await channel.hook(Hook("GET"))).status == 405
        assert [one.sender for one in heard] == ["anna", "anna"]

    tell(story)


@pytest.mark.server
def test_a_call_that_could_not_be_kept_may_come_again() -> None:
    async def story(channel: WebhookChannel, receiver: Receiver, heard: list[Envelope]) -> None:
        body = b'{"id": "1", "sender": "anna", "text": "busy"}'
        for _ in range(2):
            with pytest.raises(Unavailable):
                await channel.hook(call(channel, body))

    tell(story)
