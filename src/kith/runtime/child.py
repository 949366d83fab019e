"""The child's end of the supervisor: frames to and from the parent, heartbeats, and dying when the parent dies.

Standard library only, so that a supervised process starts quickly. A frame is one JSON object on one line. Frames go
out through the pipe that was standard output; anything else that prints there afterwards lands in standard error.

As a program, ``python -m kith.runtime.child COMMAND…`` becomes COMMAND after asking the kernel to kill it with its
parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

BEAT = 0.5  # seconds between heartbeats: with a limit of 1.5 s a hang is noticed within 2 s
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Parent:
    """The supervisor, as its child sees it."""

    def __init__(self) -> None:
        die_with_parent()
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame, from any thread. When nobody listens any more, the process ends."""
        data = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._out, data) :]
        except OSError:
            os._exit(1)

    def frames(self) -> Iterator[dict[str, Any]]:
        """The frames that the supervisor sends, until it goes away."""
        for line in sys.stdin.buffer:
            yield json.loads(line)

    def beat(self) -> None:
        """Start to tell the supervisor every half second that this process runs."""
        threading.Thread(target=self._beats, daemon=True, name="heartbeat").start()

    def _beats(self) -> None:
        pause = threading.Event()
        while True:
            self.send({"beat": 1})
            pause.wait(BEAT)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the end of standard input has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - becoming the given command is the purpose
