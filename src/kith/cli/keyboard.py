"""Reading lines from a person: with editing at a terminal, plainly from a pipe."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession


class Keyboard(Protocol):
    """Where lines come from. `read` gives None at the end, and raises `KeyboardInterrupt` for Ctrl-C at the prompt."""

    interactive: bool

    async def read(self) -> str | None: ...

    def write(self, text: str) -> None: ...


class Editor:
    """A terminal, with line editing. The history lives in memory only: what people say is not kept in clear."""

    interactive = True

    def __init__(self, prompt: str) -> None:
        # Imported here because it is slow to import, and needed only at a terminal.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory

        self._session: PromptSession[str] = PromptSession(history=InMemoryHistory())
        self._prompt = prompt

    async def read(self) -> str | None:
        from prompt_toolkit.patch_stdout import patch_stdout

        try:
            with patch_stdout(raw=True):
                return await self._session.prompt_async(self._prompt, handle_sigint=False)
        except EOFError:
            return None

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class Pipe:
    """Lines from a stream that is not a terminal, read by a thread so that nothing waits for it."""

    interactive = False

    def __init__(self, source: TextIO | None = None, sink: TextIO | None = None) -> None:
        self._source, self._sink = source or sys.stdin, sink or sys.stdout
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    async def read(self) -> str | None:
        return await self._lines.get()

    def write(self, text: str) -> None:
        self._sink.write(text)
        self._sink.flush()

    def _pump(self) -> None:
        buffer = getattr(self._source, "buffer", None)
        lines = (raw.decode("utf-8", "replace") for raw in buffer) if buffer is not None else iter(self._source)
        try:
            for line in lines:
                self._loop.call_soon_threadsafe(self._lines.put_nowait, line.rstrip("\r\n"))
            self._loop.call_soon_threadsafe(self._lines.put_nowait, None)
        except (RuntimeError, OSError, ValueError):
            return  # the loop or the stream was closed: nobody reads any more


def keyboard() -> Keyboard:
    """What suits where we run. Needs a running loop."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return Editor("> ")
    return Pipe()
