"""The IRC channel against ngircd."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kith.channels.irc.channel import IrcChannel
from kith.channels.irc.settings import IrcSettings
from kith.channels.kit import Kit
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.ids import Ids
from kith.runtime.streams import Streams
from tests.channels.people import IrcPerson, irc_stage
from tests.channels.proxy import Proxy
from tests.channels.rig import household, play, until, up
from tests.channels.servers import Server, certificate, irc_server

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with irc_server(tmp_path) as found:
        yield found


def settings(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "tls": False, "burst": 100, "per_second": 100, **more}


def test_messages_both_ways_while_the_connection_breaks(tmp_path: Path) -> None:
    people = 3
    found = asyncio.run(play(tmp_path, irc_stage(tmp_path, people), messages=60, seconds=3, every=1.0))
    assert found.cuts >= 1
    # What is on its way when a connection breaks is gone: IRC has no acknowledgement. Nothing comes twice or mixed up.
    assert found.inwards.doubled == found.inwards.misordered == found.outwards.doubled == found.outwards.misordered == 0
    # A cut may meet a word of each person on the way to the server's connection, and one behind it in our hands.
    assert found.inwards.lost <= 2 * people * found.cuts
    assert found.outwards.lost <= found.dead


def test_a_room_where_it_is_called_by_name(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        async with household(tmp_path, "irc", settings(server.port, rooms=["#tea"])) as (_, echo):
            ann = IrcPerson("ann")
            await ann.open(server)
            ann.raw("JOIN #tea", "PRIVMSG #tea :kith: hello", "NOTICE kith :not for answering")
            await until(lambda: ann.heard)
            assert ann.heard == ["re hello"] and echo.heard == {"#tea": ["hello"]}
            await ann.close()

    asyncio.run(story())


def test_somebody_who_has_left_is_waited_for(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        async with household(tmp_path, "irc", settings(server.port)) as (home, _):
            await home.commit("are you there?", channel="irc", conversation="ann")

            async def waits() -> bool:
                return any("not on the network" in one.error for one in await home.storage.outbox.find("waiting"))

            await home.until(waits)
            assert not await home.storage.outbox.find("dead")

    asyncio.run(story())


def test_its_own_name_is_taken_back(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        other = IrcPerson("kith")
        await other.open(server)
        async with household(tmp_path, "irc", settings(server.port)) as (home, _):
            channel: Any = home.manager.channel("irc")
            assert channel._wire.nick == "kith_"
            await other.close()
            await until_nick(channel, "kith")

    async def until_nick(channel: Any, nick: str) -> None:
        async with asyncio.timeout(90):
            while channel._wire.nick != nick:
                await channel.probe()

    asyncio.run(story())


def test_a_silent_connection_is_noticed(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        async with Proxy(server.port) as proxy, household(tmp_path, "irc", settings(proxy.port)) as (home, _):
            keeper = home.manager._keepers["irc"]
            keeper.liveness = 1.0
            keeper.watch.sign -= 100
            keeper._lost.set()  # the keeper looks at the new bound from the next connection on
            await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
            proxy.blackhole()
            await until(lambda: keeper.watch.restarts >= 2)
            proxy.heal()
            await up(home, "irc")

    asyncio.run(story())


def test_tls_with_its_own_authority_and_a_wrong_one(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path)
    with irc_server(tmp_path, tls=True, password="sesame") as server:

        async def story(**more: Any) -> str:
            given = settings(server.port, **{"tls": True, "password": "sesame", "authority": str(cert), **more})
            async with household(tmp_path, "irc", given) as (home, _):
                return home.manager._keepers["irc"].watch.condition

        assert asyncio.run(story()) == "ready"
        with pytest.raises(AssertionError, match="no login by SASL"):
            asyncio.run(story(sasl_user="kith", sasl_password="x"))  # ngircd offers no SASL

        async def distrustful() -> None:
            await channel(settings(server.port, tls=True, password="sesame")).start(nobody)

        with pytest.raises(Unavailable):
            asyncio.run(distrustful())


def channel(given: dict[str, Any]) -> Any:

    clock = SystemClock()
    return IrcChannel(IrcSettings(**given), Kit(None, Streams(), clock, Ids(clock), lambda turn: None))  # pyright: ignore


async def nobody(envelope: Any) -> Any:
    raise AssertionError


@contextlib.asynccontextmanager
async def scripted(lines: list[tuple[str, list[str]]]) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers a line beginning with the first of a pair with the second: for what ngircd cannot do."""
    seen: list[str] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().strip():
            seen.append(line)
            for begin, answers in lines:
                if line.startswith(begin):
                    writer.write("".join(f"{answer}\r\n" for answer in answers).encode())
            if line.startswith("PING"):
                writer.write(f":irc PONG irc {line.split()[1]}\r\n".encode())
        writer.close()
        await writer.wait_closed()
        ended.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1], seen
    await ended.wait()
    listening.close()


SASL = [("CAP LS", [":irc CAP * LS * :multi-prefix sasl=PLAIN", ":irc CAP * LS :server-time"])]
SASL += [("CAP REQ", [":irc CAP * ACK :sasl server-time"]), ("AUTHENTICATE PLAIN", ["AUTHENTICATE +"])]


def test_a_login_by_sasl() -> None:
    async def story(verdict: list[str]) -> list[str]:
        script = [*SASL, ("AUTHENTICATE AGtp", verdict), ("CAP END", [":irc 001 kith :welcome"])]
        async with scripted(script) as (port, seen):
            given = channel(settings(port, sasl_user="kith", sasl_password="secret"))
            try:
                await given.start(nobody)
            except Refused as error:
                return [error.message]
            finally:
                await given.stop()
            return seen

    seen = asyncio.run(story([":irc 900 kith k!k@h kith :you are logged in", ":irc 903 kith :done"]))
    assert "AUTHENTICATE AGtpdGgAc2VjcmV0" in seen and "CAP REQ :sasl server-time" in seen
    assert asyncio.run(story([":irc 904 kith :wrong password"])) == ["the IRC server refuses us: wrong password"]


def test_without_a_server_it_says_so() -> None:
    with pytest.raises(Invalid, match="server"):
        asyncio.run(channel({}).start(nobody))
