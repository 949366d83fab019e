"""Memory under steady load for a long time: ``python -m benchmarks.soak [--minutes 20] [--rate 100] [--json]``.

A real ``kith serve`` answers messages from a loopback channel; its memory (PSS) is fitted by a line after a warm-up of
a quarter of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import yaml

from benchmarks.house import FLOW
from benchmarks.report import Row, report

_ROOMS = 50
_GOAL = 1.0  # MB an hour


def start(folder: Path, journal: Path | None = None, **storage: int) -> subprocess.Popen[bytes]:
    """A server whose loopback channel listens on the socket ``inject``; `storage` is its section of the settings."""
    loopback = {"inject": str(folder / "inject")} | ({"journal": str(journal)} if journal else {})
    (folder / "flow.json").write_text(json.dumps(FLOW), "utf-8")
    settings = {
        "gateway": {"port": 0},
        "dialogue": {"flow": str(folder / "flow.json"), "manners": {"debounce": 0}},
        "storage": storage,
        "channels": {"loopback": loopback},
        "security": {"messages_per_minute": 1e9, "burst": 1_000_000},
    }
    (folder / "kith.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    command = [sys.executable, "-m", "kith", "serve"]
    log = (folder / "log").open("wb")
    return subprocess.Popen(command, env={**os.environ, "KITH_HOME": str(folder)}, stdout=log, stderr=log)


async def load(folder: Path, pid: int, minutes: float, rate: float) -> tuple[list[tuple[float, float]], int]:
    """Talk for `minutes`: samples of (hours, MB), and how many messages were acknowledged."""
    while not (folder / "inject").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    end, said = time.monotonic() + minutes * 60, 0

    async def room(number: int) -> None:
        nonlocal said
        reader, writer = await asyncio.open_unix_connection(str(folder / "inject"))
        turn = 0
        while time.monotonic() < end:
            line = {"id": f"{number}-{turn}", "text": "hello", "conversation": f"room{number}", "sender": f"s{number}"}
            writer.write(json.dumps(line).encode() + b"\n")
            turn += json.loads(await reader.readline())["accepted"]
            said += 1
            await asyncio.sleep(_ROOMS / rate)
        writer.close()
        await writer.wait_closed()

    samples: list[tuple[float, float]] = []

    async def watch() -> None:
        process, begun = psutil.Process(pid), time.monotonic()
        while time.monotonic() < end:
            samples.append(((time.monotonic() - begun) / 3600, process.memory_full_info().pss / 1e6))
            await asyncio.sleep(2)

    await asyncio.gather(watch(), *(room(number) for number in range(_ROOMS)))
    return samples, said


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100, help="messages a second")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = start(Path(name))
        try:
            samples, said = asyncio.run(load(Path(name), server.pid, given.minutes, given.rate))
        finally:
            server.terminate()
            server.wait(30)
    rest = np.array(samples[len(samples) // 4 :])
    slope, _ = np.polyfit(rest[:, 0], rest[:, 1], 1)
    rows = [
        Row("memory slope after warm-up", float(slope), "MB/h", _GOAL, "the goal"),
        Row("memory after warm-up", float(rest[0, 1]), "MB"),
        Row("memory at the end", float(rest[-1, 1]), "MB"),
        Row("messages", said, ""),
        Row("minutes", given.minutes, ""),
    ]
    report("soak", rows, given.json)
    if given.json:
        return
    for hours, size in samples[:: max(1, len(samples) // 20)]:
        print(f"  {hours * 60:6.1f} min {size:8.2f} MB")


if __name__ == "__main__":
    main()
