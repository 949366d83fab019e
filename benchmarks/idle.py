"""What a house costs before anybody speaks: ``python -m benchmarks.idle [--rounds N] [--json]``.

``kith serve`` starts in an empty folder, without a model; the time runs from the command to its listening, and to its
first answer over HTTP, which a flow gives. Memory is measured some seconds later, as PSS (what it shares with other
processes is divided among them) and as RSS (all of it: what PSS would be were it the only Python here).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from benchmarks.report import Row, report

_SETTLED = 8.0  # seconds


def once() -> tuple[float, float, float, float, float]:
    """Seconds to listen and to answer, of processor time by then, and PSS and RSS in MB."""
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as name:
        folder = Path(name)
        (folder / "kith.yaml").write_text("gateway: {port: 0}\n")
        begun = time.perf_counter()
        command = [sys.executable, "-m", "kith", "serve"]
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, env={**os.environ, "KITH_HOME": name}, stdout=log, stderr=log)
        try:
            note = folder / "run" / "server.json"
            while not note.exists():
                assert child.poll() is None, (folder / "log").read_text()
                time.sleep(0.01)
            listening = time.perf_counter() - begun
            ask(json.loads(note.read_text()))
            answered, process = time.perf_counter() - begun, psutil.Process(child.pid)
            spent = sum(process.cpu_times()[:2])
            time.sleep(_SETTLED)
            memory = process.memory_full_info()
            return listening, answered, spent, memory.pss / 1e6, memory.rss / 1e6
        finally:
            child.terminate()
            child.wait(30)


def ask(server: dict[str, str]) -> None:
    """One answer of the whole house."""
    body = json.dumps({"model": "kith", "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = {"Authorization": f"Bearer {server['token']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server['url']}/v1/chat/completions", body, head)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    listening, answered, spent, pss, rss = (
        statistics.median(figures) for figures in zip(*(once() for _ in range(given.rounds)), strict=True)
    )
    rows = [
        Row("listening after", listening, "s"),
        Row("first answer after", answered, "s"),
        Row("processor time by then", spent, "s"),
        Row("memory at rest (PSS)", pss, "MB"),
        Row("memory at rest (RSS)", rss, "MB"),
    ]
    report("idle", rows, given.json)


if __name__ == "__main__":
    main()
