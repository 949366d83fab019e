"""Power profiles: how much of the machine models may take, and how long they stay."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import psutil

Power = Literal["eco", "balanced", "performance"]


@dataclass(frozen=True, slots=True)
class Profile:
    """`threads` is for models whose settings do not say, 0 leaves it to the backend; `idle` is in seconds, 0: never.

    `wait` is how many seconds a batch of an encoder waits for company; `replicas` whether there may be more than one;
    `preload` whether every model is loaded at start.
    """

    threads: int
    idle: float
    wait: float
    replicas: bool
    preload: bool


def profile(power: Power, cores: int = 0) -> Profile:
    """The profile of a machine with so many physical cores; 0 measures.

    ``performance`` leaves a core free as well: with all of them, one busy neighbour made decoding four times slower
    (24 to 5.7 tokens a second, see docs/adr/010).
    """
    cores = cores or physical()
    match power:
        case "eco":
            return Profile(max(1, cores // 2), 120.0, 0.02, replicas=False, preload=False)
        case "balanced":
            return Profile(0, 1800.0, 0.005, replicas=True, preload=False)
        case "performance":
            return Profile(max(1, cores - 1), 0.0, 0.002, replicas=True, preload=True)


def physical() -> int:
    """Physical cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))
