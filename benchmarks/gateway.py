"""First byte and throughput of ``/v1/chat/completions``, beside a bare Litestar route that streams the same bytes.

``python -m benchmarks.gateway [--json] [--rounds N] [--conversations N]``

One server process at a time; `conversations` clients ask at once, each waits for its whole answer before it asks
again. Time to the first byte of the body is what a client sees, connection kept; CPU-seconds are the server's own
(user and system), the client's are not counted. The servers take turns in one run. ``echo`` is the model by its name;
``kith`` is the whole household (nine stages) answering from its flow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn
from litestar import Litestar, post
from litestar.response import Stream

from benchmarks.report import Row, report
from kith.app import open_household
from kith.runtime.lifecycle import until_stopped
from kith.settings import load_settings

WORDS = "the quick brown fox jumps over the lazy dog and runs into the dark forest again"


@dataclass(frozen=True, slots=True)
class Figures:
    """One server under load: seconds to the first byte, and answers per CPU-second and per second."""

    first: list[float]
    per_cpu: float
    per_second: float

    def at(self, share: float) -> float:
        """Milliseconds to the first byte that `share` of the answers do not exceed."""
        return sorted(self.first)[min(len(self.first) - 1, int(share * len(self.first)))] * 1000


async def serve_kith() -> None:
    """A household with the echo model, limits out of the way, on a free port; prints address and token."""
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as scratch:
        os.environ["KITH_HOME"] = scratch
        file = Path(scratch) / "kith.yaml"
        file.write_text(
            "gateway: {port: 0}\nmodels: [{name: echo, backend: echo}]\n"
            "security: {messages_per_minute: 10000000, burst: 10000000}\n"
        )
        async with open_household(load_settings(file), serve=True) as house:
            assert house.gateway is not None
            print(json.dumps({"url": house.gateway.address, "token": await house.auth.new("bench")}), flush=True)
            await until_stopped()


async def serve_bare(chunks: list[str]) -> None:
    """The same framework and server streaming fixed bytes: no authentication, no validation, no model."""
    pieces = [chunk.encode() for chunk in chunks]

    async def said() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    @post("/v1/chat/completions")
    async def chat(data: dict[str, Any]) -> Stream:
        del data
        return Stream(said(), media_type="text/event-stream")

    config = uvicorn.Config(Litestar([chat], openapi_config=None), log_level="critical", access_log=False)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # or it waits for 40 ms (Nagle)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    listener.setblocking(False)
    port = listener.getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}", "token": ""}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


class Served:
    """A server in a process of its own."""

    def __init__(self, kind: str, chunks: list[str] | None = None) -> None:
        command = [sys.executable, "-m", "benchmarks.gateway", "--serve", kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(chunks or []) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        self.url, self.token = str(told["url"]), str(told["token"])

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)


def request(server: Served, model: str, text: str) -> bytes:
    """The request as bytes: a client of its own would cost more than the server."""
    said = {"model": model, "stream": True, "messages": [{"role": "user", "content": text}]}
    body = json.dumps(said).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def converse(server: Served, asked: bytes, rounds: int) -> list[float]:
    """One conversation: seconds to the first byte of each answer."""
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 20"), head
        await reader.readuntil(b"\n")
        times.append(time.perf_counter() - start)
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return times


async def load(server: Served, model: str, text: str, conversations: int, rounds: int) -> Figures:
    """All conversations at once."""
    asked = request(server, model, text)
    await asyncio.gather(*(converse(server, asked, 2) for _ in range(conversations)))
    start, cpu = time.perf_counter(), server.cpu()
    found = await asyncio.gather(*(converse(server, asked, rounds) for _ in range(conversations)))
    spent, used = time.perf_counter() - start, server.cpu() - cpu
    first = [one for times in found for one in times]
    return Figures(first, len(first) / used, len(first) / spent)


def recorded(server: Served) -> list[str]:
    """The chunks of one echoed answer, which the bare route repeats."""
    body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": WORDS}]}
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, trust_env=False)
    answer.raise_for_status()
    return [f"{chunk}\n\n" for chunk in answer.text.split("\n\n") if chunk]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--serve", choices=("kith", "bare"))
    given = parser.parse_args()
    if given.serve:
        chunks = json.loads(sys.stdin.readline())
        asyncio.run(serve_kith() if given.serve == "kith" else serve_bare(chunks))
        return
    report("gateway", measure(given.conversations, given.rounds), given.json)


def measure(conversations: int, rounds: int) -> list[Row]:
    """Every row of the report."""
    size = conversations, rounds
    with Served("kith") as server:
        chunks = recorded(server)
        echo = asyncio.run(load(server, "echo", WORDS, *size))
        house = asyncio.run(load(server, "kith", "hello", *size))
    with Served("bare", chunks) as server:
        bare = asyncio.run(load(server, "", WORDS, *size))
    name = "bare Litestar"
    return [
        Row(
            f"first byte, median of {size[0]} at once (echo)",
            statistics.median(echo.first) * 1000,
            "ms",
            bare.at(0.5),
            name,
        ),
        Row("first byte, 95th percentile (echo)", echo.at(0.95), "ms", bare.at(0.95), name),
        Row("answers per CPU-second (echo)", echo.per_cpu, "1/s", bare.per_cpu, name),
        Row("answers per second (echo)", echo.per_second, "1/s", bare.per_second, name),
        Row("first byte, median (kith, from its flow)", house.at(0.5), "ms", bare.at(0.5), name),
        Row("first byte, 95th percentile (kith)", house.at(0.95), "ms", bare.at(0.95), name),
        Row("answers per CPU-second (kith)", house.per_cpu, "1/s", bare.per_cpu, name),
    ]


if __name__ == "__main__":
    main()
