"""How every benchmark reports: figure, unit, the peer's figure, the ratio, and the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `peer` is what the raw engine or a competitor reached in the same run; 0 where there is none."""

    name: str
    figure: float
    unit: str
    peer: float = 0.0
    peer_name: str = ""

    @property
    def ratio(self) -> float | None:
        """Figure by peer."""
        return self.figure / self.peer if self.peer else None


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def report(name: str, rows: Sequence[Row], as_json: bool) -> None:
    """Print the rows, as a table or as one JSON object."""
    if as_json:
        figures = [{**asdict(row), "ratio": row.ratio} for row in rows]
        print(json.dumps({"benchmark": name, "machine": machine(), "rows": figures}, ensure_ascii=False))
        return
    print(f"{name}: {', '.join(f'{key} {value}' for key, value in machine().items())}")
    for row in rows:
        peer = f"{row.peer:12,.2f} {row.ratio:6.2f} of {row.peer_name}" if row.ratio is not None else ""
        print(f"{row.name:44} {row.figure:12,.2f} {row.unit:10} {peer}".rstrip())
