"""The Matrix channel.

Inwards the cursor is the token of the last sync whose events were all accepted. Outwards every event has a transaction
id that stays the same however often it is sent, by which the server knows it.
"""

from __future__ import annotations

import asyncio
import fnmatch
from typing import Any, NoReturn

import httpx

from kith.channels.kit import Arrival, Kit, collect, deliver, hand_over, let_go, load_cursor, save_cursor, tended
from kith.channels.matrix.files import Files
from kith.channels.matrix.parse import NAME, parse
from kith.channels.matrix.render import render
from kith.channels.matrix.settings import MatrixSettings
from kith.channels.matrix.unread import Sealed, Unread
from kith.channels.matrix.wire import Wire, entered
from kith.core.errors import Invalid, KithError, Unavailable
from kith.core.ids import conversation_id
from kith.core.message import Envelope, Media, Message, Text
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.locale import tr
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)


class MatrixChannel:
    """One account."""

    def __init__(self, settings: MatrixSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None
        self._unread = Unread(kit, NAME, settings.account)
        self._excused: set[str] = set()  # rooms whose person was told that something could not be read

    async def start(self, accept: Accept) -> None:
        """Log in and learn of the rooms. Raises `Unavailable`, `Refused`, `Invalid` without a homeserver."""
        given = self._settings
        if not given.homeserver or not given.user.startswith("@"):
            raise Invalid("the Matrix channel needs a homeserver and a user", hint="set channels.matrix.homeserver")
        wire = self._wire = Wire(given, self._kit)
        try:
            await wire.open()
            kept = await load_cursor(self._kit, NAME, given.account)
            since = str(kept.get("since", ""))
            await self._unread.load(wire.revive)
            first = await wire.sync(since, full=True)
            self._accept = accept
            await self._take(wire, first, since)
        except KithError:
            await self.stop()
            raise
        self._task = asyncio.create_task(
            tended("Matrix", self._kit.lost, lambda: self._run(wire, str(first.next_batch)))
        )

    async def stop(self) -> None:
        """Stop listening; the session stays."""
        self._accept = None
        task, self._task, wire, self._wire = self._task, None, self._wire, None
        await let_go([task], wire)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def probe(self) -> None:
        """Ask the server for an answer. Raises `Unavailable`."""
        await self._connected().whoami()

    async def typing(self, conversation: str) -> None:
        """Show that we write."""
        await self._connected().typing(conversation)

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when the server has the events. Raises `Unavailable`, `Refused`."""
        wire = self._connected()

        async def say(index: int, content: dict[str, Any]) -> str:
            if (media := content.get("media")) is not None:
                content = await self._stored(wire, parcel.target, media, content)
            return await wire.send(parcel.target, content, f"{parcel.id}-{index}")

        return await deliver(self._kit, parcel, render(parcel.message), say)

    async def _stored(self, wire: Wire, room: str, media: Media, content: dict[str, Any]) -> dict[str, Any]:
        """A file's content after its bytes were stored at the homeserver."""
        data, sealed = await self._kit.blobs.fetch(media), wire.encrypted(room)
        where = await self._files().put(data, media.mime, media.name or "file", wire.token, encrypted=sealed)
        info: dict[str, Any] = {"mimetype": media.mime, "size": len(data)}
        return {**{key: value for key, value in content.items() if key != "media"}, "info": info, **where}

    def _files(self) -> Files:
        if self._client is None:
            self._client = self._kit.http(timeout=30.0)
        return Files(self._client, self._settings.homeserver)

    async def edit(self, parcel: Parcel, receipt: str, text: str) -> None:
        """Replace an event (client-server API, "Event replacements"). Raises as `send`."""
        content = render(Message("", "assistant", (Text(text),), 0.0))[0]
        whole = {
            **content,
            "body": f"* {content['body']}",
            "m.new_content": content,
            "m.relates_to": {"rel_type": "m.replace", "event_id": receipt},
        }
        await self._connected().send(parcel.target, whole, f"{parcel.id}-edit")

    def _connected(self) -> Wire:
        if self._wire is None or self._accept is None:
            raise Unavailable("the Matrix channel is not connected")
        return self._wire

    async def _run(self, wire: Wire, since: str) -> NoReturn:
        while True:
            news = await wire.sync(since)
            await self._take(wire, news, since)
            since = str(news.next_batch)

    async def _take(self, wire: Wire, news: Any, since: str) -> None:
        """Hand over what came since a token, then keep the new one. At the very first sync nothing old is heard."""
        for room, invitation in news.rooms.invite.items():
            await self._answer_invitation(wire, room, invitation)
        if since:
            await self._unseal(wire)
            for room, joined in news.rooms.join.items():
                timeline = joined.timeline
                missed = (
                    await wire.gap(room, str(timeline.prev_batch or ""), since)
                    if _cut(timeline, self._settings.user)
                    else []
                )
                for event in (*missed, *timeline.events):
                    await self._hear(wire, room, event)
        await save_cursor(self._kit, NAME, self._settings.account, {"since": str(news.next_batch)})

    async def _answer_invitation(self, wire: Wire, room: str, invitation: Any) -> None:
        inviters = [
            str(event.sender) for event in invitation.invite_state
            if getattr(event, "state_key", "") == self._settings.user and getattr(event, "membership", "") == "invite"
        ]  # fmt: skip
        if any(fnmatch.fnmatchcase(one, rule) for one in inviters for rule in self._settings.invited_by):
            await wire.join(room)
        else:
            _log.info("invitation declined", room=room)
            await wire.leave(room)

    async def _unseal(self, wire: Wire) -> None:
        """Try again to read what was encrypted with keys that had not come."""
        for one in self._unread.all():
            if (opened := wire.decrypt(one.event)) is not None and await self._unread.there(one):
                if not await self._hear(wire, one.room, opened):
                    return
                await self._unread.drop(one)
        deaf = set[str]()  # rooms that take nothing now
        for one in self._unread.hopeless():
            if one.room in deaf or not await self._unread.there(one):
                continue
            if await self._excuse(wire, one):
                await self._unread.drop(one)
            else:
                deaf.add(one.room)

    async def _excuse(self, wire: Wire, one: Sealed) -> bool:
        """Tell whoever is alone with us that they were not understood, once; False to try that again. In a group it may
        not have been for us."""
        known = wire.rooms.get(one.room)
        if known is None or known.member_count > 2 or one.room in self._excused:
            return True
        try:
            place = conversation_id(NAME, self._settings.account, one.room)
            locale = str((await self._kit.store.conversation(place)).state.get("locale", ""))
        except KithError:
            locale = ""
        said = Message("", "assistant", (Text(tr("channels.error.unread", locale)),), 0.0)
        try:
            await wire.send(one.room, render(said)[0], f"unread-{one.name}")
        except Unavailable:
            return False
        except KithError as error:
            _log.info("nobody could be told", code=error.code)
        self._excused.add(one.room)
        return True

    async def _hear(self, wire: Wire, room: str, event: Any) -> bool:
        """Hand over an event, or keep what cannot be read yet; False when the channel was stopped before."""
        source: dict[str, Any] = event.source
        if source.get("type") == "m.room.encrypted":
            if str(event.sender) != self._settings.user:
                await self._unread.keep(room, event)
            return True
        known = wire.rooms.get(room)
        raw = {
            "room": room,
            "direct": known is not None and known.member_count <= 2,
            "name": known.user_name(event.sender) if known is not None else "",
            "event": source,
        }
        try:
            envelope = parse(raw, Arrival(self._settings.account, self._kit.clock.now()), self._settings.user)
        except Invalid as error:
            _log.info("event not understood", code=error.code)
            return True
        if envelope is None:
            return True
        heard = envelope

        async def fetch(place: str, most: int) -> tuple[bytes, str]:
            return await self._files().get(place, most, wire.token)

        async def made() -> Envelope:
            return await collect(self._kit, heard, fetch)

        return await hand_over(self._kit, lambda: self._accept, made)


def _cut(timeline: Any, user: str) -> bool:
    """Whether a timeline does not reach back to the last sync, nor to our own coming in."""
    return bool(timeline.limited) and not any(entered(event, user) for event in timeline.events)
