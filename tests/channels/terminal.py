"""People at terminals: each is a process of ``kith chat`` with pipes for its keyboard and its screen, which finds the
house by its note as anybody's does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.channels.rig import Stage
from tests.channels.visitors import Place

_ROOT = Path(__file__).parents[2]
_AGAIN, _BACK = "(starting again)", "(connected again)"


class CliPerson:
    """Somebody who types. A line on the screen that was begun anew does not count as heard."""

    def __init__(self, name: str, place: Place) -> None:
        self.name, self.place = name, place
        self.heard: list[str] = []
        self.told: list[str] = []
        self.recoveries: list[float] = []
        self.lost = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    async def joined(self) -> None:
        """Returns when the chat is open."""
        environ = {**os.environ, "KITH_HOME": str(self.place.home), "KITH_LANG": "en"}
        environ["PYTHONPATH"] = os.pathsep.join(map(str, (_ROOT / "src", _ROOT)))
        while not await asyncio.to_thread(self.place.alive):
            await asyncio.sleep(0.05)
        pipe = asyncio.subprocess.PIPE
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kith", "chat", "--conversation", self.name),
            cwd=_ROOT, env=environ, stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        opened = (await process.stdout.readline()).decode()
        assert opened.startswith("Talk to Kith at "), opened + (await process.stderr.read()).decode()
        self._readers = [asyncio.create_task(one) for one in (self._see(process.stdout), self._note(process.stderr))]

    async def say(self, text: str) -> None:
        """Type a line, and wait for the answer, which repeats it: the chat sends no other before."""
        assert self._process is not None and self._process.stdin is not None
        before = len(self.heard)
        self._process.stdin.write(text.encode() + b"\n")
        await self._process.stdin.drain()
        while not any(text in line or text == "hello" for line in self.heard[before:]):
            if self._readers[0].done():
                raise AssertionError(f"the chat has ended: {self.told[-3:]}")
            await asyncio.sleep(0.01)

    async def close(self) -> int:
        """End of input: the exit status of the chat."""
        if self._process is None:
            return 0
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(60):
                status = await self._process.wait()
        except TimeoutError:  # its house is gone, and it waits for it
            self._process.kill()
            status = await self._process.wait()
        await asyncio.gather(*self._readers)
        return status

    async def _see(self, screen: asyncio.StreamReader) -> None:
        async for raw in screen:
            line = raw.decode().rstrip("\n")
            if line == _AGAIN:
                self.heard.pop()
            elif line:
                self.heard.append(line)

    async def _note(self, errors: asyncio.StreamReader) -> None:
        async for raw in errors:
            self.told.append(raw.decode().rstrip("\n"))
            if self.told[-1] == _BACK and self.lost:
                self.recoveries.append(time.monotonic() - self.lost)
                self.lost = 0.0


@contextlib.asynccontextmanager
async def cli_stage(folder: Path, people: int) -> AsyncIterator[Stage]:
    place = Place(folder / "home")
    crowd = [CliPerson(f"person{number}", place) for number in range(people)]
    try:
        yield Stage("cli", 0, lambda port: {}, crowd, place=place)
    finally:
        for one in crowd:
            await one.close()


TERMINALS = {"cli": cli_stage}
