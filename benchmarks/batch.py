"""What a batch of four brings on the second engine for processors: CTranslate2 in INT8, through Kith's service.

``python -m benchmarks.batch [--json] [--width N] [--layers N] [--tokens N] [--rounds N] [--threads N]``

The model is synthetic (scripts/make_ct2.py): a Llama of random weights with the given dimensions.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.models import kith
from benchmarks.report import Row, report
from kith.core.clock import SystemClock
from kith.models import ModelService, ModelSettings
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import configure_logs


async def measure(path: Path, tokens: int, rounds: int, threads: int) -> list[Row]:
    """Every row of the report."""
    clock = SystemClock()
    supervisor = Supervisor(clock)
    options = {"batch": 4}
    settings = ModelSettings(
        name="bench", path=str(path), backend="ctranslate2", parallel=4, threads=threads, options=options
    )
    with tempfile.TemporaryDirectory() as folder:
        service = ModelService([settings], clock, supervisor, Path(folder))
        await service.start()
        try:
            await kith(service, 4, 8, "warm up")
            rates = {1: list[float](), 4: list[float]()}
            for _ in range(rounds):
                for streams, found in rates.items():
                    found.append((await kith(service, streams, tokens, "Tell me a story."))["rate"])
        finally:
            await service.stop()
            await supervisor.close()
    one, four = (statistics.median(found) for found in rates.values())
    return [
        Row("tokens, 1 stream", one, "tokens/s"),
        Row("tokens, 4 streams", four, "tokens/s", one, "1 stream"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    options = parser.parse_args()
    if importlib.util.find_spec("ctranslate2") is None:
        raise SystemExit('needs the engine: pip install "kith[ctranslate2]"')
    configure_logs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        script = Path(__file__).parents[1] / "scripts" / "make_ct2.py"
        size = ["--width", str(options.width), "--layers", str(options.layers)]
        subprocess.run([sys.executable, str(script), "--out", str(folder), *size], check=True, stdout=2)
        rows = asyncio.run(measure(folder, options.tokens, options.rounds, options.threads))
    report(f"batch ({options.layers} layers of {options.width}, {options.threads} threads)", rows, options.json)


if __name__ == "__main__":
    main()
