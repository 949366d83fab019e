"""The XMPP channel against prosody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kith.channels.kit import Kit
from kith.channels.xmpp.channel import XmppChannel
from kith.channels.xmpp.settings import XmppSettings
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import File, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from kith.runtime.streams import Streams
from tests.channels.people import XmppPerson, xmpp_settings, xmpp_stage
from tests.channels.proxy import Proxy
from tests.channels.rig import household, play, until, up
from tests.channels.servers import Server, certificate, xmpp_server

pytestmark = pytest.mark.server
ROOM = "tea@rooms.home.test"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with xmpp_server(tmp_path, ["kith", "ann"]) as found:
        yield found


def kit() -> Kit:
    clock = SystemClock()
    return Kit(None, Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore


async def nobody(envelope: Any) -> Accepted:
    raise AssertionError


def test_messages_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    found = asyncio.run(play(tmp_path, xmpp_stage(tmp_path, 3), messages=60, seconds=4, every=1.3))
    assert found.cuts >= 1
    assert found.inwards.clean and found.outwards.clean and not found.dead


def test_files_come_and_go_and_nothing_inside_is_asked(server: Server) -> None:
    async def story() -> None:
        heard: list[Any] = []

        async def accept(envelope: Any) -> Accepted:
            if envelope.platform_id not in (one.platform_id for one in heard):  # it may come from the archive, too
                heard.append(envelope)
            return Accepted("t", "c")

        shelf, ann = kit(), XmppPerson("ann")
        await ann.open(server)
        channel = XmppChannel(XmppSettings(**xmpp_settings(server.port)), shelf)
        await channel.start(accept)
        plan = File(shelf.blobs.put(b"a plan"), "text/plain", "plan.txt", 6)
        said = Message("m", "assistant", (Text("here"), plan), 0.0)
        parcel = Parcel("p_1", 1, "c", "xmpp", "local", ann.jid, said)
        await channel.send(parcel)
        await until(lambda: len(ann.heard) == 2)
        address = ann.heard[1]
        assert ann.heard[0] == "here" and address.endswith("/plan.txt")
        assert ann.stanzas[-1].xml.find("{jabber:x:oob}x/{jabber:x:oob}url").text == address
        assert await channel.arrived(parcel)
        with socket.socket() as inner:  # somebody inside the house, who must not be asked
            inner.bind(("127.0.0.1", 0))
            inner.listen()
            inner.settimeout(0.2)
            strange = f"http://127.0.0.1:{inner.getsockname()[1]}/secret.txt"
            await ann.give(address)
            await ann.give(strange)
            await ann.give(strange.replace("http:", "https:").replace("127.0.0.1", "localhost"), "look\n> old words")
            await until(lambda: len(heard) == 3)
            with pytest.raises(TimeoutError):
                inner.accept()
        (mine,), (refused,) = heard[0].message.parts, heard[1].message.parts
        assert await shelf.blobs.fetch(mine) == b"a plan" and (mine.name, mine.mime) == ("plan.txt", "text/plain")
        assert refused == Text("[secret.txt: not to be had]", outside=True)
        words, quoted, last = heard[2].message.parts
        assert (words, quoted) == (Text("look"), Text("> old words", outside=True)) and last == refused
        await channel.stop()
        await ann.close()

    asyncio.run(story())


def test_a_room_is_heard_again_from_where_it_was_left(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        ann = XmppPerson("ann")
        await ann.open(server)
        await ann.client.plugin["xep_0045"].join_muc_wait(_jid(ROOM), "ann", maxstanzas=0)
        async with (
            Proxy(server.port) as proxy,
            household(tmp_path, "xmpp", xmpp_settings(proxy.port, rooms=[ROOM])) as (home, echo),
        ):
            await ann.say("Kith: one", ROOM, "groupchat")
            await until(lambda: ann.heard == ["re one"])
            keeper = home.manager._keepers["xmpp"]
            proxy.refuse = True
            proxy.cut()
            await until(lambda: keeper.watch.restarts >= 1)
            await ann.say("Kith: two", ROOM, "groupchat")
            proxy.refuse = False
            await until(lambda: "re two" in ann.heard)
            assert echo.heard == {ROOM: ["one", "two"]} and ann.heard == ["re one", "re two"]
        await ann.close()

    asyncio.run(story())


def _jid(text: str) -> Any:
    from slixmpp import JID

    return JID(text)


def test_receipts_markers_and_corrections(server: Server) -> None:
    async def story() -> None:
        ann, heard = XmppPerson("ann"), []
        await ann.open(server)

        async def accept(envelope: Any) -> Accepted:
            heard.append(envelope)
            return Accepted("t", "c")

        channel = XmppChannel(XmppSettings(**xmpp_settings(server.port)), kit())
        await channel.start(accept)
        await ann.say("helo", request="urn:xmpp:receipts", markable="urn:xmpp:chat-markers:0")
        await ann.say("hello", replace="urn:xmpp:message-correct:0 said1")
        await until(lambda: any(one.edits for one in heard) and len(ann.stanzas) >= 2)
        corrected = next(one for one in heard if one.edits)  # each may come twice: live and from the archive
        assert corrected.edits == heard[0].platform_id and heard[0].edits == ""
        signs = [sign.xml for sign in ann.stanzas]
        assert any(one.find("{urn:xmpp:receipts}received") is not None for one in signs)
        assert any(one.find("{urn:xmpp:chat-markers:0}displayed") is not None for one in signs)
        await channel.typing("ann@home.test")
        await until(lambda: any("composing" in str(one) for one in ann.stanzas))
        await channel.stop()
        await ann.close()

    asyncio.run(story())


def test_what_is_in_doubt_is_looked_up(server: Server) -> None:
    async def story() -> None:
        ann = XmppPerson("ann")
        await ann.open(server)
        channel = XmppChannel(XmppSettings(**xmpp_settings(server.port)), kit())
        await channel.start(nobody)
        said = Message("m", "assistant", (Text("word " * 4000),), 0.0)
        parcel = Parcel("p_1", 1, "c", "xmpp", "local", "ann@home.test", said)
        assert not await channel.arrived(parcel)
        await channel._wire.say("ann@home.test", "chat", "the first piece", "p_1-0")
        assert not await channel.arrived(parcel)  # but the first piece is noted
        assert (await channel.send(parcel)).receipt == "p_1-0 p_1-1 p_1-2"
        assert await channel.arrived(parcel)
        await until(lambda: len(ann.heard) == 3)
        assert ann.heard[0] == "the first piece"
        await channel.probe()
        await channel.stop()
        with pytest.raises(Unavailable):
            await channel.send(parcel)
        await ann.close()

    asyncio.run(story())


def test_a_reply_replaces_what_was_shown_of_it(server: Server) -> None:
    async def story() -> None:
        ann = XmppPerson("ann")
        await ann.open(server)
        channel = XmppChannel(XmppSettings(**xmpp_settings(server.port)), kit())
        await channel.start(nobody)
        said = Message("m", "assistant", (Text("half"),), 0.0)
        receipt = (await channel.send(Parcel("d_1", 1, "c", "xmpp", "local", "ann@home.test", said))).receipt
        whole = Parcel("p_1", 1, "c", "xmpp", "local", "ann@home.test", said)
        assert not await channel.arrived(whole)
        await channel.edit(whole, receipt, "half and the rest")
        await until(lambda: "half and the rest" in ann.heard)
        names = [one.xml.find("{urn:xmpp:message-correct:0}replace") for one in ann.stanzas]
        assert [name.get("id") for name in names if name is not None] == [receipt]
        assert await channel.arrived(whole)
        await channel.stop()
        await ann.close()

    asyncio.run(story())


def test_a_silent_connection_is_noticed(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        async with Proxy(server.port) as proxy, household(tmp_path, "xmpp", xmpp_settings(proxy.port)) as (home, _):
            keeper = home.manager._keepers["xmpp"]
            keeper.liveness = 1.5
            proxy.cut()
            await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
            proxy.blackhole()
            await until(lambda: keeper.watch.restarts >= 2)
            proxy.heal()
            await up(home, "xmpp")

    asyncio.run(story())


def test_starttls_and_a_wrong_password(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path, "home.test")
    with xmpp_server(tmp_path, tls=True) as server:

        async def story(**more: Any) -> None:
            given = xmpp_settings(server.port, **{"safety": "starttls", "authority": str(cert), **more})
            channel = XmppChannel(XmppSettings(**given), kit())
            try:
                await channel.start(nobody)
                await channel.probe()
            finally:
                await channel.stop()

        asyncio.run(story())
        with pytest.raises(Refused):
            asyncio.run(story(password="wrong"))
        with pytest.raises(Invalid):
            asyncio.run(story(jid=""))
