"""What works and what does not, component by component: the one place that health pages and commands read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Condition = Literal["starting", "ready", "degraded", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Report:
    """One component's own word on itself. `required` ones must be ready before Kith says that it is."""

    condition: Condition
    detail: str = ""
    required: bool = True


class Health:
    """Components report here; readers take a snapshot."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}

    def report(self, component: str, condition: Condition, detail: str = "", *, required: bool = True) -> None:
        """Say how `component` (``storage``, ``model:qwen``, ``channel:web``) is."""
        self._reports[component] = Report(condition, detail, required)

    def snapshot(self) -> Mapping[str, Report]:
        """Every component's latest report."""
        return dict(self._reports)

    @property
    def ready(self) -> bool:
        """Whether every required component can do its work."""
        return all(r.condition in ("ready", "degraded") for r in self._reports.values() if r.required)

    @property
    def started(self) -> bool:
        """Whether nothing is still on its way up."""
        return all(r.condition != "starting" for r in self._reports.values())
