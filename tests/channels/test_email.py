"""The e-mail channel against dovecot and aiosmtpd."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from kith.channels.email.channel import EmailChannel
from kith.channels.email.settings import EmailSettings
from kith.channels.email.wire import Wire
from kith.channels.kit import Kit
from kith.core.clock import SystemClock
from kith.core.errors import Invalid, Refused
from kith.core.ids import Ids
from kith.core.message import Image
from kith.core.turn import Accepted
from kith.runtime.streams import Streams
from tests.channels.people import MailPerson, mail_settings, mail_stage
from tests.channels.proxy import Proxy
from tests.channels.rig import household, play, until, up
from tests.channels.servers import PostOffice, Server, certificate, imap_server, smtp_server

pytestmark = pytest.mark.server


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that dovecot's own user can enter, which pytest's is not."""
    with tempfile.TemporaryDirectory(prefix="kith-mail-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def house_of_mail(tmp_path: Path) -> Iterator[tuple[Server, int, PostOffice]]:
    with smtp_server(tmp_path) as (smtp, office), imap_server(tmp_path) as server:
        yield server, smtp, office


Mails = tuple[Server, int, PostOffice]


async def nobody(envelope: Any) -> Accepted:
    raise AssertionError


def channel(given: dict[str, Any], kit: Kit | None = None) -> EmailChannel:
    clock = SystemClock()
    own = kit or Kit(None, Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore
    return EmailChannel(EmailSettings(**given), own)


async def looked(own: EmailChannel, condition: Callable[[], Any]) -> None:
    """Wait as a keeper does, who has the channel look again when nothing comes: a server may tell late of a mail that
    came in the same second as another."""
    async with asyncio.timeout(90):
        while not condition():
            await own.probe()
            await asyncio.sleep(0.05)


def test_messages_both_ways_while_the_connections_break(tmp_path: Path) -> None:
    found = asyncio.run(play(tmp_path, mail_stage(tmp_path, 3), messages=60, seconds=4, every=1.3))
    assert found.cuts >= 1
    assert found.inwards.clean and found.outwards.clean and not found.dead


def test_what_came_while_away_is_answered_in_its_thread_and_old_mail_is_not(
    house_of_mail: Mails, tmp_path: Path
) -> None:
    server, smtp, office = house_of_mail

    async def story() -> None:
        ann, given = MailPerson("ann", office, smtp), mail_settings(server.port, smtp)
        await ann.say("before Kith was there")
        async with household(tmp_path, "email", given):
            pass
        async with household(tmp_path, "email", given) as (home, _):
            # This household's records are new: it begins behind what is there.
            await ann.say("one")
            await until(lambda: ann.heard == ["re one"])
            mail = ann.mails[0]
            assert mail["Subject"] == "Re: numbers" and mail["In-Reply-To"] == "<1.ann.first@far.test>"
            assert mail["References"] == "<ann.first@far.test> <1.ann.first@far.test>"
            assert mail["Auto-Submitted"] == "auto-replied"
            assert not await home.storage.outbox.find("dead")

    asyncio.run(story())


def test_the_place_is_kept_and_nothing_is_read_twice(house_of_mail: Mails) -> None:
    server, smtp, office = house_of_mail

    async def story() -> None:
        ann, given, told = MailPerson("ann", office, smtp), mail_settings(server.port, smtp), []
        clock = SystemClock()
        kit = Kit(None, Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore

        async def accept(envelope: Any) -> Accepted:
            told.append(envelope.message.text)
            return Accepted("t", "c")

        first = channel(given, kit)
        await first.start(accept)
        await ann.say("one")
        await looked(first, lambda: told == ["one"])
        while not (await kit.records.get("cursor", "email:local") or {}).get("uid"):
            await asyncio.sleep(0.01)
        await first.stop()
        await ann.say("two")
        second = channel(given, kit)
        await second.start(accept)
        await ann.say("three")
        await looked(second, lambda: len(told) >= 3)
        await second.stop()
        assert told == ["one", "two", "three"]
        kept = await kit.records.get("cursor", "email:local")
        assert kept is not None
        await kit.records.put("cursor", "email:local", {**kept, "validity": 1})  # the server numbers anew
        third = channel(given, kit)
        await third.start(accept)
        await looked(third, lambda: len(told) >= 6)
        await third.stop()

    asyncio.run(story())


def test_a_picture_comes_with_its_bytes(house_of_mail: Mails) -> None:
    server, smtp, office = house_of_mail

    async def story() -> None:
        heard: list[Any] = []

        async def accept(envelope: Any) -> Accepted:
            heard.append(envelope)
            return Accepted("t", "c")

        clock = SystemClock()
        kit = Kit(None, Streams(), clock, Ids(clock), lambda turn: None)  # pyright: ignore
        own = channel(mail_settings(server.port, smtp), kit)
        await own.start(accept)
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Message-ID"] = "ann@far.test", "kith@home.test", "<p@far.test>"
        mail.set_content("look")
        mail.add_attachment(b"\x89PNG....", maintype="image", subtype="png", filename="dot.png")
        office.deliver("kith@home.test", b"rubbish without a header")
        office.deliver("kith@home.test", mail.as_bytes())
        await looked(own, lambda: heard)
        image = heard[0].message.parts[1]
        assert isinstance(image, Image) and await kit.blobs.fetch(image) == b"\x89PNG...."
        await own.stop()

    asyncio.run(story())


def test_a_server_that_refuses_for_now_is_tried_again(house_of_mail: Mails, tmp_path: Path) -> None:
    server, smtp, office = house_of_mail

    async def story() -> None:
        ann = MailPerson("ann", office, smtp)
        async with household(tmp_path, "email", mail_settings(server.port, smtp)) as (home, _):
            office.refuse = "550 never"
            await home.commit("no", channel="email", conversation="bob@far.test/x")
            await home.until_states(no="dead")
            office.refuse = ""
            await home.commit("yes", channel="email", conversation="ann@far.test/x")
            await home.until_states(yes="sent")
            assert ann.heard == ["yes"]

    asyncio.run(story())


def test_a_silent_connection_is_noticed(house_of_mail: Mails, tmp_path: Path) -> None:
    server, smtp, _ = house_of_mail

    async def story() -> None:
        async with (
            Proxy(server.port) as proxy,
            household(tmp_path, "email", mail_settings(proxy.port, smtp)) as (home, _),
        ):
            keeper = home.manager._keepers["email"]
            keeper.liveness = 1.5
            proxy.cut()
            await until(lambda: keeper.watch.restarts >= 1 and keeper.route.channel is not None)
            async with asyncio.timeout(90):
                await keeper.channel.probe()
            proxy.blackhole()
            await until(lambda: keeper.watch.restarts >= 2)
            proxy.heal()
            await up(home, "email")

    asyncio.run(story())


def test_tls_and_a_wrong_password(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path)
    with smtp_server(tmp_path) as (smtp, _), imap_server(tmp_path, tls=True) as server:
        given = {**mail_settings(server.port, smtp), "imap_safety": "tls", "authority": str(cert)}

        async def story(**more: Any) -> None:
            own = channel({**given, **more})
            try:
                await own.start(nobody)
                await own.probe()
            finally:
                await own.stop()

        asyncio.run(story())
        with pytest.raises(Refused):
            asyncio.run(story(password="wrong"))
        with pytest.raises(Invalid):
            asyncio.run(story(imap_host=""))


def test_mail_told_of_in_the_middle_of_another_answer_is_looked_at_before_idling() -> None:
    """A server tells of new mail once, wherever it is in its talk."""
    answers = [
        (b"CAPABILITY", b"* CAPABILITY IMAP4rev1 IDLE\r\n"),
        (b"SELECT", b"* 1 EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 2] .\r\n"),
        (b"UID SEARCH", b"* SEARCH 1\r\n"),
        (b"UID STORE", b"* 2 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen))\r\n"),
        (b"UID SEARCH", b"* SEARCH 1 2\r\n"),
        (b"UID STORE", b"* 2 EXPUNGE\r\n* 1 EXISTS\r\n"),
        (b"UID STORE", b"* 2 EXISTS\r\n"),
    ]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        for name, told in answers:
            tag, _, rest = (await reader.readline()).partition(b" ")
            assert rest.startswith(name)
            writer.write(told + tag + b" OK done\r\n")
        tag = (await reader.readline()).partition(b" ")[0]
        writer.write(b"+ idling\r\n")
        assert await reader.readline() == b"DONE\r\n"
        writer.write(tag + b" OK done\r\n")
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        wire = await Wire.open("127.0.0.1", server.sockets[0].getsockname()[1], None, 1024)
        assert await wire.select("INBOX") == (1, 2)
        assert await wire.news(0) == [1] and not wire.grown
        await wire.seen(1)
        assert wire.grown
        assert await wire.news(1) == [2] and not wire.grown
        await wire.seen(2)
        assert not wire.grown  # one went
        await wire.seen(2)
        assert wire.grown
        await wire.idle(3600.0, asyncio.Event())
        wire.abort()
        server.close()
        await server.wait_closed()

    asyncio.run(story())
