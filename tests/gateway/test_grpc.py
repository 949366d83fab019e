"""The gRPC door, by a real client on a real port."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from kith.app import open_household
from kith.core.audit import By
from kith.core.errors import Missing
from kith.core.ids import conversation_id
from kith.core.message import Message, Text
from kith.core.turn import Turn
from kith.gateway.grpc import SERVICE, vocabulary
from kith.settings import load_settings
from tests.conftest import ROOT, script

pytestmark = pytest.mark.server
WORDS: Any = vocabulary()[1]
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
CHECK = "/grpc.health.v1.Health/Check"


def run(story: Any) -> None:
    async def limited() -> None:
        async with asyncio.timeout(200):
            await story

    asyncio.run(limited())


class Client:
    """What a generated client would be, made from the description."""

    def __init__(self, channel: Any, token: str) -> None:
        self._channel = channel
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def ask(self, text: str, timeout: float | None = None, **more: Any) -> Any:
        made = self._channel.unary_stream(f"/{SERVICE}/Ask", _bytes, WORDS("AskEvent").FromString)
        return made(WORDS("AskRequest")(text=text, **more), metadata=self.metadata, timeout=timeout)

    def follow(self, **more: Any) -> Any:
        made = self._channel.unary_stream(f"/{SERVICE}/Follow", _bytes, WORDS("ChatEvent").FromString)
        return made(WORDS("FollowRequest")(**more), metadata=self.metadata)

    def chat(self) -> Any:
        made = self._channel.stream_stream(f"/{SERVICE}/Chat", _bytes, WORDS("ChatEvent").FromString)
        return made(metadata=self.metadata)

    def raw(self, name: str, data: bytes) -> Any:
        made = self._channel.unary_stream(f"/{SERVICE}/{name}", lambda raw: raw, lambda raw: raw)
        return made(data, metadata=self.metadata)

    async def health(self, service: str = "") -> Any:
        made = self._channel.unary_unary(CHECK, _bytes, health_pb2.HealthCheckResponse.FromString)
        return await made(health_pb2.HealthCheckRequest(service=service), metadata=self.metadata)


def _bytes(message: Any) -> bytes:
    return message.SerializeToString()


def opening(**more: Any) -> Any:
    return WORDS("ChatRequest")(open=WORDS("Open")(**more))


def saying(text: str, key: str = "") -> Any:
    return WORDS("ChatRequest")(say=WORDS("Say")(text=text, id=key))


@asynccontextmanager
async def calling(house: Any, token: str | None = None) -> AsyncGenerator[Client]:
    async with house.serving() as (_, owner):
        port = house.gateway.note()["grpc"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Client(channel, owner if token is None else token)


@pytest.fixture
def open_house(build: Any) -> Any:
    return lambda **more: build(grpc={"enabled": True, "port": 0}, **more)


async def code(call: AsyncIterator[Any]) -> tuple[str, str]:
    """How a call failed: gRPC's word, and ours."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    trailer = dict(caught.value.trailing_metadata() or ())
    return caught.value.code().name, str(trailer.get("kith-code", ""))


def test_the_description_is_what_the_proto_says(tmp_path: Path) -> None:
    made = script("make_proto").make(tmp_path / "made").read_bytes()
    assert made == (script("make_proto").FOLDER / "kith.binpb").read_bytes(), "run `make proto`"


def test_a_question_is_answered_piece_by_piece(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            events = [event async for event in client.ask("good day")]
            assert [event.text for event in events[:-1]] == ["good ", "day "]
            done = events[-1].done
            assert (done.finish, done.model, list(done.sources)) == ("stop", "small", ["handbook"])
            assert not done.fallback
            *_, last = [event async for event in client.ask("instead of another")]
            assert last.done.fallback
            assert (done.usage.prompt, done.usage.completion, done.usage.cached) == (7, 3, 2)
            assert house.talk.envelopes[-1].account == "owner" and house.talk.histories == [None, None]
            past = [WORDS("Past")(role="user", text="before")]
            whole = [event async for event in client.ask("One. Two.", stateless=True, history=past, sentences=True)]
            assert "".join(event.text for event in whole) == "One. Two. "
            assert [message.text for message in house.talk.histories[-1]] == ["before"]

    run(story())


def test_nobody_calls_without_a_good_credential(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            session, _ = await house.auth.enter({"token": client.metadata[0][1][7:]}, By("owner", "test"))
            for shown in ("", "Basic x", "Bearer kith_" + "A" * 43, "Bearer eyJ.x.y", f"Bearer {session}"):
                client.metadata = (("authorization", shown),) if shown else ()
                assert await code(client.ask("hello")) == ("UNAUTHENTICATED", "unauthenticated")
                assert await code(client.follow(conversation="c_1")) == ("UNAUTHENTICATED", "unauthenticated")
                assert await code(client.chat()) == ("UNAUTHENTICATED", "unauthenticated")
            client.metadata = (("cookie", f"kith={session}"), ("origin", "http://127.0.0.1:8787"))
            assert (await code(client.ask("hello")))[0] == "UNAUTHENTICATED"
            assert not house.talk.envelopes
            good = await house.auth.passes.issue(
                await house.auth.authenticate(await house.auth.new("x")), By("owner", "test")
            )
            client.metadata = (("authorization", f"Bearer {good.access}"),)
            assert [event async for event in client.ask("hello")]

    run(story())


def test_errors_are_grpcs_own_with_our_code_beside(open_house: Any) -> None:
    async def story() -> None:
        house = open_house(max_body=100_000)
        async with calling(house) as client:
            expected = {
                "toolong": ("INVALID_ARGUMENT", "context_length_exceeded"),
                "busy": ("RESOURCE_EXHAUSTED", "rate_limited"),
                "away": ("UNAVAILABLE", "model_loading"),
                "bug": ("INTERNAL", "broken"),
                "start late": ("UNAVAILABLE", "model_loading"),
                "  ": ("INVALID_ARGUMENT", "invalid_request"),
                "x" * 200_000: ("RESOURCE_EXHAUSTED", ""),
            }
            for text, failure in expected.items():
                assert await code(client.ask(text)) == failure, text[:20]
            assert (await code(client.ask("x", conversation="c" * 300)))[1] == "invalid_request"
            assert (await code(client.ask("x", history=[WORDS("Past")(role="user")])))[1] == "invalid_request"
            odd = client.ask("x", stateless=True, history=[WORDS("Past")(role="tool")])
            assert (await code(odd))[1] == "invalid_request"
            assert await code(client.follow(conversation="c_9")) == ("NOT_FOUND", "conversation_not_found")

    run(story())


def test_who_leaves_or_is_out_of_time_stops_the_work(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            call = client.ask("then wait")
            assert (await call.read()).text == "then "
            call.cancel()
            await house.voice.closed.wait()
            house.voice.closed.clear()
            house.voice.began.clear()
            assert (await code(client.ask("then wait", timeout=0.3)))[0] == "DEADLINE_EXCEEDED"
            if house.voice.began.is_set():  # a slow machine may be out of time before it begins
                await house.voice.closed.wait()

    run(story())


def test_a_slow_reader_is_waited_for_and_given_up_in_the_end(open_house: Any) -> None:
    async def story() -> None:
        house = open_house(write_timeout=1.5)
        async with calling(house) as client:
            call = client.ask("go forever")
            await call.read()
            await house.voice.closed.wait()  # nothing was read for longer than `write_timeout`
            assert house.voice.said < 10_000  # kilobytes: what the windows of HTTP/2 take, not what the model can say
            with pytest.raises(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass

    run(story())


def test_a_conversation_in_both_directions(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            call = client.chat()
            await call.write(opening(conversation="garden"))
            topic = conversation_id("api", "owner", "garden")
            assert (await call.read()).opened.conversation == topic
            await call.write(saying("hello", "1"))
            receipt = (await call.read()).receipt
            assert (receipt.id, receipt.duplicate) == ("1", False)
            house.streams.publish(topic, "delta", {"turn": receipt.turn, "text": "good day"})
            first = await call.read()
            assert (first.delta.turn, first.delta.text) == (receipt.turn, "good day") and first.id
            for frame, problem in ((saying(" "), "invalid_request"), (opening(), "invalid_request")):
                await call.write(frame)
                assert (await call.read()).problem.code == problem
            await call.write(WORDS("ChatRequest")(cancel=WORDS("Cancel")(turn="somebody else's")))
            assert (await call.read()).problem.code == "turn_not_found"
            await call.write(WORDS("ChatRequest")(cancel=WORDS("Cancel")(turn=receipt.turn)))
            await call.write(saying("hello", "1"))
            assert (await call.read()).receipt.duplicate
            assert house.cancelled == [receipt.turn]
            await call.done_writing()
            house.streams.publish(topic, "end", {"turn": receipt.turn, "text": "good day"})
            assert (await call.read()).end.text == "good day"
            assert await call.read() is grpc.aio.EOF

    run(story())


def test_a_broken_conversation_is_resumed_from_the_last_event(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        topic = conversation_id("api", "owner", "default")
        async with calling(house) as client:
            call = client.chat()
            await call.write(opening())
            await call.read()
            await call.write(saying("hello", "1"))
            turn = (await call.read()).receipt.turn
            house.streams.publish(topic, "delta", {"turn": turn, "text": "good "})
            last = (await call.read()).id
            call.cancel()
            house.streams.publish(topic, "delta", {"turn": turn, "text": "day"})
            house.streams.publish(topic, "end", {"turn": turn, "text": "good day"})
            assert not house.cancelled  # what was said is answered all the same
            again = client.chat()
            await again.write(opening(last_event_id=last))
            await again.read()
            assert (await again.read()).delta.text == "day"
            assert (await again.read()).end.text == "good day"
            heard = Message("m", "user", (Text("hello"),), 1.0)
            house.store.said = [
                Turn(turn, topic, "p", 1.0, heard, (Message("n", "assistant", (Text("good day"),), 1.0),))
            ]
            await again.write(saying("hello", "1"))  # the client does not know whether it had been taken
            assert (await again.read()).receipt.duplicate
            other = client.chat()  # an id of another process: the store fills in
            await other.write(opening(last_event_id="e0000000-7"))
            await other.read()
            kept = (await other.read()).turn
            assert (kept.heard, kept.spoke, kept.outcome) == ("hello", "good day", "answered")
            house.store.join("c_2", "owner")
            follow = client.follow(conversation="c_2")
            reading = asyncio.ensure_future(follow.read())
            while not house.streams._topics.get("c_2"):
                await asyncio.sleep(0)
            house.streams.publish("c_2", "delta", {"turn": "t", "text": "over there"})
            assert (await reading).delta.text == "over there"

    run(story())


def test_a_client_can_ask_that_its_replies_end_with_it(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            call = client.chat()
            await call.write(opening(cancel_on_disconnect=True))
            await call.read()
            await call.write(saying("hello"))
            turn = (await call.read()).receipt.turn
            call.cancel()
            while house.cancelled != [turn]:
                await asyncio.sleep(0.01)

    run(story())


def test_the_server_survives_nonsense(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            port = int(house.gateway.note()["grpc"])
            for data in (
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x00" * 5000,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 900,
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                with suppress(ConnectionError):
                    writer.write(data)
                    writer.write_eof()
                    await reader.read()
                writer.close()
            for data in (b"\xff", b"\x0a\xff\xff\xff\xff\x7f", b"\x0a\x02\xff\xfe", b"\x0c" * 300):
                for name in ("Ask", "Follow", "Chat"):
                    assert await code(client.raw(name, data)) == ("INVALID_ARGUMENT", "not_protobuf"), (name, data)
            assert (await code(client.raw("Nothing", b"")))[0] == "UNIMPLEMENTED"
            call = client.chat()
            await call.write(saying("before it is open"))
            assert (await code(call))[1] == "invalid_request"
            client.metadata = (*client.metadata, ("authorization", "Bearer twice"))
            assert (await code(client.ask("x")))[1] == "header_twice"
            client.metadata = client.metadata[:1]
            assert [event async for event in client.ask("still here")]

    run(story())


def test_reflection_is_for_those_who_may_call(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house) as client:
            asked = reflection_pb2.ServerReflectionRequest
            made = client._channel.stream_stream(REFLECT, _bytes, reflection_pb2.ServerReflectionResponse.FromString)
            call = made(metadata=client.metadata)
            await call.write(asked(list_services=""))
            names = {service.name for service in (await call.read()).list_services_response.service}
            assert {SERVICE, "grpc.health.v1.Health"} <= names
            await call.write(asked(file_containing_symbol=SERVICE))
            files = (await call.read()).file_descriptor_response.file_descriptor_proto
            assert any(b"kith.proto" in data for data in files)
            assert (await code(made(metadata=())))[0] == "UNAUTHENTICATED"

    run(story())


def test_health_is_open_and_tells_the_truth(open_house: Any) -> None:
    async def story() -> None:
        house = open_house()
        async with calling(house, "") as client:
            serving = health_pb2.HealthCheckResponse.SERVING
            assert (await client.health()).status == serving
            watch = client._channel.unary_stream(
                "/grpc.health.v1.Health/Watch", _bytes, health_pb2.HealthCheckResponse.FromString
            )(health_pb2.HealthCheckRequest(service=SERVICE))
            assert (await watch.read()).status == serving
            house.health.report("storage", "failed")
            assert (await client.health(SERVICE)).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError, match="no such service"):
                await client.health("nothing")

    run(story())


def test_the_door_is_encrypted_like_the_other(open_house: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))

    async def story() -> None:
        house = open_house(tls={"automatic": True})
        async with house.serving() as (_, token):
            trusted = grpc.ssl_channel_credentials(house.gateway.certificate.certificate.read_bytes())
            port = house.gateway.note()["grpc"]
            async with grpc.aio.secure_channel(f"localhost:{port}", trusted) as channel:
                assert [event async for event in Client(channel, token).ask("hello")]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                assert (await code(Client(channel, token).ask("hello")))[0] == "UNAVAILABLE"

    run(story())


def test_without_the_library_the_error_says_what_to_install(open_house: Any, monkeypatch: Any) -> None:
    async def story() -> None:
        monkeypatch.setitem(sys.modules, "grpc_reflection", None)
        with pytest.raises((Missing, ValueError)) as caught:
            async with open_house().serving():
                pass
        assert "grpc" in str(getattr(caught.value, "hint", caught.value))

    run(story())


def test_lists_of_addresses_hold_here_too(open_house: Any) -> None:
    async def story() -> None:
        house = open_house(proxies=["127.0.0.1"], deny=["192.0.2.0/24"])
        async with calling(house) as client:
            client.metadata = (*client.metadata, ("x-forwarded-for", "192.0.2.7"))
            assert await code(client.ask("hello")) == ("PERMISSION_DENIED", "address_refused")
            with pytest.raises(grpc.aio.AioRpcError):
                await client.health()

    run(story())


def test_the_example_client_works_with_a_whole_household(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    (tmp_path / "kith.yaml").write_text("gateway: {port: 0, grpc: {enabled: true, port: 0}}\nlog: {level: error}\n")

    async def story() -> None:
        async with open_household(load_settings(tmp_path / "kith.yaml"), serve=True) as house:
            assert house.gateway is not None
            client = await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "examples" / "grpc_client.py"),
                f"127.0.0.1:{house.gateway.note()['grpc']}",
                env={**os.environ, "KITH_TOKEN": await house.auth.new("example")},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, problems = await client.communicate()
            assert client.returncode == 0, problems.decode()
            lines = out.decode().splitlines()
            assert len(lines) >= 4 and lines[-1].startswith("resume with ") and len(lines[-1]) > 15, lines

    run(story())
