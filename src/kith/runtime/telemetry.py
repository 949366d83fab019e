"""Spans, metrics and logs. Until an exporter is attached they cost a dictionary look-up and keep nothing."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

# structlog loads rich where it is there, 4 MB, for tracebacks that show the values of variables: not wanted in a log.
_modules = cast("dict[str, object]", sys.modules)
_hidden = _modules.setdefault("rich", None) is None
import structlog  # noqa: E402

if _hidden:
    del _modules["rich"]  # whoever else wants it may have it


class Exporter(Protocol):
    """Where measurements go. Attached once by the composition root; prometheus and OTLP are such exporters."""

    def measure(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None: ...

    def entered(self, name: str) -> None: ...

    def traced(self, name: str, seconds: float, attributes: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric by its Prometheus name; durations are in seconds. There is one of each, so it is equal to itself."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...] = ()

    def add(self, value: float = 1, **labels: str) -> None:
        """Count (counter), or set (gauge), or observe (histogram) `value`."""
        for exporter in _exporters:
            exporter.measure(self, value, labels)

    set = observe = add


@dataclass(slots=True)
class Span:
    """A timed piece of work; `seconds` is known when it has ended."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    _start: float = 0.0

    def __enter__(self) -> Span:
        for exporter in _exporters:
            exporter.entered(self.name)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        for exporter in _exporters:
            exporter.traced(self.name, self.seconds, self.attributes)


_exporters: list[Exporter] = []
_metrics: dict[str, Metric] = {}


def attach(exporter: Exporter) -> Callable[[], None]:
    """Send every measurement to `exporter` from now on; the result detaches it."""
    _exporters.append(exporter)
    return lambda: _exporters.remove(exporter)


def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Metric:
    """A number that only grows."""
    return _metrics.setdefault(name, Metric(name, text, "counter", labels))


def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Metric:
    """A number that goes up and down."""
    return _metrics.setdefault(name, Metric(name, text, "gauge", labels))


def histogram(name: str, text: str, labels: tuple[str, ...] = ()) -> Metric:
    """A distribution."""
    return _metrics.setdefault(name, Metric(name, text, "histogram", labels))


def metrics() -> tuple[Metric, ...]:
    """Every metric defined so far."""
    return tuple(_metrics.values())


def span(name: str, **attributes: Any) -> Span:
    """Time a piece of work: ``with span("turn.think", model=name) as work: …``."""
    return Span(name, attributes)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger. What people say is never logged above level debug."""
    return structlog.get_logger(name)


def configure_logs(level: str = "info", *, json: bool = False, hide: Callable[[str], str] = str) -> None:
    """Write logs to standard error, for people or (with `json`) one JSON object a line, each passed through `hide`."""
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
            lambda _logger, _name, line: hide(str(line)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
