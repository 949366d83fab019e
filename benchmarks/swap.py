"""Another version under load: failed requests, how long traffic takes to move, p99 and peak memory, in one run.

``python -m benchmarks.swap [--json] [--preset tiny|0.5b|1.3b] [--streams N] [--tokens N] [--seconds N]``

People ask without a pause through Kith's service while the model changes to a new version, then to one that is whole
and cannot be loaded, then to one that is cut off, and, as if memory were short, to the first again with `drain`. The
longest wait for a first token in a phase tells how long nobody was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.models import model_file
from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.core.errors import KithError
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, Sampling
from kith.models import ModelService, ModelSettings, Shelf
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs


@dataclass
class Load:
    """People who ask without a pause, and what they met."""

    service: ModelService
    tokens: int
    firsts: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])
    stopped: bool = False

    async def person(self, number: int) -> None:
        """One who asks again as soon as there is an answer."""
        turn = 0
        while not self.stopped:
            message = Message("m", "user", (Text(f"{number} {(turn := turn + 1)}: tell me a story"),), 0.0)
            request = ChatRequest((message,), "bench", Sampling(max_tokens=self.tokens), person=str(number))
            began, first = time.perf_counter(), 0.0
            try:
                async for _ in self.service.chat(request):
                    first = first or time.perf_counter() - began
            except KithError as error:
                self.failures.append(error.code)
                await asyncio.sleep(0.01)
            self.firsts.append(first)


class Peak:
    """The most memory that this process and its children had, by proportional share, in MiB."""

    def __init__(self) -> None:
        self.most = 0.0

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            self.most = max(self.most, await asyncio.to_thread(_memory))
            await asyncio.sleep(0.25)


def _memory() -> float:
    total = 0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):
            about: Any = process.memory_full_info()
            total += getattr(about, "pss", about.rss)
    return total / 2**20


def stock(shelf: Shelf, file: Path, folder: Path) -> None:
    """The versions: one, two, one that cannot be loaded, one that is cut off."""
    for name, old, new in (
        ("one", b"", b""),
        ("two", b"synthetic", b"synthetik"),
        ("strange", b"attn_q.w", b"attn_x.w"),
    ):
        copy = folder / f"{name}.gguf"
        shutil.copyfile(file, copy)
        _replace(copy, old, new)
        version = shelf.store("bench", [copy], move=True)
        _rename(shelf, version.version, name)
    _rename(shelf, shelf.store("bench", [file], copy=True).version, "short")
    path = shelf.versions("bench").folder / "short" / "model.gguf"
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Change the header's first megabytes in place."""
    with path.open("r+b") as stream:
        head = stream.read(16 << 20)
        stream.seek(0)
        stream.write(head.replace(old, new, 1) if old else head)


def _rename(shelf: Shelf, version: str, name: str) -> None:
    folder = shelf.versions("bench").folder
    (folder / version).rename(folder / name)
    about = folder / name / "about.json"
    about.write_text(about.read_text("utf-8").replace(f'"{version}"', f'"{name}"', 1), "utf-8")


async def measure(file: Path, streams: int, tokens: int, seconds: float) -> list[Row]:
    """Every row of the report."""
    clock, rows, peak = SystemClock(), list[Row](), Peak()
    supervisor = Supervisor(clock)
    with tempfile.TemporaryDirectory() as name:
        shelf = Shelf(Path(name))
        stock(shelf, file, Path(name))
        shelf.enter(ModelSettings(name="bench", path="-", parallel=4, context=512), shelf.versions("bench").get("one"))
        service = ModelService([], clock, supervisor, shelf.folder)
        await service.start()
        load, watching = Load(service, tokens), asyncio.create_task(peak.watch())
        people = [asyncio.create_task(load.person(number)) for number in range(streams)]
        try:
            rows += await phase("no change", load, peak, lambda: asyncio.sleep(seconds))
            for version, drain in (("two", False), ("strange", False), ("short", False), ("one", True)):
                title = f"{'drain and ' if drain else ''}change to {version}"
                rows += await phase(title, load, peak, lambda v=version, d=drain: change(service, v, drain=d))
        finally:
            load.stopped = True
            await asyncio.gather(*people)
            watching.cancel()
            await service.stop()
            await supervisor.close()
    return rows


async def change(service: ModelService, version: str, *, drain: bool) -> list[Row]:
    """One change: how long the new copy took beside the old one, and how long nobody was served."""
    if drain:
        setattr(vars(service)["_keeper"], "_limit", lambda: 1)  # noqa: B010 - the machine is made to look small
    try:
        done = await service.swap("bench", version, drain=drain)
    except KithError as error:
        return [Row(f"  given up ({error.code})", 1, "times")]
    return [Row("  load and probe", done.loading + done.probing, "s"), Row("  nobody served", done.pause, "s")]


async def phase(title: str, load: Load, peak: Peak, work: Callable[[], Awaitable[list[Row] | None]]) -> list[Row]:
    """What people met while `work` was done."""
    load.firsts.clear()
    load.failures.clear()
    peak.most, began = 0.0, time.perf_counter()
    done = await work()
    seconds = time.perf_counter() - began
    firsts = sorted(load.firsts) or [0.0]
    rows = [
        Row(f"{title}: it took", seconds, "s"),
        Row("  requests", len(load.firsts), "requests"),
        Row("  failed requests", len(load.failures), "requests"),
        Row("  first token, p50", firsts[len(firsts) // 2] * 1000, "ms"),
        Row("  first token, p99", firsts[int(len(firsts) * 0.99)] * 1000, "ms"),
        Row("  first token, longest", firsts[-1] * 1000, "ms"),
        Row("  peak memory (PSS, all processes)", peak.most, "MiB"),
    ]
    return [*rows, *(done or ())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--preset", default="0.5b", choices=["tiny", "0.5b", "1.3b"])
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    if importlib.util.find_spec("xllamacpp") is None:
        raise SystemExit('needs the runtime: pip install "kith[llama]"')
    configure_logs("error")
    rows = asyncio.run(measure(model_file(options.preset), options.streams, options.tokens, options.seconds))
    report(f"swap ({options.preset}, {options.streams} people)", rows, options.json)


if __name__ == "__main__":
    main()
