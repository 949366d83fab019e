"""One life of the server: ``kith serve`` as it is, watched from outside by an exporter that kills at a chosen step."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kith.cli import main
from kith.runtime.telemetry import Metric, attach

SPANS = (
    *("channel.accept", "inbox.accept", "storage.commit", "inbox.claim"),
    *("turn.admit", "turn.resolve", "turn.sense", "turn.understand", "turn.recall", "turn.think", "turn.act"),
    *("turn.speak", "inbox.settle", "turn.remember", "outbox.take", "channel.send", "outbox.settle"),
)
"""The named steps of a message's life, in the order in which it passes them."""


@dataclass(slots=True)
class Killer:
    """Kills its own process, as the system would, at the `left`-th time that a span is entered, or left."""

    span: str
    side: str
    left: int
    hit: int

    def measure(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Metrics are of no interest here."""

    def entered(self, name: str) -> None:
        if self.side == "before":
            self._pass(name)

    def traced(self, name: str, seconds: float, attributes: Mapping[str, Any]) -> None:
        if self.side == "after":
            self._pass(name)

    def _pass(self, name: str) -> None:
        if name != self.span:
            return
        self.left -= 1
        if self.left == 0:
            os.write(self.hit, b"!")
            os.kill(os.getpid(), signal.SIGKILL)


def live(span: str, side: str, passes: int, hit: int) -> None:
    """Serve until killed. With an empty `span`, somebody else has to do it."""
    if span:
        attach(Killer(span, side, passes, hit))
    main(["serve"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("span")
    parser.add_argument("side")
    parser.add_argument("passes", type=int)
    parser.add_argument("hit", type=int)
    given = parser.parse_args()
    live(given.span, given.side, given.passes, given.hit)
