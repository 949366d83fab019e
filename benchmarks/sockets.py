"""Ten thousand WebSockets that say nothing: what each costs, and how long all of them take to come back at once.

``python -m benchmarks.sockets [--sockets N] [--json]``

The server is a whole household in a process of its own; its memory is what the system counts as resident, before and
after. A socket is open when its handshake is answered, credential checked. The storm: all are cut, then all connect
again as fast as they can, 500 handshakes under way at a time. Both processes need that many open files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import uvloop

from benchmarks.report import Row, report
from kith.app import open_household
from kith.runtime.lifecycle import until_stopped
from kith.settings import load_settings

_AT_ONCE = 500
_SOURCES = 8  # addresses of the loopback network that the clients come from, so that no port runs out


def allow_files() -> None:
    """As many open files as the system lets this user have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve() -> None:
    """A household with room for all."""
    allow_files()
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as scratch:
        os.environ["KITH_HOME"] = scratch
        file = Path(scratch) / "kith.yaml"
        file.write_text("gateway: {port: 0, max_connections: 100000}\n")
        async with open_household(load_settings(file), serve=True) as house:
            assert house.gateway is not None
            port = int(house.gateway.address.rpartition(":")[2])
            print(json.dumps({"port": port, "token": await house.auth.new("bench")}), flush=True)
            await until_stopped()


class Crowd:
    """The clients: bare sockets, because a client library would take the memory and the time that are measured."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._gate = port, asyncio.Semaphore(_AT_ONCE)
        self._writers: list[asyncio.StreamWriter] = []
        self._hello = (
            "GET /api/channels/web/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    async def come(self, number: int) -> float:
        """Open so many; the seconds until the last handshake is answered."""
        start = time.perf_counter()
        await asyncio.gather(*(self._one(index) for index in range(number)))
        return time.perf_counter() - start

    async def _one(self, index: int) -> None:
        source = (f"127.0.0.{1 + index % _SOURCES}", 0) if sys.platform == "linux" else None
        async with self._gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=source, limit=1024)
            writer.write(self._hello)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head
            self._writers.append(writer)

    def cut(self) -> None:
        """Break every connection, without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def crowd(port: int, token: str, number: int, server: psutil.Process) -> list[Row]:
    """Every row of the report."""
    people = Crowd(port, token)
    await people.come(50)  # whatever is made once is made now
    await asyncio.sleep(1)
    before = server.memory_info().rss
    opening = await people.come(number)
    await asyncio.sleep(3)
    each = (server.memory_info().rss - before) / number
    busy = server.cpu_times()
    await asyncio.sleep(5)
    now = server.cpu_times()
    idle = (now.user + now.system - busy.user - busy.system) / 5
    people.cut()
    storm = await people.come(number)
    return [
        Row(f"memory of one idle WebSocket, of {number}", each / 1024, "KiB"),
        Row("opening all of them", opening, "s"),
        Row("processor while all are idle", idle * 100, "% of a core"),
        Row("all of them again after a cut", storm, "s", 30.0, "the goal"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true")
    given = parser.parse_args()
    if given.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `kith serve` does
            runner.run(serve())
        return
    allow_files()
    command = [sys.executable, "-m", "benchmarks.sockets", "--serve"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        rows = asyncio.run(crowd(told["port"], told["token"], given.sockets, psutil.Process(child.pid)))
    finally:
        child.terminate()
        child.wait(30)
    report("sockets", rows, given.json)


if __name__ == "__main__":
    main()
