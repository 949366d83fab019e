"""The Discord channel: an event counts as heard once it is kept, and all later ones come again after a broken
connection or a restart. When Discord has given the session up, what was said meanwhile is read from the history.

The connection is our own and not discord.py's, which counts an event as heard when it arrives: one that was not kept
when the process ended, or when the inbox was full, would never come again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, cast

from kith.channels.discord.parse import NAME, Known, parse
from kith.channels.discord.render import Piece, content, nonce, place, render, texts
from kith.channels.discord.settings import DiscordSettings
from kith.channels.discord.wire import Wire
from kith.channels.kit import (
    Arrival,
    Bookmark,
    Event,
    Kit,
    Session,
    Usage,
    collect,
    deliver,
    hand_over,
    keep,
    let_go,
    load_cursor,
    save_cursor,
    tended,
)
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PORTAL = "look at the bot's page in the Developer Portal"
_FATAL = {
    4004: "Discord does not know this bot: look at channels.discord.token",
    4010: "Discord refuses the connection",
    4011: "the bot is in more servers than one connection may serve",
    4012: "Discord refuses the connection: its version",
    4013: "Discord refuses the connection: its intents",
    4014: f"Discord does not let this bot read messages: switch on Message Content Intent, {_PORTAL}",
}
_GONE = frozenset({4003, 4007, 4009})
_ROOMS, _AUTHORS, _PAGES, _PAGE = 200, 5000, 10, 100
_EPOCH, _DAY, _MARGIN = 1_420_070_400.0, 86_400.0, 60.0  # a snowflake's time counts from 2015


class DiscordChannel:
    """One bot. Implements `Channel`, `Editor`, `Prober` and `Reaching`."""

    def __init__(self, settings: DiscordSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._session: Session | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._own, self._latest, self._news = "", 0, False
        self._rooms: OrderedDict[str, str] = OrderedDict()  # channel to server, which is empty for a direct one
        self._roles: dict[str, frozenset[str]] = {}
        self._authors: OrderedDict[str, str] = OrderedDict()

    async def start(self, accept: Accept) -> None:
        """Ask who we are, and take the session up again or begin one. Raises `Unavailable`, `Refused`."""
        wire = self._wire = Wire(self._settings, self._kit)
        try:
            me = await wire.call("GET", "/users/@me")
            self._own = str(cast("dict[str, Any]", me).get("id", "")) if isinstance(me, dict) else ""
            url = await wire.gateway()
            mark = await self._load()
            usage = Usage(wire.identify, wire.token, _FATAL, _GONE)
            session = self._session = Session(usage, self._kit.clock, self._kit.alive, mark)
            await session.open(url)
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        self._task = asyncio.create_task(self._run(session, url))

    async def stop(self) -> None:
        """Leave the connection; the session stays open for some minutes, and what was not kept comes again."""
        self._accept = None
        task, self._task, session, self._session = self._task, None, self._session, None
        wire, self._wire = self._wire, None
        await let_go([task], session, wire)

    async def probe(self) -> None:
        """Whether the Gateway answers, over which everything is heard. Raises `Unavailable`."""
        self._connected()
        if self._session is not None:
            await self._session.probe()

    async def reach(self) -> None:
        """Whether the API answers, which replies go by. Raises `Unavailable`, `Refused`."""
        await self._connected().call("GET", "/users/@me")

    async def typing(self, conversation: str) -> None:
        """Show that we write; Discord takes it away after ten seconds."""
        await self._connected().call("POST", f"/channels/{_room(conversation)}/typing")

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when Discord has every piece; a receipt is ``channel/message``. Raises `Unavailable`, `Refused`."""
        wire, room = self._connected(), _room(parcel.target)

        async def say(index: int, piece: Piece) -> str:
            body = {**nonce(parcel.id, index), **(place(room, parcel.reply_to) if not index else {})}
            file = None
            if piece.media is None:
                body |= content(piece.text)
            else:
                data = await self._kit.blobs.fetch(piece.media)
                file = (piece.media.name or "file", data, piece.media.mime)
            made = await wire.call("POST", f"/channels/{room}/messages", body, file)
            return f"{room}/{made['id']}" if isinstance(made, dict) and "id" in made else ""

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def edit(self, parcel: Parcel, receipt: str, text: str) -> None:  # noqa: ARG002  # an edit needs no key
        """Replace the text of a message of ours. Raises as `send`, `NotFound` for one that is gone."""
        room, _, number = receipt.partition("/")
        if not number.isdecimal():
            raise NotFound("there is no such message")
        if found := texts(text):
            body = content(found[0])
            await self._connected().call("PATCH", f"/channels/{_room(room)}/messages/{number}", body)

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the Discord channel is not connected")
        return self._wire

    async def _load(self) -> Bookmark:
        account = self._settings.account
        kept, rooms = (
            await load_cursor(self._kit, NAME, account),
            await load_cursor(self._kit, NAME, f"{account}/rooms"),
        )
        self._latest = int(kept.get("latest", 0))
        self._rooms = OrderedDict((str(room), str(guild)) for room, guild in rooms.items())
        return Bookmark(str(kept.get("session", "")), str(kept.get("url", "")), int(kept.get("seq", 0)))

    async def _run(self, session: Session, url: str) -> None:
        async def heard(event: Event) -> None:
            await self._heard(session, event)

        await tended("Discord", self._kit.lost, lambda: session.listen(url, heard))

    async def _heard(self, session: Session, event: Event) -> None:
        """One event, kept with what it leads to. Nothing is kept of what says nothing to us: it may come again."""
        self._news = False
        match event.name:
            case "READY":
                await self._catch_up()
                self._news = True
            case "MESSAGE_DELETE_BULK":
                for gone in cast("list[Any]", ids) if isinstance(ids := event.body.get("ids"), list) else []:
                    await self._take({"t": "MESSAGE_DELETE", "d": {**event.body, "id": gone}})
            case _:
                await self._take(event.whole)
        session.done(event)
        if self._news:
            mark = session.mark
            place = {"session": mark.session, "url": mark.url, "seq": mark.seq, "latest": self._latest}
            await save_cursor(self._kit, NAME, self._settings.account, place)

    async def _catch_up(self) -> None:
        """The session is a new one: what was said since the last message, at most a day ago, in the rooms we know."""
        if not self._latest:
            return
        day_ago = int((self._kit.clock.now() - _DAY - _EPOCH) * 1000) << 22
        since = max(self._latest - (int(_MARGIN * 1000) << 22), day_ago, 0)
        for room, guild in tuple(self._rooms.items()):
            try:
                await self._read(room, guild, since)
            except (Refused, NotFound) as error:  # we are not in there any more
                _log.info("history not read", code=error.code)

    async def _read(self, room: str, guild: str, since: int) -> None:
        for _ in range(_PAGES):
            path = f"/channels/{_room(room)}/messages?limit={_PAGE}&after={since}"
            found: Any = await self._connected().call("GET", path)
            said = [cast("dict[str, Any]", one) for one in cast("list[Any]", found) if isinstance(one, dict)]
            said = sorted((one for one in said if str(one.get("id", "")).isdecimal()), key=lambda one: int(one["id"]))
            for one in said:
                await self._take({"t": "MESSAGE_CREATE", "d": {**one, "guild_id": guild} if guild else one})
            if len(said) < _PAGE:
                return
            since = int(said[-1]["id"])

    async def _take(self, event: Mapping[str, Any]) -> None:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""
        made: list[Envelope] = []

        async def make() -> Envelope | None:
            envelope = parse(event, self._arrival(), await self._known(event))
            made[:] = [] if envelope is None else [await collect(self._kit, envelope, self._connected().fetch)]
            return made[0] if made else None

        if not await hand_over(self._kit, lambda: self._accept, make):
            raise Unavailable("the channel was stopped before this was kept")
        for envelope in made:
            await self._note(event, envelope)
            self._news = True

    def _arrival(self) -> Arrival:
        return Arrival(self._settings.account, self._kit.clock.now())

    async def _known(self, event: Mapping[str, Any]) -> Known:
        body: Any = event.get("d")
        roles = frozenset[str]()
        if isinstance(body, dict) and (found := cast("dict[str, Any]", body)).get("mention_roles"):
            roles = await self._meaning_us(str(found.get("guild_id", "")))
        return Known(self._own, roles, self._session.mark.session if self._session else "", self._authors)

    async def _meaning_us(self, guild: str) -> frozenset[str]:
        """The role that a server made for us: people call it by mistake, because it has our name."""
        if guild not in self._roles and guild.isdecimal():
            try:
                found: Any = await self._connected().call("GET", f"/guilds/{guild}/roles")
            except (Refused, NotFound, Invalid):
                found = None
            self._roles[guild] = frozenset(_ours(found, self._own))
        return self._roles.get(guild, frozenset())

    async def _note(self, event: Mapping[str, Any], envelope: Envelope) -> None:
        """Remember whose message it was, the room, and that everything up to it is kept."""
        if not envelope.message.parts or envelope.edits:
            return
        keep(self._authors, envelope.platform_id, envelope.sender, _AUTHORS)
        self._latest = max(self._latest, int(envelope.platform_id.rpartition("/")[2]))
        guild = str(cast("dict[str, Any]", event["d"]).get("guild_id", ""))
        if self._rooms.get(envelope.conversation) != guild:
            keep(self._rooms, envelope.conversation, guild, _ROOMS)
            await save_cursor(self._kit, NAME, f"{self._settings.account}/rooms", self._rooms)


def _room(target: str) -> str:
    """A channel's number, which becomes part of an address. Raises `NotFound` for what is none."""
    if not (target.isascii() and target.isdigit()):
        raise NotFound("there is no such channel")
    return target


def _ours(roles: Any, own: str) -> Iterator[str]:
    """The roles that Discord made for the bot `own` ("Role Tags")."""
    for role in cast("list[Any]", roles) if isinstance(roles, list) else []:
        fields: dict[str, Any] = cast("dict[str, Any]", role) if isinstance(role, dict) else {}
        tags: Any = fields.get("tags")
        if isinstance(tags, dict) and cast("dict[str, Any]", tags).get("bot_id") == own:
            yield str(fields.get("id", ""))
