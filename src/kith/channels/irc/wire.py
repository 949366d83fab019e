"""The connection: TLS, logging in, lines in and out.

Registration is RFC 1459 section 4.1 with IRCv3's capability negotiation and SASL PLAIN (RFC 4616).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl

from kith.channels.irc.parse import Line, read
from kith.channels.irc.settings import IrcSettings
from kith.core.errors import Invalid, Refused, Unavailable

_WANTED = ("message-tags", "account-tag", "server-time")
_LINE = 16 * 1024
_PATIENCE = 30.0
_SASL_CHUNK = 400
_DENIED = ("464", "465", "904", "905", "432")


class Wire:
    """One connection, from `open` to `close`. `nick` is the name that the server knows us by."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: IrcSettings) -> None:
        self._reader, self._writer, self._settings = reader, writer, settings
        self._offered: set[str] = set()
        self._wanted: set[str] = set()
        self.nick = settings.nick

    @classmethod
    async def open(cls, settings: IrcSettings) -> Wire:
        """Connect and log in. Raises `Unavailable`, and `Refused` for a wrong password or a banned address."""
        try:
            async with asyncio.timeout(_PATIENCE):
                context = await asyncio.to_thread(_trust, settings) if settings.tls else None
                reader, writer = await asyncio.open_connection(settings.host, settings.port, ssl=context, limit=_LINE)
                wire = cls(reader, writer, settings)
                try:
                    await wire._register()
                except BaseException:
                    wire.abort()
                    raise
        except TimeoutError:
            raise Unavailable(f"the IRC server {settings.host} does not answer") from None
        except OSError as error:
            raise Unavailable(f"the IRC server {settings.host} cannot be reached: {error.strerror or error}") from None
        return wire

    async def read(self) -> tuple[bytes, Line | None]:
        """The next line, as it came and taken apart (None: not a line of IRC). Raises `ConnectionError` at the end."""
        try:
            raw = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the server has closed the connection") from None
        except asyncio.LimitOverrunError:
            raise ConnectionAbortedError("the server sent a line without an end") from None
        try:
            return raw, read(raw)
        except Invalid:
            return raw, None

    async def write(self, *lines: str) -> None:
        """Send lines. Raises `ConnectionError`."""
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(b"".join(line.encode("utf-8", "replace") + b"\r\n" for line in lines))
        await self._writer.drain()

    def abort(self) -> None:
        """Let go of the connection at once."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Say good-bye and disconnect."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self.write("QUIT :good-bye")
                self._writer.close()
                await self._writer.wait_closed()
        self.abort()

    async def _register(self) -> None:
        given = self._settings
        await self.write("CAP LS 302")
        if password := given.password.get_secret_value():
            await self.write(f"PASS :{_one_line(password)}")
        await self.write(f"NICK {given.nick}", f"USER {given.nick} 0 * :{_one_line(given.real_name)}")
        while True:
            _, line = await self.read()
            if line is not None and await self._registered(line):
                return

    async def _registered(self, line: Line) -> bool:
        match line.command:
            case "001":
                self.nick = line.param(0) or self.nick
                return True
            case "PING":
                await self.write(f"PONG :{line.param(0)}")
            case "CAP":
                await self._capability(line)
            case "AUTHENTICATE":
                await self._authenticate()
            case "903":
                await self.write("CAP END")
            case "433" | "436":
                self.nick += "_"
                await self.write(f"NICK {self.nick}")
            case command if command in _DENIED:
                raise Refused(f"the IRC server refuses us: {line.params[-1] if line.params else command}")
            case "ERROR":
                raise Unavailable(f"the IRC server hung up: {line.param(0)}", retry_after=10.0)
            case _:
                pass
        return False

    async def _capability(self, line: Line) -> None:
        """``CAP * LS [*] :names``, ``CAP * ACK :names``, ``CAP * NAK :names``."""
        verb, names = line.param(1).upper(), line.params[-1].split() if len(line.params) > 2 else []
        if verb == "LS":
            self._offered |= {name.partition("=")[0] for name in names}
            if line.param(2) == "*":
                return
            self._wanted = self._offered.intersection(_WANTED)
            if self._settings.sasl_user:
                if "sasl" not in self._offered:
                    raise Refused("this IRC server offers no login by SASL")
                self._wanted.add("sasl")
            await self.write(f"CAP REQ :{' '.join(sorted(self._wanted))}" if self._wanted else "CAP END")
        elif verb == "ACK" and "sasl" in names:
            await self.write("AUTHENTICATE PLAIN")
        elif verb == "NAK" and self._settings.sasl_user:
            raise Refused("this IRC server refuses the login by SASL")
        elif verb in ("ACK", "NAK"):
            await self.write("CAP END")

    async def _authenticate(self) -> None:
        user, password = self._settings.sasl_user, self._settings.sasl_password.get_secret_value()
        text = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        chunks = [text[at : at + _SASL_CHUNK] for at in range(0, len(text), _SASL_CHUNK)]
        if len(chunks[-1]) == _SASL_CHUNK:
            chunks.append("+")
        await self.write(*(f"AUTHENTICATE {chunk}" for chunk in chunks))


def _trust(settings: IrcSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.authority)
    except (OSError, ssl.SSLError):
        raise Refused(f"the certificate authority {settings.authority} cannot be read") from None


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").replace("\0", " ")
