"""``python -m tests.simulation --seeds 1000 [--start N] [--story]``: many lives of a household, each by its seed."""

from __future__ import annotations

import argparse
import sys
import time

from kith.dialogue import FlowBook
from tests.simulation.world import FLOW, simulate


def main() -> int:
    """Run the seeds; the exit status is 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--story", action="store_true", help="print everything that happens")
    given = parser.parse_args()
    flows, failed, messages, kills, faults = FlowBook(FLOW), 0, 0, 0, 0
    began = time.monotonic()
    for seed in range(given.start, given.start + given.seeds):
        result, story = simulate(seed, flows)
        messages, kills, faults = messages + result.messages, kills + result.kills, faults + result.faults
        if given.story:
            print("\n".join(story))
        if result.problems:
            failed += 1
            print(f"seed {seed} ({result.policy}): {'; '.join(result.problems)}")
            print(f"  again: python -m tests.simulation --seeds 1 --start {seed} --story")
    seconds = time.monotonic() - began
    print(
        f"seeds={given.seeds} failed={failed} messages={messages} kills={kills} faults={faults} seconds={seconds:.1f}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
