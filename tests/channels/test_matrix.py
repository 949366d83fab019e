"""The Matrix channel against synapse, with end-to-end encryption."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from kith.channels.kit import Kit
from kith.channels.matrix.channel import MatrixChannel
from kith.channels.matrix.settings import MatrixSettings
from kith.channels.matrix.wire import Wire, entered
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.ids import Ids, conversation_id
from kith.core.message import File, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Accepted
from kith.runtime.streams import Streams
from tests.channels.conftest import open_house
from tests.channels.emulators.site import listening
from tests.channels.people import MatrixPerson, matrix_settings
from tests.channels.proxy import Proxy
from tests.channels.rig import Stage, household, play, until, up
from tests.channels.servers import Server, matrix_server

pytestmark = pytest.mark.server
KITH = "@kith:home.test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of this file: it takes ten seconds to start. Each test has its own bot."""
    with matrix_server(tmp_path_factory.mktemp("synapse"), ["kith", "ann", "bob", "cat", "dan", "eve", "fay"]) as found:
        yield found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def kit() -> Kit:
    clock = SystemClock()
    return Kit(None, Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore


async def nobody(envelope: Any) -> Accepted:
    raise AssertionError


class Counter:
    """A server that knows logins alone; `asked` are the devices that logged in, `ended` what it says of a session."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.ended: dict[str, Any] | None = None
        self.status, self.device = 401, ""

    async def login(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["device_id"])
        self.ended = None
        return web.json_response({"user_id": "@kith:home.test", "access_token": "t", "device_id": self.asked[-1]})

    async def whoami(self, _: web.Request) -> web.Response:
        if self.ended is not None:
            return web.json_response(self.ended, status=self.status)
        return web.json_response({"user_id": "@kith:home.test", **({"device_id": self.device} if self.device else {})})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/_matrix/client/{version}/login", self.login)
        app.router.add_get("/_matrix/client/{version}/account/whoami", self.whoami)
        return app


async def opened(url: str, shelf: Kit, password: str = "secret") -> str:
    """The device as which a session is taken up."""
    wire = Wire(MatrixSettings(homeserver=url, user="@kith:home.test", password=SecretStr(password)), shelf)
    try:
        await wire.open()
        assert wire._client.olm.account.identity_keys
        return str(wire._client.device_id)
    finally:
        await wire.close()


def test_a_device_whose_keys_are_lost_is_not_taken_up_again(home: Path) -> None:
    """Each device with other keys has another name."""

    async def story() -> None:
        counter, own = Counter(), kit()
        asked = counter.asked
        async with listening(counter.app()) as url:
            first = await opened(url, own)
            assert first == await opened(url, own) and asked == [first] and first.startswith("KITH_")
            for store in (home / "channels" / "matrix" / "local").iterdir():
                store.unlink()
            second = await opened(url, own)
            assert second == await opened(url, own) and asked == [first, second] and first != second
            assert await opened(url, kit()) == asked[2] and len({*asked}) == 3  # the secret was lost

    asyncio.run(story())


def test_a_new_name_of_ours_is_no_coming_in() -> None:
    """What was said before it would not be heard."""
    import nio

    def event(name: str, before: dict[str, str] | None) -> Any:
        told = {"event_id": f"${name}", "sender": KITH, "state_key": KITH, "type": "m.room.member"}
        unsigned = {"unsigned": {"prev_content": before}} if before else {}
        content = {"membership": "join", "displayname": name}
        return nio.RoomMemberEvent.from_dict({**told, **unsigned, "content": content, "origin_server_ts": 1})

    came, renamed = event("kith", None), event("Kith", {"membership": "join"})
    again = event("kith", {"membership": "leave"})
    said = SimpleNamespace(event_id="$said")

    class Client:
        user_id = KITH

        async def room_messages(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(chunk=[renamed, said, came, SimpleNamespace(event_id="$before")], end="")

    async def story() -> None:
        wire = Wire(MatrixSettings(), kit())
        wire._client = Client()
        assert await wire.gap("!r", "b", "s") == [said, renamed]

    assert [entered(one, KITH) for one in (came, again, renamed, said)] == [True, True, False, False]
    assert not entered(came, "@ann:home.test")
    asyncio.run(story())


def test_a_device_that_the_server_deleted_is_followed_by_a_new_one() -> None:
    gone = {"errcode": "M_UNKNOWN_TOKEN", "error": "Unrecognised access token"}

    async def story() -> None:
        counter, own = Counter(), kit()
        async with listening(counter.app()) as url:
            first = await opened(url, own)
            counter.ended = {**gone, "soft_logout": True}
            assert await opened(url, own) == first and counter.asked == [first, first]  # only its session had ended
            counter.ended, counter.status = {"errcode": "M_UNKNOWN", "error": "Internal server error"}, 500
            with pytest.raises(Unavailable):
                await opened(url, own)
            counter.ended, counter.status = gone, 401
            with pytest.raises(Refused, match="no password") as caught:
                await opened(url, own, password="")
            assert caught.value.hint and len(counter.asked) == 2
            second = await opened(url, own)
            assert second != first and counter.asked == [first, first, second]
            counter.device = "SOMEBODY"  # what we hold is the session of another device
            assert await opened(url, own) not in (first, second)

    asyncio.run(story())


def test_a_deleted_device_is_replaced_while_people_talk(server: Server, tmp_path: Path) -> None:
    """Deleted in another client while Kith runs; what is said afterwards is read and answered, encrypted."""
    import nio

    async def story() -> None:
        given = matrix_settings(server.port, device="GONE")
        async with household(tmp_path, "matrix", given) as (home, echo):
            keeper = home.manager._keepers["matrix"]
            cat = MatrixPerson("cat", tmp_path)
            await cat.open(server, encrypted=True)
            await cat.joined()
            await cat.say("before")
            await until(lambda: "re before" in cat.heard)
            old = str(keeper.channel._wire._client.device_id)  # pyright: ignore
            other = nio.AsyncClient(f"http://127.0.0.1:{server.port}", "@kith:home.test", "OTHER")
            await other.login("secret")
            proof = {"type": "m.login.password", "password": "secret", "user": "@kith:home.test"}
            await other.delete_devices([old])
            told = await other.delete_devices([old], proof)
            await other.close()
            assert isinstance(told, nio.DeleteDevicesResponse), told
            await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
            new = str(keeper.channel._wire._client.device_id)  # pyright: ignore
            assert new != old and new.startswith("GONE_")
            await until(lambda: new in {one.id for one in cat.client.device_store.active_user_devices(KITH)})
            await cat.say("after")
            await until(lambda: "re after" in cat.heard)
            assert [text for texts in echo.heard.values() for text in texts] == ["before", "after"]
            await cat.close()

    asyncio.run(story())


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_reply_grows_by_edits_until_it_is_whole(server: Server, tmp_path: Path, encrypted: bool) -> None:
    async def story() -> None:
        given = matrix_settings(server.port, device=f"GROW{int(encrypted)}")
        async with open_house(tmp_path, matrix=given) as home:
            await home.manager.start("w")
            await up(home, "matrix")
            bob = MatrixPerson("bob", tmp_path)
            await bob.open(server, encrypted=encrypted)
            await bob.joined()
            topic = conversation_id("matrix", "local", bob.room)
            await bob.say("tell me of the sea")
            await until(lambda: home.manager._keepers["matrix"].route.drafts._pending.get(topic))
            (turn,) = home.manager._keepers["matrix"].route.drafts._pending[topic]
            for text in ("The sea is wide. ", "It is deep. ", "Whales live in it. "):
                seen = len(bob.events)
                home.streams.publish(topic, "delta", {"turn": turn, "text": text})
                await until(lambda seen=seen: len(bob.events) > seen)
            whole = "The sea is wide. It is deep. Whales live in it. So do we, for a while."
            await home.answer(whole)
            home.manager.nudge()
            await until(lambda: bob.heard[-1] == f"* {whole}")
            first, *edits = bob.events
            contents = [one.source["content"] for one in edits]
            assert first.body == "The sea is wide." and len(edits) >= 3
            assert {one["m.relates_to"]["event_id"] for one in contents} == {first.event_id}
            assert contents[-1]["m.new_content"]["body"] == whole
            await bob.close()
            await home.manager.stop()

    asyncio.run(story())


def test_encrypted_messages_both_ways_while_the_connection_breaks(server: Server, tmp_path: Path) -> None:
    class Play:
        async def __aenter__(self) -> Stage:
            self.people = [MatrixPerson(name, tmp_path) for name in ("ann", "bob")]
            for one in self.people:
                await one.open(server, encrypted=True)
            given = matrix_settings
            return Stage("matrix", server.port, lambda port: given(port, device="PLAY"), self.people, mends=True)

        async def __aexit__(self, *_: object) -> None:
            for one in self.people:
                await one.close()

    found = asyncio.run(play(tmp_path, Play(), messages=40, seconds=5, every=1.6))
    assert found.cuts >= 1
    assert found.inwards.clean and found.outwards.clean and not found.dead


def test_the_device_stays_the_same_and_its_keys_lie_encrypted(server: Server, home: Path, tmp_path: Path) -> None:
    async def story() -> None:
        heard: list[Any] = []

        async def accept(envelope: Any) -> Accepted:
            heard.append(envelope)
            return Accepted("t", "c")

        own, given = kit(), MatrixSettings(**matrix_settings(server.port, device="SAME"))
        first = MatrixChannel(given, own)
        await first.start(accept)
        cat = MatrixPerson("cat", tmp_path)
        await cat.open(server, encrypted=True)
        await cat.joined()
        event = await cat.say("helo")
        await until(lambda: len(heard) == 1)
        await first.stop()
        await cat.say("while away", **{"m.relates_to": {"m.in_reply_to": {"event_id": event}}})
        second = MatrixChannel(given, own)
        await second.start(accept)
        await until(lambda: len(heard) == 2)
        assert heard[1].message.text == "while away" and heard[1].reply_to == event and heard[0].kind == "direct"
        said = Message("m", "assistant", (Text("hello"),), 0.0)
        parcel = Parcel("p_1", 1, "c", "matrix", "local", cat.room, said)
        receipts = {(await second.send(parcel)).receipt for _ in range(3)}
        assert len(receipts) == 1  # one transaction, one event
        await until(lambda: cat.heard == ["hello"])
        await second.typing(cat.room)
        await second.probe()
        await second.stop()
        with pytest.raises(Unavailable):
            await second.send(parcel)
        await cat.close()
        store = next((home / "channels" / "matrix" / "local").glob("*.db"))
        with sqlite3.connect(store) as database:
            pickle = database.execute("select account from accounts").fetchone()[0]
        database.close()
        text = pickle if isinstance(pickle, str) else bytes(pickle).decode("latin-1")
        assert "{" not in text and "curve" not in text.lower()  # sealed under the secret in Kith's own store

    asyncio.run(story())


@pytest.mark.parametrize("sealed", [True, False], ids=["encrypted", "open"])
def test_files_come_and_go(server: Server, tmp_path: Path, sealed: bool) -> None:
    async def story() -> None:
        heard: list[Any] = []

        async def accept(envelope: Any) -> Accepted:
            heard.append(envelope)
            return Accepted("t", "c")

        shelf, given = kit(), MatrixSettings(**matrix_settings(server.port, device="FILES"))
        channel = MatrixChannel(given, shelf)
        await channel.start(accept)
        person = MatrixPerson("eve" if sealed else "fay", tmp_path)
        await person.open(server, encrypted=sealed)
        await person.joined()
        name = await person.give(b"a cat" * 1000, "cat.png", encrypted=sealed)
        await person.say("look", msgtype="m.image", filename="gone.png", url="mxc://home.test/nothing", info={})
        await until(lambda: len(heard) == 2)
        (cat,), (words, gone) = (one.message.parts for one in heard)
        assert heard[0].platform_id == name and (cat.type, cat.name, cat.mime) == ("image", "cat.png", "image/png")
        assert await shelf.blobs.fetch(cat) == b"a cat" * 1000
        assert words == Text("look") and gone == Text("[gone.png: not to be had]", outside=True)
        plan = File(shelf.blobs.put(b"a plan"), "text/plain", "plan.txt", 6)
        said = Message("m", "assistant", (Text("here"), plan), 0.0)
        await channel.send(Parcel("p_1", 1, "c", "matrix", "local", person.room, said))
        await until(lambda: person.files)
        assert person.heard == ["here"] and person.files == [("plan.txt", b"a plan")]
        await channel.stop()
        await person.close()

    asyncio.run(story())


def test_more_than_the_server_gives_at_once_is_heard_after_a_while_away(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        heard: list[str] = []

        async def accept(envelope: Any) -> Accepted:
            heard.append(envelope.message.text)
            return Accepted("t", "c")

        own, given = kit(), MatrixSettings(**matrix_settings(server.port, device="AWAY"))
        first = MatrixChannel(given, own)
        await first.start(accept)
        cat = MatrixPerson("cat", tmp_path)
        await cat.open(server, encrypted=True)
        await cat.joined()
        await cat.say("begin")
        await until(lambda: heard == ["begin"])
        await first.stop()
        for number in range(130):  # synapse gives a hundred
            await cat.say(f"{number}")
        second = MatrixChannel(given, own)
        await second.start(accept)
        assert heard == ["begin", *map(str, range(130))]
        await second.stop()
        await cat.close()

    asyncio.run(story())


def test_a_black_hole_is_noticed_and_told(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            Proxy(server.port) as proxy,
            household(tmp_path, "matrix", matrix_settings(proxy.port, device="HOLE")) as (home, _),
        ):
            keeper = home.manager._keepers["matrix"]
            keeper.liveness = 2.0
            told: list[str] = []
            report = home.health.report
            home.health.report = lambda *a, **k: (told.append(a[2]) if a[1] == "degraded" else None, report(*a, **k))
            keeper.lost("the test wants it built anew, with the shorter bound")
            await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
            proxy.blackhole()
            await until(lambda: keeper.watch.restarts >= 2)
            assert "nothing was heard" in told[-1]
            proxy.heal()
            await up(home, "matrix")

    asyncio.run(story())


def test_only_invitations_of_the_listed_are_followed(server: Server, tmp_path: Path) -> None:
    async def story() -> None:
        given = matrix_settings(server.port, invited_by=["@somebody:else.test"], device="SHY")
        channel = MatrixChannel(MatrixSettings(**given), kit())
        await channel.start(nobody)
        dan = MatrixPerson("dan", tmp_path)
        await dan.open(server, encrypted=False)
        await until(
            lambda: (room := dan.client.rooms.get(dan.room)) is not None and "@kith:home.test" not in room.users
        )
        await channel.stop()
        await dan.close()

    asyncio.run(story())


def test_a_wrong_password_is_not_tried_again(server: Server) -> None:
    async def story(**more: Any) -> None:
        channel = MatrixChannel(MatrixSettings(**matrix_settings(server.port, device="WRONG", **more)), kit())
        try:
            await channel.start(nobody)
        finally:
            await channel.stop()

    with pytest.raises(Refused):
        asyncio.run(story(password="wrong"))
    with pytest.raises(Invalid):
        asyncio.run(story(homeserver=""))
