"""People on each platform: plain clients, written apart from the channels that they test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import secrets
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.channels.emulators.bluebubbles import mac_stage
from tests.channels.proxy import Proxy
from tests.channels.rig import Stage
from tests.channels.servers import (
    PostOffice,
    Server,
    imap_server,
    irc_server,
    matrix_server,
    mqtt_server,
    smtp_server,
    xmpp_server,
)


class IrcPerson:
    """A nick. `say` repeats while the server says that the bot is not there."""

    def __init__(self, nick: str, bot: str = "kith") -> None:
        self.nick, self.bot = nick, bot
        self.heard: list[str] = []
        self.lines: list[str] = []
        self._pong = asyncio.Event()
        self._absent = False
        self._task: asyncio.Task[None] | None = None

    async def open(self, server: Server) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", server.port)
        self.raw(f"NICK {self.nick}", f"USER {self.nick} 0 * :{self.nick}")
        self._task = asyncio.create_task(self._listen())
        await self.ping()

    async def close(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.transport.abort()

    def raw(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def ping(self) -> None:
        """Returns when the server has worked through everything."""
        self._pong.clear()
        self.raw("PING :done")
        async with asyncio.timeout(90):
            await self._pong.wait()

    async def say(self, text: str) -> None:
        while True:
            self._absent = False
            self.raw(f"PRIVMSG {self.bot} :{text}")
            await self.ping()
            if not self._absent:
                return
            await asyncio.sleep(0.2)

    async def _listen(self) -> None:
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            self.lines.append(line)
            words = line.split(" ")
            if words[0] == "PING":
                self.raw(f"PONG {words[1]}")
            elif words[1] in ("PONG", "001"):
                self._pong.set()
            elif words[1] == "401":
                self._absent = True
            elif words[1] == "PRIVMSG" and words[0].startswith(f":{self.bot}!"):
                self.heard.append(line.split(" :", 1)[1])


@contextlib.asynccontextmanager
async def irc_stage(folder: Path, people: int) -> AsyncIterator[Stage]:
    with irc_server(folder) as server:
        crowd = [IrcPerson(f"person{number}") for number in range(people)]
        for one in crowd:
            await one.open(server)

        def settings(port: int) -> dict[str, Any]:
            return {"host": "127.0.0.1", "port": port, "tls": False, "burst": 100, "per_second": 100}

        try:
            yield Stage("irc", server.port, settings, crowd)
        finally:
            for one in crowd:
                await one.close()


class MqttPerson:
    """A small program that publishes and subscribes, QoS 1; written on Paho, but apart from the channel."""

    def __init__(self, name: str, prefix: str = "kith", *, ids: bool = True) -> None:
        self.name, self.prefix, self._ids = name, prefix, ids
        self.heard: list[str] = []
        self.copies: list[str] = []
        self.answers: list[str] = []  # what each reply answers
        self.seen: set[str] = set()

    async def open(self, server: Server) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self._loop = asyncio.get_running_loop()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"person-{self.name}", reconnect_on_failure=False)
        self._client.on_message = lambda *given: self._loop.call_soon_threadsafe(self._hear, given[2].payload)
        subscribed = asyncio.Event()
        self._client.on_subscribe = lambda *given: self._loop.call_soon_threadsafe(subscribed.set)
        self._client.connect("127.0.0.1", server.port)
        self._client.loop_start()
        self._client.subscribe(f"{self.prefix}/out/{self.name}/#", 1)
        await subscribed.wait()

    def _hear(self, payload: bytes) -> None:
        """A subscriber knows a second copy by its id; `copies` counts them."""
        said = json.loads(payload)
        if said["id"] in self.seen:
            self.copies.append(said["id"])
            return
        self.seen.add(said["id"])
        self.heard.append(said["text"])
        self.answers.append(said["reply_to"])

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def say(self, text: str) -> None:
        payload = json.dumps({"id": f"{self.name}-{text}", "text": text}) if self._ids else text
        await self.publish(f"{self.prefix}/in/{self.name}", payload)

    async def publish(self, topic: str, payload: str | bytes, qos: int = 1, *, retain: bool = False) -> None:
        info = self._client.publish(topic, payload, qos, retain)
        await asyncio.to_thread(info.wait_for_publish, 90)


@contextlib.asynccontextmanager
async def mqtt_stage(folder: Path, people: int, *, ids: bool = True) -> AsyncIterator[Stage]:
    with mqtt_server(folder) as server:
        crowd = [MqttPerson(f"person{number}", ids=ids) for number in range(people)]
        for one in crowd:
            await one.open(server)

        def settings(port: int) -> dict[str, Any]:
            return {"host": "127.0.0.1", "port": port, "tls": False}

        try:
            yield Stage("mqtt", server.port, settings, crowd)
        finally:
            for one in crowd:
                await one.close()


@functools.lru_cache(maxsize=10_000)
def _body(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content()).strip()


class MailPerson:
    """Somebody with a mail program: each mail answers the one before it, in one thread."""

    def __init__(self, name: str, office: PostOffice, port: int) -> None:
        self.address, self._office, self._port = f"{name}@far.test", office, port
        self._first = f"{name}.first@far.test"
        self._count = 0
        self._read: list[Any] = []

    @property
    def mails(self) -> list[Any]:
        fresh = self._office.delivered.get(self.address, [])[len(self._read) :]
        self._read += [message_from_bytes(raw, policy=policy.default) for raw in fresh]
        return self._read

    @property
    def heard(self) -> list[str]:
        """The bodies, each Message-ID once, as a mail store would show them."""
        told = {str(mail["Message-ID"]): mail for mail in self.mails}
        return [_body(mail) for mail in told.values()]

    @property
    def copies(self) -> list[str]:
        ids = [str(mail["Message-ID"]) for mail in self.mails]
        return ids[len(set(ids)) :]

    async def say(self, text: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.address, "kith@home.test", "numbers"
        mail["Message-ID"] = f"<{self._first if not self._count else f'{self._count}.{self._first}'}>"
        if self._count:
            mail["References"] = f"<{self._first}>"
        self._count += 1
        mail.set_content(f"{text}\n\nOn Monday, Kith wrote:\n> something older\n")
        await self.post(mail.as_bytes())

    async def post(self, raw: bytes) -> None:
        import aiosmtplib

        await aiosmtplib.send(
            raw,
            sender=self.address,
            recipients=["kith@home.test"],
            hostname="127.0.0.1",
            port=self._port,
            start_tls=False,
        )


def mail_settings(imap: int, smtp: int) -> dict[str, Any]:
    return {
        "address": "kith@home.test", "password": "secret", "imap_host": "127.0.0.1", "imap_port": imap,
        "imap_safety": "none", "smtp_host": "127.0.0.1", "smtp_port": smtp, "smtp_safety": "none",
    }  # fmt: skip


@contextlib.asynccontextmanager
async def mail_stage(folder: Path, people: int) -> AsyncIterator[Stage]:
    with smtp_server(folder) as (smtp, office), imap_server(folder) as server:
        async with Proxy(smtp) as sending:
            crowd = [MailPerson(f"person{number}", office, smtp) for number in range(people)]
            yield Stage("email", server.port, lambda port: mail_settings(port, sending.port), crowd, sending)


class XmppPerson:
    """An address at the server, on slixmpp without the channel's plugins."""

    def __init__(self, name: str) -> None:
        self.jid = f"{name}@home.test"
        self.heard: list[str] = []
        self.stanzas: list[Any] = []
        self._count = 0

    async def open(self, server: Server) -> None:
        import slixmpp
        from slixmpp.xmlstream.handler import Callback
        from slixmpp.xmlstream.matcher import MatchXPath

        self.client: Any = slixmpp.ClientXMPP(f"{self.jid}/there", "secret")
        for plugin in ("xep_0045", "xep_0199"):
            self.client.register_plugin(plugin)
        self.client.plugin["feature_mechanisms"].unencrypted_scram = True
        self.client.enable_direct_tls = self.client.enable_starttls = False
        self.client.enable_plaintext = True
        ready = asyncio.Event()
        self.client.add_event_handler("session_start", lambda _: ready.set())
        self.client.register_handler(Callback("all", MatchXPath("{jabber:client}message"), self._hear))
        self.client.connect("127.0.0.1", server.port)
        async with asyncio.timeout(90):
            await ready.wait()
        self.client.send_presence()

    def _hear(self, message: Any) -> None:
        self.stanzas.append(message)
        if message["body"] and not str(message["from"]).endswith(f"/{self.jid.split('@')[0]}"):
            self.heard.append(message["body"])

    async def close(self) -> None:
        await self.client.disconnect()
        self.client._run_out_filters.cancel()
        await asyncio.gather(self.client._run_out_filters, return_exceptions=True)

    async def say(self, text: str, to: str = "kith@home.test", kind: str = "chat", **more: str) -> None:
        """Returns when the server has worked through it."""
        self._count += 1
        message = self.client.make_message(to, text, mtype=kind)
        message["id"] = f"said{self._count}"
        for name, namespace in more.items():
            element = ElementTree.SubElement(message.xml, f"{{{namespace.split()[0]}}}{name}")
            if " " in namespace:
                element.set("id", namespace.split()[1])
        message.send()
        await self.client.plugin["xep_0199"].ping("home.test", timeout=90)

    async def give(self, address: str, text: str = "") -> None:
        """Tell where a file is (XEP-0066)."""
        message = self.client.make_message("kith@home.test", text or address, mtype="chat")
        about = ElementTree.SubElement(message.xml, "{jabber:x:oob}x")
        ElementTree.SubElement(about, "{jabber:x:oob}url").text = address
        message.send()
        await self.client.plugin["xep_0199"].ping("home.test", timeout=90)


def xmpp_settings(port: int, **more: Any) -> dict[str, Any]:
    return {
        "jid": "kith@home.test", "password": "secret", "host": "127.0.0.1", "port": port, "safety": "none", **more,
    }  # fmt: skip


@contextlib.asynccontextmanager
async def xmpp_stage(folder: Path, people: int) -> AsyncIterator[Stage]:
    names = [f"person{number}" for number in range(people)]
    with xmpp_server(folder, ["kith", *names]) as server:
        crowd = [XmppPerson(name) for name in names]
        for one in crowd:
            await one.open(server)
        try:
            yield Stage("xmpp", server.port, xmpp_settings, crowd)
        finally:
            for one in crowd:
                await one.close()


class MatrixPerson:
    """A user with a room of their own for the bot, encrypted or not; on matrix-nio, apart from the channel."""

    def __init__(self, name: str, folder: Path) -> None:
        self.user, self._folder = f"@{name}:home.test", folder / name
        self.heard: list[str] = []
        self.files: list[tuple[str, bytes]] = []
        self.events: list[Any] = []
        self.room = ""
        self._count = 0

    async def open(self, server: Server, *, encrypted: bool) -> None:
        import nio

        self._folder.mkdir()
        config = nio.AsyncClientConfig(store=nio.store.SqliteStore, encryption_enabled=True, max_timeouts=0)
        url = f"http://127.0.0.1:{server.port}"
        # a device of its own: the server would give away keys of an earlier life that this one cannot open
        device = f"PERSON{secrets.token_hex(4).upper()}"
        self.client: Any = nio.AsyncClient(url, self.user, device, str(self._folder), config)
        await self.client.login("secret")
        self.client.add_event_callback(self._hear, nio.RoomMessageText)
        self.client.add_event_callback(self._take, (nio.RoomMessageFile, nio.RoomEncryptedFile))
        state = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
        made = await self.client.room_create(
            preset=nio.RoomPreset.trusted_private_chat, is_direct=True, invite=["@kith:home.test"],
            initial_state=state if encrypted else [],
        )  # fmt: skip
        self.room = made.room_id
        self._task = asyncio.create_task(self.client.sync_forever(timeout=5000, full_state=True))

    async def _hear(self, room: Any, event: Any) -> None:
        if event.sender == "@kith:home.test" and room.room_id == self.room:
            self.events.append(event)
            self.heard.append(event.body)

    async def _take(self, room: Any, event: Any) -> None:
        from nio.crypto.attachments import decrypt_attachment

        data = (await self.client.download(mxc=event.url)).body
        if hasattr(event, "key"):
            data = decrypt_attachment(data, event.key["k"], event.hashes["sha256"], event.iv)
        self.files.append((event.body, bytes(data)))

    async def give(self, data: bytes, name: str, *, encrypted: bool) -> str:
        """Send a picture; the event's id."""
        import io

        up, keys = await self.client.upload(
            io.BytesIO(data), content_type="image/png", filename=name, encrypt=encrypted, filesize=len(data)
        )
        where = {"file": {**keys, "url": up.content_uri}} if encrypted else {"url": up.content_uri}
        info = {"mimetype": "image/png", "size": len(data)}
        return await self.say(name, msgtype="m.image", info=info, **where)

    async def joined(self) -> None:
        """Returns when the bot is in the room and its device is known."""
        async with asyncio.timeout(90):
            while True:
                room = self.client.rooms.get(self.room)
                there = room is not None and "@kith:home.test" in room.users and not room.invited_users
                known = there and (
                    not room.encrypted or list(self.client.device_store.active_user_devices("@kith:home.test"))
                )
                if there and known:
                    return
                await asyncio.sleep(0.05)

    async def say(self, text: str, **more: Any) -> str:
        self._count += 1
        content = {"msgtype": "m.text", "body": text, **more}
        sent = await self.client.room_send(
            self.room, "m.room.message", content, f"{self._count}", ignore_unverified_devices=True
        )
        return str(sent.event_id)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.client.close()


def matrix_settings(port: int, **more: Any) -> dict[str, Any]:
    return {
        "homeserver": f"http://127.0.0.1:{port}", "user": "@kith:home.test", "password": "secret",
        "invited_by": ["*:home.test"], **more,
    }  # fmt: skip


@contextlib.asynccontextmanager
async def matrix_stage(folder: Path, people: int, *, encrypted: bool = True) -> AsyncIterator[Stage]:
    names = [f"person{number}" for number in range(people)]
    with matrix_server(folder, ["kith", *names]) as server:
        crowd = [MatrixPerson(name, folder) for name in names]
        for one in crowd:
            await one.open(server, encrypted=encrypted)
        try:
            yield Stage("matrix", server.port, matrix_settings, crowd, mends=True)
        finally:
            for one in crowd:
                await one.close()


STAGES = {
    "matrix": matrix_stage, "xmpp": xmpp_stage, "email": mail_stage, "irc": irc_stage, "mqtt": mqtt_stage,
    "imessage": mac_stage,
}  # fmt: skip
