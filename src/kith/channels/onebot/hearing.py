"""What is heard: completed with what has to be asked for, handed over, and its place remembered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from kith.channels.kit import PENDING, Arrival, Kit, collect, hand_over, load_cursor, save_cursor
from kith.channels.onebot.history import History
from kith.channels.onebot.media import Fetcher
from kith.channels.onebot.parse import NAME, forwarded, parse, quoted
from kith.channels.onebot.segments import whole
from kith.channels.onebot.settings import OnebotSettings
from kith.channels.onebot.wire import Caller
from kith.core.errors import Invalid, KithError, Unavailable
from kith.core.message import Envelope, File, Part, Text
from kith.core.ports import Accept
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_CHATS = 200
_TRIES = 3
_QUOTE = 2000
_FORWARD = f"{PENDING}forward:"


class Ear:
    """Hears as the account `own`; what it has to ask for, it asks `caller`."""

    def __init__(self, settings: OnebotSettings, kit: Kit, caller: Caller, own: str, accept: Accept) -> None:
        self.own = own
        self._settings, self._kit, self._caller, self._accept = settings, kit, caller, accept
        self._fetcher = Fetcher(caller, settings.url, kit.http)
        self._history = History(caller, kit.clock)
        self._heard: dict[str, int] | None = None

    async def take(self, event: Mapping[str, Any]) -> None:
        """While the inbox cannot take it, nothing after it is heard. What can never be accepted is passed over."""
        heard: list[Envelope] = []

        async def made() -> Envelope | None:
            envelope = parse(event, self._arrival(), self.own, self._settings.bots)
            if envelope is not None:
                heard.append(envelope)
                return await self._completed(envelope)
            return None

        await hand_over(self._kit, lambda: self._accept, made)
        if heard:
            await self._mark(heard[-1], int(whole(event, "time", "0")))

    async def catch_up(self) -> None:
        """Hear what was said since in the conversations that are known, where the program keeps it; the inbox knows
        what it has. Raises `Unavailable`, `Refused` when the program is gone: what it told last is not heard then,
        since it would move the place from which on the next one is asked."""
        for conversation, since in list((await self._known()).items()):
            for one in await self._history.since(conversation, since):
                await self.take(one)

    async def _known(self) -> dict[str, int]:
        """Until when which conversation was heard, in seconds, the one heard last at the end."""
        if self._heard is None:
            chats: Any = (await load_cursor(self._kit, NAME, self._settings.account)).get("chats")
            known = cast("Mapping[str, Any]", chats).items() if isinstance(chats, Mapping) else ()
            self._heard = {key: int(at) for key, at in known}
        return self._heard

    async def _mark(self, envelope: Envelope, at: int) -> None:
        known = await self._known()
        known[envelope.conversation] = max(at, known.pop(envelope.conversation, 0))
        while len(known) > _CHATS:
            known.pop(next(iter(known)))
        await save_cursor(self._kit, NAME, self._settings.account, {"chats": dict(known)})

    async def _completed(self, envelope: Envelope) -> Envelope:
        """With the bytes of its files, the words of what was forwarded, and of the message that it answers."""
        parts = tuple([await self._unfolded(part) for part in envelope.message.parts])
        if envelope.reply_to and not envelope.reaction:
            author, words = await self._answered(envelope.reply_to)
            if author == self.own:
                envelope = dataclasses.replace(envelope, mentioned=True)
            elif words:
                parts = (Text(f"> {words[:_QUOTE]}".replace("\n", "\n> "), outside=True), *parts)
        complete = dataclasses.replace(envelope, message=dataclasses.replace(envelope.message, parts=parts))
        return await collect(self._kit, complete, self._fetch)

    async def _answered(self, name: str) -> tuple[str, str]:
        try:
            return quoted(await self._caller.call("get_msg", {"message_id": int(name.rpartition("/")[2])}), self.own)
        except KithError as error:  # recalled, or too old: what was said is heard without it
            _log.info("answered message not found", code=error.code)
            return "", ""

    async def _unfolded(self, part: Part) -> Part:
        """The words of what was forwarded, in its place."""
        if not isinstance(part, File) or not part.blob.startswith(_FORWARD):
            return part
        return Text(await self._forwarded(part.blob.removeprefix(_FORWARD)) or "[forwarded messages]", outside=True)

    async def _fetch(self, goal: str, most: int) -> tuple[bytes, str]:
        """Tried a few times: the program tells an event once, and what comes after it is not to wait for ever."""
        for _ in range(_TRIES - 1):
            try:
                return await self._fetcher.fetch(goal, most)
            except Unavailable as error:
                await self._kit.clock.sleep(min(error.retry_after, 2.0))
        try:
            return await self._fetcher.fetch(goal, most)
        except Unavailable as error:
            raise Invalid(error.message, code="not_wanted") from None

    async def _forwarded(self, name: str) -> str:
        try:
            return forwarded(await self._caller.call("get_forward_msg", {"id": name, "message_id": name}), self.own)
        except KithError as error:
            _log.info("forwarded messages not found", code=error.code)
            return ""

    def _arrival(self) -> Arrival:
        return Arrival(self._settings.account, self._kit.clock.now())
