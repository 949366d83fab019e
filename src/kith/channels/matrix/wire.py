"""The account, over matrix-nio: logging in, syncing, sending; keys of devices in a store of nio's, under a secret.

nio is an optional library and imported when the account is opened.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from kith.channels.kit import Kit
from kith.channels.matrix.settings import MatrixSettings
from kith.core.errors import Refused, Unavailable
from kith.runtime.files import private_folder
from kith.runtime.settings import home
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_REQUEST = 20.0
_POLL = 20.0
_TIMELINE = 1000  # servers give less at once (synapse: 100), and say so
_PAGE = 100
_SESSION = "matrix_session"
_ENDED = ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN")
_HOPELESS = ("M_FORBIDDEN", "M_USER_DEACTIVATED", "M_INVALID_USERNAME")


class Wire:
    """One device of one account, from `open` to `close`."""

    def __init__(self, settings: MatrixSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._client: Any = None

    async def open(self) -> None:
        """Take up the session that is kept, or log in; as a new device where the kept one is gone, here or there.

        Raises `Unavailable`, `Refused` for a wrong password, or without one for a session that the server ended.
        """
        importlib.import_module("nio")
        logging.getLogger("nio").setLevel(logging.CRITICAL)  # it writes contents into its warnings
        given, key = self._settings, f"{self._settings.user}/{self._settings.device}"
        kept = {name: str(value) for name, value in (await self._kit.records.get(_SESSION, key) or {}).items()}
        folder = home() / "channels" / "matrix" / given.account
        await asyncio.to_thread(private_folder, folder)
        device = kept.get("device") or given.device
        if not kept.get("secret") or (kept["token"] and not (folder / f"{given.user}_{device}.db").exists()):
            known = bool(kept) or any(one.name.startswith(f"{given.user}_") for one in folder.iterdir())
            kept = await self._anew(key, "its keys are lost" if known else "")
        client = self._client = self._made(kept, folder)
        if kept["token"]:
            client.restore_login(given.user, client.device_id, kept["token"])
            match await self._standing(client):
                case "good":
                    return
                case "gone":
                    self._password()
                    await self.close()
                    kept = await self._anew(key, "the server has deleted it")
                    client = self._client = self._made(kept, folder)
                case "ended":
                    client.access_token = ""
        await self._log_in(client, key, kept)

    def _made(self, kept: Mapping[str, str], folder: Path) -> Any:
        """A client for the device whose session is kept."""
        nio: Any = importlib.import_module("nio")
        store: Any = importlib.import_module("nio.store")
        config = nio.AsyncClientConfig(
            store=store.SqliteStore, encryption_enabled=True, pickle_key=kept["secret"],
            store_sync_tokens=False, max_limit_exceeded=0, max_timeouts=0, request_timeout=_REQUEST,
        )  # fmt: skip
        device = kept.get("device") or self._settings.device
        given = self._settings
        return nio.AsyncClient(given.homeserver, given.user, device_id=device, store_path=str(folder), config=config)

    async def _standing(self, client: Any) -> Literal["good", "ended", "gone"]:
        """What the server knows of the session. One that it ended softly is logged in to again as the same device;
        otherwise the device went with it, and the keys that it had uploaded (client-server API, "Soft logout"). Raises
        `Unavailable` where the server does not say."""
        nio: Any = importlib.import_module("nio")
        answer = await self._ask(client.whoami())
        if not isinstance(answer, nio.WhoamiError):
            return "good" if answer.device_id in (None, client.device_id) else "gone"
        if str(answer.status_code) not in _ENDED:
            raise self._no(answer, "the session")
        return "ended" if answer.soft_logout else "gone"

    async def _log_in(self, client: Any, key: str, kept: Mapping[str, str]) -> None:
        nio: Any = importlib.import_module("nio")
        answer = await self._ask(client.login(self._password(), device_name="Kith"))
        if isinstance(answer, nio.LoginError):
            raise self._no(answer, "the login")
        await self._kit.records.put(_SESSION, key, {**kept, "token": client.access_token})

    def _password(self) -> str:
        """Raises `Refused` without one."""
        if not (found := self._settings.password.get_secret_value()):
            raise Refused(
                "the Matrix server does not know Kith's session (any more), and there is no password to log in with",
                hint="set channels.matrix.password",
            )
        return found

    async def _anew(self, key: str, why: str) -> dict[str, str]:
        """A session of a device that never was, `why` if in the place of another: the server gives away the one-time
        keys of an earlier one of the same name, and what others sealed with them could not be read by one that has
        lost their secret halves; nor are keys uploaded again that were uploaded once."""
        device = f"{self._settings.device}_{secrets.token_hex(3).upper()}"
        kept = {"secret": secrets.token_urlsafe(32), "token": "", "device": device}
        await self._kit.records.put(_SESSION, key, kept)
        if why:
            _log.warning("a new Matrix device takes the place of one", device=device, why=why)
        else:
            _log.info("a new Matrix device", device=device)
        return kept

    async def close(self) -> None:
        """Let go of the connection; the session stays."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def rooms(self) -> Mapping[str, Any]:
        """What is known of the rooms that we are in."""
        return self._there().rooms

    @property
    def token(self) -> str:
        """The session's token."""
        return str(self._there().access_token)

    def encrypted(self, room: str) -> bool:
        """Whether what is said in a room is encrypted. Raises `Refused` where we are not in it."""
        known = self.rooms.get(room)
        if known is None:
            raise Refused("we are not in this room (any more)")
        return bool(known.encrypted)

    async def sync(self, since: str, *, full: bool = False) -> Any:
        """What is new since a token, waiting for it up to 20 s. Raises `Unavailable`."""
        nio: Any = importlib.import_module("nio")
        client = self._there()
        timeline: dict[str, Any] = {"room": {"timeline": {"limit": _TIMELINE}}, "presence": {"types": []}}
        wait = 0 if full else int(_POLL * 1000)
        answer = await self._ask(client.sync(wait, timeline, since or None, full_state=full or None), _POLL + _REQUEST)
        if isinstance(answer, nio.SyncError):
            raise self._no(answer, "the sync")
        await self._keep_keys(client)
        return answer

    async def gap(self, room: str, before: str, since: str) -> list[Any]:
        """What a room's timeline left out, oldest first: from behind the token `since` up to the token `before`, but
        nothing from before we came in, and of very much only the latest. Raises `Unavailable`."""
        nio: Any = importlib.import_module("nio")
        client, found = self._there(), list[Any]()
        while before and len(found) < _TIMELINE:
            answer = await self._ask(client.room_messages(room, before, since, limit=_PAGE))
            if isinstance(answer, nio.RoomMessagesError):
                raise self._no(answer, "the question for older messages")
            for event in answer.chunk:
                if entered(event, str(client.user_id)):
                    return found[::-1]
                found.append(event)
            before = str(answer.end or "") if answer.chunk else ""
        if before:
            _log.warning("not all of a room was heard", room=room)
        return found[::-1]

    async def send(self, room: str, content: Mapping[str, Any], transaction: str) -> str:
        """Send a message, encrypted where the room is; the event's id. Sent twice under one transaction it is one.

        Raises `Unavailable`, `Refused`.
        """
        nio: Any = importlib.import_module("nio")
        client = self._there()
        if room not in client.rooms:
            raise Refused("we are not in this room (any more)")
        try:
            answer = await self._ask(
                client.room_send(room, "m.room.message", dict(content), transaction, ignore_unverified_devices=True)
            )
        except (nio.LocalProtocolError, nio.SendRetryError) as error:
            raise Unavailable(f"the room's keys are not there yet ({type(error).__name__})") from None
        if isinstance(answer, nio.RoomSendError):
            raise self._no(answer, "the message")
        return str(answer.event_id)

    async def typing(self, room: str) -> None:
        """Show that we write, for 20 s."""
        await self._ask(self._there().room_typing(room, True, 20_000))

    async def join(self, room: str) -> None:
        """Follow an invitation."""
        await self._ask(self._there().join(room))

    async def leave(self, room: str) -> None:
        """Decline an invitation."""
        await self._ask(self._there().room_leave(room))

    async def whoami(self) -> None:
        """Ask the server for an answer. Raises `Unavailable`."""
        await self._ask(self._there().whoami())

    def decrypt(self, event: Any) -> Any:
        """An event whose keys came late; None while they have not."""
        nio: Any = importlib.import_module("nio")
        try:
            return self._there().decrypt_event(event)
        except (nio.EncryptionError, nio.LocalProtocolError):
            return None

    def revive(self, room: str, source: Mapping[str, Any]) -> Any:
        """An encrypted event that was kept, as it was; None of what is none."""
        nio: Any = importlib.import_module("nio")
        event = nio.Event.parse_event(dict(source))
        if not isinstance(event, nio.MegolmEvent):
            return None
        event.room_id = room
        return event

    async def _keep_keys(self, client: Any) -> None:
        """What end-to-end encryption asks for between two syncs."""
        if client.should_upload_keys:
            await self._ask(client.keys_upload())
        if client.should_query_keys:
            await self._ask(client.keys_query())
        if client.should_claim_keys:
            await self._ask(client.keys_claim(client.get_users_for_key_claiming()))
        await self._ask(client.send_to_device_messages())

    async def _ask(self, question: Any, patience: float = _REQUEST) -> Any:
        """Await a request. Raises `Unavailable` when there is no answer."""
        aiohttp: Any = importlib.import_module("aiohttp")
        try:
            async with asyncio.timeout(patience):
                answer = await question
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"the Matrix server does not answer ({type(error).__name__})") from None
        self._kit.alive()
        return answer

    def _there(self) -> Any:
        if self._client is None:
            raise Unavailable("the Matrix channel is not connected")
        return self._client

    def _no(self, answer: Any, what: str) -> Unavailable | Refused:
        """An error response as an error."""
        code, text = str(answer.status_code or ""), str(answer.message or "")[:200]
        if code in _HOPELESS:
            return Refused(f"the Matrix server refuses {what}: {text}")
        after = float(answer.retry_after_ms or 0) / 1000
        return Unavailable(f"the Matrix server cannot take {what} now: {code} {text}", retry_after=after or 5.0)


def entered(event: Any, user: str) -> bool:
    """Whether an event is the coming in of `user`, and no change of their name or picture, which looks the same."""
    own = getattr(event, "state_key", None) == user and getattr(event, "membership", "") == "join"
    return own and getattr(event, "prev_membership", None) != "join"
