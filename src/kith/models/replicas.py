"""How many copies of a model there should be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_TOLERANCE = 0.1  # a deviation from the target that changes nothing (as in Kubernetes' horizontal autoscaler)
_CALM = 300.0  # seconds for which fewer have to be enough before one is given up
_CROWDED = 0.9  # use of the whole machine at which another copy would only take turns


@dataclass(frozen=True, slots=True)
class Load:
    """What is seen of a model: `cpu` is the use of its copies' own threads, `machine` of all processors, both 0..1."""

    replicas: int
    cpu: float
    machine: float
    running: int = 0
    slots: int = 1
    waiting: int = 0


@dataclass(slots=True)
class Scaler:
    """Between `least` and `most` copies, so that each uses its processors to the share `target`.

    ``ceil(copies x use / target)``, the rule of Kubernetes' horizontal pod autoscaler, with its tolerance of 10 % and
    its 300 s of patience before giving one up. One more is only made while requests wait and processors are left.
    """

    least: int = 1
    most: int = 1
    target: float = 0.7
    _since: float | None = field(default=None)

    def decide(self, load: Load, now: float) -> int:
        """The number of copies wanted at the monotonic instant `now`: at most one more or one less."""
        wanted = load.replicas
        if abs(load.cpu / self.target - 1) > _TOLERANCE:
            wanted = math.ceil(load.replicas * load.cpu / self.target)
        if wanted > load.replicas and (not load.waiting or load.machine > _CROWDED):
            wanted = load.replicas
        if load.waiting and wanted < load.replicas:
            wanted = load.replicas
        if wanted >= load.replicas:
            self._since = None
        elif self._since is None:
            self._since, wanted = now, load.replicas
        elif now - self._since < _CALM:
            wanted = load.replicas
        else:
            self._since = None
        step = max(load.replicas - 1, min(load.replicas + 1, wanted))
        return max(self.least, min(self.most, step))
