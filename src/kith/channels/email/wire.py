"""An IMAP connection (RFC 3501, IDLE of RFC 2177), as far as reading one folder needs it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Sequence

from kith.core.errors import Refused, Unavailable

_LINE = 1 << 20
_PATIENCE = 30.0
_SIZE = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE)\b")
_LITERAL = re.compile(rb"\{(\d+)\+?\}\r?\n$")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Answer = list[bytes | tuple[bytes, bytes]]
"""What came before a command's completion: lines, or pairs of a line's start and the literal behind it."""


class Wire:
    """One connection, from `open` to `close`; one command at a time.

    `grown` says that the folder got mail which `news` may not have seen: a server tells it in the middle of any answer,
    and only once.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, largest: int) -> None:
        self._reader, self._writer, self._largest = reader, writer, largest
        self._number = self._size = 0
        self.grown = False
        self.capabilities: frozenset[str] = frozenset()

    @classmethod
    async def open(
        cls, host: str, port: int, trust: ssl.SSLContext | None, largest: int, *, late: bool = False
    ) -> Wire:
        """Connect, with `late` encrypting only after STARTTLS. Raises `OSError`, `TimeoutError`, `Unavailable`."""
        async with asyncio.timeout(_PATIENCE):
            first = None if late else trust
            reader, writer = await asyncio.open_connection(host, port, ssl=first, limit=_LINE)
            wire = cls(reader, writer, largest)
            try:
                greeting = await wire._line()
                if not greeting.startswith((b"* OK", b"* PREAUTH")):
                    raise Unavailable("the mail server does not want to talk now", retry_after=30.0)
                if late and trust is not None:
                    await wire.command("STARTTLS")
                    await writer.start_tls(trust, server_hostname=host)
                await wire._ask_capabilities()
            except BaseException:
                wire.abort()
                raise
        return wire

    async def login(self, user: str, password: str) -> None:
        """Raises `Refused` for a wrong password."""
        async with asyncio.timeout(_PATIENCE):
            await self._write(f"{self._tag()} LOGIN {{{len(user.encode())}}}\r\n".encode())
            await self._go_on()
            await self._write(user.encode() + f" {{{len(password.encode())}}}\r\n".encode())
            await self._go_on()
            await self._write(password.encode() + b"\r\n")
            await self._answer()
            await self._ask_capabilities()

    async def select(self, folder: str) -> tuple[int, int]:
        """Open a folder: its UIDVALIDITY and UIDNEXT."""
        text = b"\n".join(_lines(await self.command(f"SELECT {_quoted(folder)}")))
        found = [re.search(rb"\[%s (\d+)\]" % name, text) for name in (b"UIDVALIDITY", b"UIDNEXT")]
        validity, following = (int(one[1]) if one else 0 for one in found)
        return validity, following

    async def news(self, after: int) -> list[int]:
        """The UIDs greater than `after`, in order."""
        self.grown = False
        answer = await self.command(f"UID SEARCH UID {after + 1}:*")
        return [uid for uid in _found(answer) if uid > after]

    async def since(self, day: tuple[int, int, int]) -> list[int]:
        """The UIDs of what came on `day` (year, month, day) or later."""
        return _found(await self.command(f"UID SEARCH SINCE {day[2]}-{_MONTHS[day[1] - 1]}-{day[0]}"))

    async def fetch(self, uid: int) -> bytes | None:
        """The first `largest` bytes of a mail; None when it has gone. It stays unread."""
        answer = await self.command(f"UID FETCH {uid} (UID BODY.PEEK[]<0.{self._largest}>)")
        return next((item[1] for item in answer if isinstance(item, tuple)), None)

    async def seen(self, uid: int) -> None:
        """Mark a mail as read; not every folder lets us."""
        with contextlib.suppress(Refused):
            await self.command(f"UID STORE {uid} +FLAGS.SILENT (\\Seen)")

    async def idle(self, seconds: float, poke: asyncio.Event) -> None:
        """Returns when the server tells, or has told, of new mail, `poke` is set, or the time is over. Raises
        `OSError`."""
        tag = self._tag()
        async with asyncio.timeout(_PATIENCE):
            await self._write(f"{tag} IDLE\r\n".encode())
            await self._go_on()
        line, poked = asyncio.ensure_future(self._line()), asyncio.ensure_future(poke.wait())
        try:
            while not (self.grown or poke.is_set()):
                done, _ = await asyncio.wait({line, poked}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                if line in done and line.result() and not self.grown:
                    line = asyncio.ensure_future(self._line())
            async with asyncio.timeout(_PATIENCE):
                await self._write(b"DONE\r\n")
                while not (await asyncio.shield(line)).startswith(f"{self._last} ".encode()):
                    line = asyncio.ensure_future(self._line())
        finally:
            for task in (line, poked):
                task.cancel()
            await asyncio.gather(line, poked, return_exceptions=True)

    async def command(self, text: str) -> Answer:
        """Send one command and wait for its end. Raises `Refused` for NO and BAD, `OSError`, `TimeoutError`."""
        async with asyncio.timeout(_PATIENCE * 4):
            await self._write(f"{self._tag()} {text}\r\n".encode())
            return await self._answer()

    async def close(self) -> None:
        """Log out and disconnect."""
        with contextlib.suppress(OSError, TimeoutError, Refused, Unavailable):
            async with asyncio.timeout(1.0):
                await self.command("LOGOUT")
                self._writer.close()
                await self._writer.wait_closed()
        self.abort()

    def abort(self) -> None:
        """Let go of the connection at once."""
        self._writer.transport.abort()

    @property
    def _last(self) -> str:
        return f"k{self._number}"

    def _tag(self) -> str:
        self._number += 1
        return self._last

    async def _ask_capabilities(self) -> None:
        words = b" ".join(_lines(await self.command("CAPABILITY"))).decode("ascii", "replace").upper().split()
        self.capabilities = frozenset(words)

    async def _write(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def _go_on(self) -> None:
        """Wait for the server's ``+``."""
        while True:
            line = await self._line()
            if line.startswith(b"+"):
                return
            if line.startswith(f"{self._last} ".encode()):
                raise _refusal(line)

    async def _answer(self) -> Answer:
        tag, told = f"{self._last} ".encode(), Answer()
        while not (line := await self._line()).startswith(tag):
            if found := _LITERAL.search(line):
                size = int(found[1])
                if size > self._largest + 1024:
                    raise ConnectionAbortedError("the mail server sends more than it was asked for")
                told.append((line, await self._exactly(size)))
            else:
                told.append(line)
            if len(told) > 100_000:
                raise ConnectionAbortedError("the mail server does not come to an end")
        if not line[len(tag) :].upper().startswith(b"OK"):
            raise _refusal(line)
        return told

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the mail server has closed the connection") from None

    async def _line(self) -> bytes:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the mail server has closed the connection") from None
        except asyncio.LimitOverrunError:
            raise ConnectionAbortedError("the mail server sent a line without an end") from None
        if found := _SIZE.match(line):
            size = int(found[1]) if found[2] == b"EXISTS" else self._size - 1
            self.grown, self._size = self.grown or size > self._size, size
        return line


def _lines(answer: Answer) -> Sequence[bytes]:
    return [item for item in answer if isinstance(item, bytes)]


def _found(answer: Answer) -> list[int]:
    """The numbers of a SEARCH response."""
    words = [word for line in _lines(answer) if line.upper().startswith(b"* SEARCH") for word in line.split()[2:]]
    return sorted(int(word) for word in words if word.isdigit())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refusal(line: bytes) -> Refused | Unavailable:
    text = line.decode("utf-8", "replace").split(" ", 1)[-1].strip()[:200]
    if any(code in text.upper() for code in ("[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]", "[LIMIT]")):
        return Unavailable(f"the mail server cannot now: {text}", retry_after=30.0)
    return Refused(f"the mail server refuses: {text}")
