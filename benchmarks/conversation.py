"""What a conversation costs beside what it is made of, in one run: HTTP beside bare HTTP, tokens beside the runtime.

``python -m benchmarks.conversation [--json] [--preset tiny|0.5b|1.3b]``
"""

from __future__ import annotations

import argparse
import asyncio
import os

from benchmarks import gateway, models
from benchmarks.report import report
from kith.runtime.telemetry import configure_logs


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--preset", default="0.5b", choices=["tiny", "0.5b", "1.3b"])
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    configure_logs()
    threads = max(1, (os.cpu_count() or 2) - 1)
    rows = gateway.measure(given.conversations, given.rounds)
    rows += asyncio.run(models.measure(models.model_file(given.preset), 64, given.rounds, threads))
    report(f"conversation ({given.preset})", rows, given.json)


if __name__ == "__main__":
    main()
