"""What a model takes: memory by the type of its weights, what two processes share, and unloading and loading again.

``python -m benchmarks.weights [--json] [--preset tiny|0.5b|1.3b] [--types f32 f16 q8_0 q4_0]``

Memory is the proportional set size of the model's process (``smaps_rollup``, Linux) after one reply of 32 tokens at a
context of 1,024; the private part is what a second process would cost anew.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.models import CONTEXT, Key, kith, model_file
from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.models import ModelService, ModelSettings
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs


def sizes(pid: int) -> dict[str, float]:
    """Pss, Rss and private memory of a process in MiB."""
    found = {"Pss": 0.0, "Rss": 0.0, "Private": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, value = line.split(":")
        if name in found:
            found[name] += int(value.split()[0]) / 1024
        elif name.startswith("Private_") and name != "Private_Hugetlb":
            found["Private"] += int(value.split()[0]) / 1024
    return found


async def lives(path: Path, count: int, **options: Any) -> tuple[list[dict[str, float]], float, list[float]]:
    """Sizes of `count` processes with one file, tokens a second of the first, and [load, unload, load again] in s."""
    clock = SystemClock()
    supervisor, times = Supervisor(clock), list[float]()
    names = ["bench", *(f"bench{number}" for number in range(1, count))]
    models = [
        ModelSettings(name=name, path=str(path), context=CONTEXT // 2, parallel=1, threads=1, options=options)
        for name in names
    ]
    with tempfile.TemporaryDirectory() as folder:
        service = ModelService(models, clock, supervisor, Path(folder), cipher=Key())
        await service.start()
        try:
            times.append(await loaded(service, "bench"))
            rate = (await kith(service, 1, 32, "Tell me a story."))["rate"]
            for name in names[1:]:
                await loaded(service, name)
            found = list[dict[str, float]]()
            for name in names:
                async with service.using("chat", name) as backend:
                    found.append(sizes(int(getattr(backend, "pid", 0))))
            async with service.using("chat", "bench") as backend:
                began = time.perf_counter()
                await backend.stop()
                times.append(time.perf_counter() - began)
            began = time.perf_counter()
            await kith(service, 1, 1, "Tell me a story.")
            times.append(time.perf_counter() - began)
        finally:
            await service.stop()
            await supervisor.close()
    return found, rate, times


async def loaded(service: ModelService, name: str) -> float:
    """Seconds that loading takes."""
    began = time.perf_counter()
    async with service.using("chat", name):
        return time.perf_counter() - began


async def measure(preset: str, types: list[str]) -> list[Row]:
    """Every row of the report."""
    rows, first = list[Row](), 0.0
    for kind in types:
        path = model_file(preset, kind)
        (size,), rate, times = await lives(path, 1)
        first = first or size["Pss"]
        rows.append(Row(f"{kind}: memory", size["Pss"], "MiB", first, types[0]))
        rows.append(Row(f"{kind}: memory against the file", size["Pss"], "MiB", path.stat().st_size / 2**20, "file"))
        rows.append(Row(f"{kind}: decoding", rate, "tokens/s"))
        for name, seconds in zip(("load", "unload", "load again and first token"), times, strict=True):
            rows.append(Row(f"{kind}: {name}", seconds * 1000, "ms"))
    kind = types[-1]
    for share in (False, True):
        found, _, _ = await lives(model_file(preset, kind), 2, share=share)
        alone = sum(one["Rss"] for one in found)
        name = f"{kind}: two processes{', share: true' if share else ''}"
        rows.append(Row(name, sum(one["Pss"] for one in found), "MiB", alone, "their resident sizes"))
        rows.append(Row(f"{name}, the second alone", found[1]["Private"], "MiB", found[1]["Rss"], "its resident size"))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--preset", default="0.5b", choices=["tiny", "0.5b", "1.3b"])
    parser.add_argument("--types", nargs="+", default=["f32", "f16", "q8_0", "q4_0"])
    options = parser.parse_args()
    configure_logs()
    rows = asyncio.run(measure(options.preset, options.types))
    report(f"weights ({options.preset})", rows, options.json)


if __name__ == "__main__":
    main()
