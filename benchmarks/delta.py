"""What a change of one per cent in a large file costs to bring over: bytes, time and memory, in one run.

``python -m benchmarks.delta [--json] [--mebibytes N] [--share 0.01]``

The file is random bytes (as incompressible as quantised weights); the change is runs of 64 KiB spread evenly. Making
and applying run in processes of their own, so that the peak memory is theirs alone. The peer is a whole download.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Row, report
from kith.models.delta import apply_delta, make_delta

_RUN = 64 << 10
_BLOCK = 8 << 20


def make_files(folder: Path, mebibytes: int, share: float) -> None:
    """``old`` and ``new`` of the same length, `share` of their bytes different."""
    size = mebibytes << 20
    with (folder / "old").open("wb") as old, (folder / "new").open("wb") as new:
        for _ in range(size // _BLOCK):
            block = os.urandom(_BLOCK)
            old.write(block)
            new.write(block)
        runs = max(1, int(size * share) // _RUN)
        for number in range(runs):
            new.seek(number * (size // runs))
            new.write(os.urandom(_RUN))


def apart(step: str, folder: Path) -> dict[str, Any]:
    """One step in a process of its own: seconds and peak memory in MiB, beside those of a process that does nothing."""
    command = [sys.executable, "-m", "benchmarks.delta", "--step", step, "--folder", str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def step(name: str, folder: Path) -> None:
    """The inside of `apart`."""
    began = time.perf_counter()
    if name == "make":
        make_delta(folder / "old", folder / "new", folder / "delta")
    elif name == "apply":
        apply_delta(folder / "old", folder / "delta", folder / "made")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"seconds": time.perf_counter() - began, "peak": peak}))


def measure(mebibytes: int, share: float) -> list[Row]:
    """Every row of the report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, mebibytes, share)
        made, applied, idle = (apart(name, folder) for name in ("make", "apply", "nothing"))
        size = (folder / "delta").stat().st_size
        if (folder / "made").read_bytes() != (folder / "new").read_bytes():
            raise SystemExit("the file that was made is another")
    return [
        Row(f"bytes sent, {share:.1%} of {mebibytes} MiB", size / 2**20, "MiB", mebibytes, "the whole file"),
        Row("make", made["seconds"], "s"),
        Row("make, peak memory", made["peak"], "MiB", idle["peak"], "doing nothing"),
        Row("apply and verify", applied["seconds"], "s"),
        Row("apply, peak memory", applied["peak"], "MiB", idle["peak"], "doing nothing"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--step", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step(options.step, options.folder)
        return
    report("delta", measure(options.mebibytes, options.share), options.json)


if __name__ == "__main__":
    main()
