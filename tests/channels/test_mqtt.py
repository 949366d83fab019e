"""The MQTT channel against mosquitto."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kith.channels.kit import Kit, Limits
from kith.channels.mqtt.channel import MqttChannel
from kith.channels.mqtt.settings import MqttSettings
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import File, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from kith.runtime.streams import Streams
from tests.channels.people import MqttPerson, mqtt_stage
from tests.channels.proxy import Proxy
from tests.channels.rig import household, play, until
from tests.channels.servers import Server, mqtt_server
from tests.channels.trial import silence_noticed

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with mqtt_server(tmp_path) as found:
        yield found


def settings(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "tls": False, **more}


def kit(**more: Any) -> Kit:
    clock = SystemClock()
    return Kit(None, Streams(), clock, Ids(clock), lambda turn: None, **more)  # pyright: ignore


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "bare text"])
def test_messages_both_ways_while_the_connection_breaks(tmp_path: Path, ids: bool) -> None:
    found = asyncio.run(play(tmp_path, mqtt_stage(tmp_path, 3, ids=ids), messages=90, seconds=3, every=1.0))
    assert found.cuts >= 1
    assert found.inwards.clean and found.outwards.clean and not found.dead


def test_what_was_said_while_away_is_heard_later(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        ann = MqttPerson("ann")
        await ann.open(server)
        async with household(tmp_path, "mqtt", settings(server.port)):
            pass
        for number in range(20):
            await ann.say(str(number))
        async with household(tmp_path, "mqtt", settings(server.port)):
            await until(lambda: len(ann.heard) == 20)
        assert ann.heard == [f"re {number}" for number in range(20)]
        await ann.close()

    asyncio.run(story())


def test_nothing_is_acknowledged_before_it_is_kept(server: Server) -> None:
    async def story() -> None:
        ann = MqttPerson("ann")
        await ann.open(server)
        shelf, heard = kit(), []

        async def cannot(envelope: Any) -> Accepted:
            heard.append(envelope)
            raise Unavailable("no room", retry_after=60.0)

        async def can(envelope: Any) -> Accepted:
            heard.append(envelope)
            return Accepted("t", "c")

        first = MqttChannel(MqttSettings(**settings(server.port)), shelf)
        await first.start(cannot)
        await ann.publish("kith/in/ann", "bare text without an id")
        await until(lambda: len(heard) == 1)
        await first.stop()
        second = MqttChannel(MqttSettings(**settings(server.port)), shelf)
        await second.start(can)
        await until(lambda: len(heard) == 2)
        assert heard[0].platform_id == heard[1].platform_id  # the broker's second delivery is known as such
        await ann.publish("kith/in/ann", "bare text without an id")
        await until(lambda: len(heard) == 3)
        assert heard[2].platform_id != heard[1].platform_id
        await second.stop()
        await ann.close()

    asyncio.run(story())


def test_rubbish_is_put_aside_and_the_next_is_heard(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        ann = MqttPerson("ann")
        await ann.open(server)
        await ann.publish("kith/in/ann", "left behind", retain=True)
        async with household(tmp_path, "mqtt", settings(server.port)) as (_, echo):
            for payload in (b"", b"\xff\xfe", b"{", b'{"text": 3}', b"x" * 300_000):
                await ann.publish("kith/in/ann", payload)
            await ann.publish("kith/in/a/b/c", "too deep")
            await ann.publish("kith/in/ann", "hello", qos=2)
            await until(lambda: ann.heard)
            assert ann.heard == ["re hello"] and echo.heard == {"ann": ["hello"]}
        await ann.close()

    asyncio.run(story())


def test_a_long_reply_is_not_repeated(server: Server) -> None:
    async def story() -> None:
        ann = MqttPerson("ann")
        await ann.open(server)
        channel = MqttChannel(MqttSettings(**settings(server.port, qos=2)), kit())
        parcel = Parcel("p", 1, "c", "mqtt", "local", "ann", Message("m", "assistant", (Text("word " * 30_000),), 0.0))
        with pytest.raises(Unavailable):
            await channel.send(parcel)

        async def nobody(envelope: Any) -> Accepted:
            raise AssertionError

        await channel.start(nobody)
        assert (await channel.send(parcel)).receipt == "p-0 p-1 p-2"
        await channel.send(parcel)
        await until(lambda: len(ann.heard) == 3)
        assert not ann.copies
        await channel.stop()
        await ann.close()

    asyncio.run(story())


def test_others_see_whether_it_is_there(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        watcher = MqttPerson("status", prefix="watch")
        seen: list[str] = []
        watcher._hear = lambda payload: seen.append(payload.decode())
        await watcher.open(server)
        watcher._client.subscribe("kith/status", 1)
        async with Proxy(server.port) as proxy, household(tmp_path, "mqtt", settings(proxy.port)):
            await until(lambda: seen[-1:] == ["online"])
            proxy.cut()
            await until(lambda: "offline" in seen)  # the will
            await until(lambda: seen[-1:] == ["online"])
        await until(lambda: seen[-1:] == ["offline"])
        await watcher.close()

    asyncio.run(story())


def test_a_silent_connection_is_noticed(tmp_path: Path) -> None:
    silence_noticed(tmp_path, mqtt_stage(tmp_path, 1))


def test_a_wrong_password_is_not_tried_again(tmp_path: Path) -> None:
    with mqtt_server(tmp_path, password="secret") as server:

        async def story(**more: Any) -> None:
            channel = MqttChannel(MqttSettings(**settings(server.port, **more)), kit())

            async def nobody(envelope: Any) -> Accepted:
                raise AssertionError

            try:
                await channel.start(nobody)
            finally:
                await channel.stop()

        asyncio.run(story(username="kith", password="secret"))
        with pytest.raises(Refused):
            asyncio.run(story(username="kith", password="wrong"))
        with pytest.raises(Invalid):
            asyncio.run(story(host=""))


def test_json_is_what_programs_get(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        ann = MqttPerson("ann")
        raw: list[bytes] = []
        ann._hear = raw.append
        await ann.open(server)
        async with household(tmp_path, "mqtt", settings(server.port)):
            await ann.say("hello")
            await until(lambda: raw)
        told = json.loads(raw[0])
        assert told["text"] == "re hello" and told["reply_to"] == "ann-hello" and told["last"] is True
        await ann.close()

    asyncio.run(story())


def test_files_come_and_go_as_base64(server: Server) -> None:
    async def story() -> None:
        bob, raw = MqttPerson("bob"), list[dict[str, Any]]()
        await bob.open(server)
        bob._hear = lambda payload: raw.append(json.loads(payload))  # pyright: ignore
        shelf, heard = kit(limits=Limits({"file": 100}, {"file": 100})), []

        async def accept(envelope: Any) -> Accepted:
            heard.append(envelope)
            return Accepted("t", "c")

        channel = MqttChannel(MqttSettings(**settings(server.port), client="files", prefix="files"), shelf)
        await channel.start(accept)
        cat = {"mime": "image/png", "name": "cat.png", "data": base64.b64encode(b"a cat").decode()}
        broken, huge = {"data": "%%%%", "name": "x"}, {"data": "AAAA" * 100, "name": "huge"}
        told = json.dumps({"id": "1", "text": "look", "media": [cat, broken, huge]})
        await bob.publish("files/in/bob", told)
        await until(lambda: heard)
        words, picture, bad, large = heard[0].message.parts
        assert words == Text("look") and await shelf.blobs.fetch(picture) == b"a cat"
        assert bad == Text("[x: not to be had]", outside=True) and (large.blob, large.size) == ("at:2", 300)
        plan = File(shelf.blobs.put(b"a plan"), "text/plain", "plan.txt", 6)
        said = Message("m", "assistant", (Text("here"), plan), 0.0)
        bob._client.subscribe("files/out/bob/#", 1)
        await channel.send(Parcel("p_1", 1, "c", "mqtt", "local", "bob", said))
        await until(lambda: len(raw) == 2)
        assert [(one["id"], one["text"], one["last"]) for one in raw] == [("p_1-0", "here", False), ("p_1-1", "", True)]
        assert base64.b64decode(raw[1]["media"][0]["data"]) == b"a plan"
        await channel.stop()
        await bob.close()

    asyncio.run(story())
