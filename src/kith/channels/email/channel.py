"""The e-mail channel: it reads one folder as mail comes (IMAP IDLE) and answers by SMTP.

Inwards the cursor is the folder's UIDVALIDITY and the last UID; it moves on only after a mail was accepted. Outwards a
mail has the same ``Message-ID`` however often it is sent.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

from kith.channels.email.parse import NAME, Mail, parse, read
from kith.channels.email.render import render
from kith.channels.email.settings import EmailSettings, Safety
from kith.channels.email.wire import Wire
from kith.channels.kit import Arrival, Kit, let_go, load_cursor, save_cursor
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Media
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_IDLE = 240.0
_PATIENCE = 15.0
_THREAD = "mail_thread"


class EmailChannel:
    """One mailbox."""

    def __init__(self, settings: EmailSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._user = settings.username or settings.address
        self._wire: Wire | None = None
        self._accept: Accept | None = None
        self._task: asyncio.Task[None] | None = None
        self._poke, self._answered = asyncio.Event(), asyncio.Event()
        self._place = (0, 0)  # UIDVALIDITY and the last UID that was accepted

    async def start(self, accept: Accept) -> None:
        """Log in to both servers and open the folder. Raises `Unavailable`, `Refused`, `Invalid` without servers."""
        given = self._settings
        if not given.address or not given.imap_host:
            raise Invalid("the e-mail channel needs an address and a server", hint="set channels.email.imap_host")
        try:
            trust = await asyncio.to_thread(self._trust)
            safe = None if given.imap_safety == "none" else trust
            late = given.imap_safety == "starttls"
            wire = self._wire = await Wire.open(given.imap_host, given.imap_port, safe, given.largest, late=late)
            await wire.login(self._user, given.password.get_secret_value())
            validity, following = await wire.select(given.folder)
            await self._try_sending(trust)
            await self._find_place(wire, validity, following)
        except (OSError, TimeoutError) as error:
            await self.stop()
            raise Unavailable(f"the mail server {given.imap_host} cannot be reached ({type(error).__name__})") from None
        except KithError:
            await self.stop()
            raise
        self._accept = accept
        self._kit.alive()
        self._task = asyncio.create_task(self._run(wire))

    async def stop(self) -> None:
        """Log out."""
        self._accept = None
        task, self._task = self._task, None
        await let_go([task])
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close() if task is None else wire.abort()

    async def probe(self) -> None:
        """Have the mail server answer now. Raises `Unavailable`."""
        if self._task is None:
            raise Unavailable("the e-mail channel is not connected")
        self._answered.clear()
        self._poke.set()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._answered.wait()
        except TimeoutError:
            raise Unavailable("the mail server does not answer") from None

    async def send(self, parcel: Parcel) -> Sent:
        """Returns when the server has taken the mail. Raises `Unavailable`, `Refused`, or `OSError` in doubt."""
        if self._accept is None:
            raise Unavailable("the e-mail channel is not connected")
        thread = await self._kit.records.get(_THREAD, f"{self._settings.account}:{parcel.target}")
        if thread is None:
            sender, slash, _ = parcel.target.partition("/")
            if "@" not in sender or (not slash and "@" not in parcel.target):
                raise Refused("the reply's target is no address")
            thread = {"to": sender, "subject": "", "references": ()}
        attached = [(media, data) for media in _media(parcel) if (data := await self._bytes(media)) is not None]
        mail = render(parcel, (self._settings.name, self._settings.address), thread, attached)
        await self._hand_in(mail)
        return Sent(str(mail["Message-ID"]).strip("<>"))

    async def _hand_in(self, mail: Any) -> None:
        import aiosmtplib

        try:
            await aiosmtplib.send(mail, **await self._smtp())
        except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError) as error:
            raise ConnectionResetError(f"the mail server went away ({type(error).__name__})") from None
        except aiosmtplib.SMTPConnectError:
            raise Unavailable("the mail server cannot be reached", retry_after=10.0) from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            raise self._no(min(codes, default=550), "the recipient is refused") from None
        except aiosmtplib.SMTPResponseException as error:
            raise self._no(error.code, error.message) from None
        except aiosmtplib.SMTPException as error:
            raise Refused(f"the mail cannot be sent ({type(error).__name__})") from None
        self._kit.alive()

    def _no(self, code: int, text: str) -> KithError:
        told = f"the mail server refuses: {code} {text}"[:300]
        return Unavailable(told, retry_after=60.0) if 400 <= code < 500 else Refused(told)

    async def _smtp(self, trust: ssl.SSLContext | None = None) -> dict[str, Any]:
        """How to reach the server that takes mail."""
        given, password = self._settings, self._settings.password.get_secret_value()
        safety: Safety = given.smtp_safety
        if safety != "none" and trust is None:
            trust = await asyncio.to_thread(self._trust)
        return {
            "hostname": given.smtp_host or given.imap_host,
            "port": given.smtp_port,
            "use_tls": safety == "tls",
            "start_tls": safety == "starttls",
            "tls_context": None if safety == "none" else trust,
            "username": self._user if password and safety != "none" else None,
            "password": password if password and safety != "none" else None,
            "timeout": _PATIENCE,
            "local_hostname": given.address.rpartition("@")[2] or "localhost",
        }

    async def _try_sending(self, trust: ssl.SSLContext) -> None:
        """Log in to the server that takes mail, and leave again."""
        import aiosmtplib

        client = aiosmtplib.SMTP(**await self._smtp(trust))
        try:
            await client.connect()
            await client.quit()
        except aiosmtplib.SMTPAuthenticationError as error:
            raise Refused(f"the mail server refuses the login: {error.message}") from None
        except aiosmtplib.SMTPException as error:
            raise Unavailable(f"mail cannot be sent now ({type(error).__name__})", retry_after=10.0) from None
        finally:
            client.close()

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings.authority)
        except (OSError, ssl.SSLError):
            raise Refused(f"the certificate authority {self._settings.authority} cannot be read") from None

    async def _find_place(self, wire: Wire, validity: int, following: int) -> None:
        """Go on behind the last mail that was accepted; at the very first start behind everything that is there.

        When the server has numbered the folder anew, what came since the last look is read once more: mail that was
        heard before is known by its ``Message-ID``.
        """
        kept = await load_cursor(self._kit, NAME, self._settings.account)
        if kept and int(kept.get("validity", 0)) == validity:
            self._place = validity, int(kept.get("uid", 0))
            return
        last = max(0, following - 1)
        if kept:
            day = datetime.fromtimestamp(float(kept.get("at", 0.0)), UTC) - timedelta(days=1)
            late = await wire.since((day.year, day.month, day.day))
            last = late[0] - 1 if late else last
        await self._move(validity, last)

    async def _move(self, validity: int, uid: int) -> None:
        self._place = validity, uid
        place = {"validity": validity, "uid": uid, "at": self._kit.clock.now()}
        await save_cursor(self._kit, NAME, self._settings.account, place)

    async def _run(self, wire: Wire) -> None:
        try:
            while True:
                await self._look(wire)
                self._kit.alive()
                self._answered.set()
                if "IDLE" in wire.capabilities:
                    await wire.idle(_IDLE, self._poke)
                elif not wire.grown:
                    await self._nap(self._settings.poll)
                self._poke.clear()
        except (OSError, TimeoutError) as error:
            reason = f"the connection to the mail server is lost: {str(error) or type(error).__name__}"
        except KithError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001  # a bug ends this connection and not the channel
            _log.exception("mail loop failed", error=type(error).__name__)
            reason = f"the e-mail channel failed ({type(error).__name__})"
        wire.abort()
        self._accept = None
        self._kit.lost(reason)

    async def _nap(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._poke.wait()
        except TimeoutError:
            return

    async def _look(self, wire: Wire) -> None:
        """Read what is new, in order."""
        validity, last = self._place
        for uid in await wire.news(last):
            raw = await wire.fetch(uid)
            self._kit.alive()
            if raw is not None and await self._hear(raw):
                await wire.seen(uid)
            await self._move(validity, uid)

    async def _hear(self, raw: bytes) -> bool:
        """Hand one mail over; whether it was one for us. Raises `Unavailable`: then it is read again."""
        given = self._settings
        arrival = Arrival(given.account, self._kit.clock.now())
        try:
            envelope = await asyncio.to_thread(parse, raw, arrival, given.address, given.verified_by)
            mail = await asyncio.to_thread(read, raw)
        except Invalid as error:
            _log.info("mail not understood", reason=error.message)
            return False
        accept = self._accept
        if envelope is None or accept is None:
            return False
        await self._remember(mail)
        for media, data in mail.attached:
            if self._kit.blobs.put(data) != media.blob:
                raise Unavailable("the attachment cannot be kept")
        try:
            await accept(envelope)
        except Unavailable:
            raise
        except KithError as error:
            _log.info("mail not accepted", code=error.code)
        return True

    async def _remember(self, mail: Mail) -> None:
        """What an answer in this thread has to say."""
        references = [*mail.references, mail.id]
        thread = {"to": mail.sender, "subject": mail.subject, "references": references, "at": self._kit.clock.now()}
        await self._kit.records.put(_THREAD, f"{self._settings.account}:{mail.conversation}", thread)

    async def _bytes(self, media: Media) -> bytes | None:
        try:
            return await self._kit.blobs.fetch(media)
        except NotFound:
            return None


def _media(parcel: Parcel) -> list[Media]:
    return [part for part in parcel.message.parts if isinstance(part, Media)]
