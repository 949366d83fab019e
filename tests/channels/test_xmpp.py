"""The XMPP channel against prosody."""

from __future__ import annotations

import asyncio
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
from kith.core.message import Message, Text
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
            await until(lambda: keeper.watch.restarts == 1)
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
            await until(lambda: keeper.watch.restarts == 1 and keeper.route.channel is not None)
            proxy.blackhole()
            await until(lambda: keeper.watch.restarts == 2)
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
