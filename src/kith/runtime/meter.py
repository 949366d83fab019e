"""The latest figures of every metric, kept in memory for whoever looks at the house now. Nothing is stored."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kith.runtime.telemetry import Metric

_LATEST = 256  # observations of a distribution that its quantiles are taken from
_SERIES = 200  # label sets of one metric; the rest is added together


@dataclass(slots=True)
class _Series:
    value: float = 0.0
    count: int = 0
    latest: deque[float] = field(default_factory=lambda: deque[float](maxlen=_LATEST))


class Meter:
    """An `Exporter`. Counters are added up, gauges are as last set, distributions have count, sum and quantiles."""

    def __init__(self) -> None:
        self._kept: dict[Metric, dict[tuple[str, ...], _Series]] = {}
        self._lock = threading.Lock()

    def measure(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Take one measurement; from any thread."""
        key = tuple(labels.values())
        if tuple(labels) != metric.labels:  # most callers name them all, and in order
            key = tuple([str(labels.get(name, "")) for name in metric.labels])
        with self._lock:
            rows = self._kept.get(metric)
            if rows is None:
                rows = self._kept[metric] = {}
            series = rows.get(key)
            if series is None:
                key = key if len(rows) < _SERIES else ("…",) * len(metric.labels)
                series = rows.setdefault(key, _Series())
            series.count += 1
            if metric.kind == "gauge":
                series.value = value
            else:
                series.value += value
            if metric.kind == "histogram":
                series.latest.append(value)

    def entered(self, name: str) -> None:
        """Spans are not kept."""

    def traced(self, name: str, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Spans are not kept."""

    def figures(self) -> Sequence[Mapping[str, Any]]:
        """Every metric with its rows, by name: ``value`` (of a distribution its sum), ``count``, ``p50``, ``p95``."""
        with self._lock:
            found = [
                {
                    "name": metric.name,
                    "kind": metric.kind,
                    "text": metric.help,
                    "rows": [_row(metric, key, series) for key, series in rows.items()],
                }
                for metric, rows in self._kept.items()
            ]
        return sorted(found, key=lambda one: str(one["name"]))


def _row(metric: Metric, key: tuple[str, ...], series: _Series) -> Mapping[str, Any]:
    row: dict[str, Any] = {"labels": dict(zip(metric.labels, key, strict=True)), "value": series.value}
    if metric.kind == "histogram":
        latest = sorted(series.latest)
        quantiles = {name: latest[int(share * (len(latest) - 1))] for name, share in (("p50", 0.5), ("p95", 0.95))}
        row |= {"count": series.count, **quantiles}
    return row
