"""The journal: an append-only file of what was delivered, each line on disk before the delivery is confirmed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from kith.core.errors import Unavailable


class _Head(msgspec.Struct):
    parcel: str


class Journal:
    """Appends lines in groups: one sync for all that came while the last one ran."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    def open(self) -> set[str]:
        """The parcels already delivered. A line torn by a crash is cut off. Raises `Unavailable`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as stream:
                stream.seek(0)
                whole = stream.read()
                good = whole[: whole.rfind(b"\n") + 1]
                if len(good) < len(whole):
                    stream.truncate(len(good))
        except OSError as error:
            raise Unavailable(f"the journal {self._path} cannot be opened: {error.strerror}") from None
        return {parcel for line in good.splitlines() if (parcel := _parcel(line))}

    async def append(self, line: bytes) -> None:
        """Returns when `line` is on disk. Raises `Unavailable`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, b"".join(line for line, _ in group))
            except OSError as error:
                failure = Unavailable(f"the journal {self._path} cannot be written: {error.strerror}")
                for _, done in group:
                    if not done.done():
                        done.set_exception(failure)
                continue
            for _, done in group:
                if not done.done():
                    done.set_result(None)

    def _write(self, lines: bytes) -> None:
        """Append all or nothing: what a full disk took in part is cut off again."""
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before = os.fstat(handle).st_size
            try:
                view = memoryview(lines)
                while view:
                    view = view[os.write(handle, view) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)


def _parcel(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Head).parcel
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
