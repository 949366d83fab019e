"""People who write over the loopback channel's socket, and a platform that delivers again what was not acknowledged."""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_RULE, _MODEL = "hello", "tell me of the sea, number {number}, and of what lives in it"


@dataclass(slots=True, eq=False)
class Room:
    """One conversation. The next message is written when the last one was acknowledged."""

    name: str
    acknowledged: int = 0
    wire: socket.socket | None = None
    waiting: bool = False
    heard: bytes = b""

    def line(self) -> bytes:
        number = self.acknowledged
        text = _MODEL.format(number=number) if number % 2 else _RULE
        about = {"id": f"{self.name}-{number}", "conversation": self.name, "sender": f"of-{self.name}", "text": text}
        return json.dumps(about).encode() + b"\n"


@dataclass
class Traffic:
    """All rooms. `answers` is the journal as far as it was read: (room, number) in the order people saw them."""

    inject: Path
    journal: Path
    rooms: list[Room]
    backlog: int = 40
    answers: list[tuple[str, int]] = field(default_factory=list)
    refused: int = 0
    resent: int = 0

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._place = 0

    @property
    def acknowledged(self) -> int:
        return sum(room.acknowledged for room in self.rooms)

    def pump(self, seconds: float, writers: Sequence[Room]) -> None:
        """Let the people of some rooms write, and hear what is acknowledged, for about `seconds`."""
        self._read_journal()
        room_left = self.backlog - (self.acknowledged - len(self.answers))
        for room in self.rooms:
            if room.wire is None and not self._connect(room):
                break
            if room in writers and not room.waiting and room_left > 0:
                room_left -= 1
                self._write(room)
        for key, _ in self._selector.select(seconds):
            self._hear(key.data)

    def hang_up(self) -> None:
        """The server is gone: what was not acknowledged will be delivered again."""
        for room in self.rooms:
            self._close(room)

    def _connect(self, room: Room) -> bool:
        wire = socket.socket(socket.AF_UNIX)
        try:
            wire.connect(str(self.inject))
        except OSError:
            wire.close()
            return False
        wire.setblocking(False)
        room.wire, room.heard = wire, b""
        self._selector.register(wire, selectors.EVENT_READ, room)
        return True

    def _write(self, room: Room) -> None:
        assert room.wire is not None
        try:
            room.wire.sendall(room.line())
            room.waiting = True
        except OSError:
            self._close(room)

    def _hear(self, room: Room) -> None:
        assert room.wire is not None
        try:
            got = room.wire.recv(65536)
        except OSError:
            got = b""
        if not got:
            self._close(room)
            return
        room.heard += got
        while b"\n" in room.heard:
            line, room.heard = room.heard.split(b"\n", 1)
            answer = json.loads(line)
            room.waiting = False
            if answer["accepted"]:
                room.acknowledged += 1
                self.resent += answer["duplicate"]
            else:
                self.refused += 1

    def _close(self, room: Room) -> None:
        if room.wire is not None:
            self._selector.unregister(room.wire)
            room.wire.close()
            room.wire = None
        room.waiting = False

    def _read_journal(self) -> None:
        try:
            with self.journal.open("rb") as stream:
                stream.seek(self._place)
                fresh = stream.read()
        except FileNotFoundError:
            return
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.splitlines():
            room, _, number = json.loads(line)["reply_to"].rpartition("-")
            self.answers.append((room, int(number)))
