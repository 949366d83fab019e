"""``python -m tests.crash --kills 200 --backend sqlite [--seed S] [--json] [--report FILE]``: the crash matrix.

Ends in ``kills=… lost=… doubled=… misordered=… orphans=…``; the exit status is 0 if all but the first are 0.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.crash.child import SPANS
from tests.crash.matrix import INSTANTS, Matrix, Report, database

BACKENDS = ("sqlite", "postgres")
_NUMBERS = ("kills", "lost", "doubled", "misordered", "orphans")


def main() -> int:
    """Run the matrix for the chosen backends."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--kills", type=int, default=200, help="kills per backend")
    parser.add_argument("--backend", choices=(*BACKENDS, "all"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the report as JSON before the last line")
    parser.add_argument("--report", type=Path, help="write the report as a Markdown table to this file")
    given = parser.parse_args()
    chosen = BACKENDS if given.backend == "all" else (given.backend,)
    reports = [_run(backend, given.kills, given.seed) for backend in chosen]
    for report in reports:
        _tell(report)
    if given.json:
        print(json.dumps([_plain(report) for report in reports], indent=2))
    if given.report:
        given.report.write_text(_table(reports), "utf-8")
    totals = [sum(number) for number in zip(*(_numbers(report) for report in reports), strict=True)]
    print(" ".join(f"{name}={number}" for name, number in zip(_NUMBERS, totals, strict=True)))
    # Three quarters of the kills are at steps, so that this many meet every step once.
    missed = [name for report in reports for name in _missed(report)] if given.kills >= 64 else []
    return 0 if all(report.clean for report in reports) and not missed else 1


def _run(backend: str, kills: int, seed: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="kith-crash-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library that looks for the folder of a desktop session
        folder = Path(name)
        with database(backend, folder) as dsn:
            return Matrix(folder, backend, dsn, seed).run(kills, told=True)


def _numbers(report: Report) -> tuple[int, int, int, int, int]:
    found = report.verdict
    assert found is not None
    return report.kills, found.lost, found.doubled, found.misordered, sum(found.orphans.values())


def _missed(report: Report) -> list[str]:
    """Steps that no life reached."""
    names = [f"{side} {span}" for span in SPANS for side in ("before", "after")]
    return [f"{report.backend}: {name}" for name in names if not report.steps[name]]


def _tell(report: Report) -> None:
    print(f"{report.backend}, seed {report.seed}: {report.kills} kills in {report.seconds:.0f} s, ", end="")
    print(f"{report.messages} messages acknowledged, {report.resent} delivered again and recognised")
    for name, count in sorted(report.steps.items(), key=lambda item: item[0].split(" ", 1)[1]):
        print(f"  {count:5d}  {name}")
    for line in (*(_missed(report) if report.kills >= 64 else ()), *report.wrong):
        print(f"  WRONG  {line}")
    if report.verdict:
        for name, count in report.verdict.orphans.items():
            print(f"  WRONG  {count} {name}")


def _plain(report: Report) -> dict[str, Any]:
    kills, lost, doubled, misordered, orphans = _numbers(report)
    told: dict[str, Any] = {"backend": report.backend, "seed": report.seed, "seconds": round(report.seconds, 1)}
    told |= {"messages": report.messages, "resent": report.resent, "kills": kills, "lost": lost}
    told |= {"doubled": doubled, "misordered": misordered, "orphans": orphans}
    return told | {"steps": dict(report.steps), "missed": _missed(report), "wrong": report.wrong}


def _table(reports: list[Report]) -> str:
    def row(first: str, second: str, values: Iterable[object]) -> str:
        return f"| {first} | {second} | {' | '.join(map(str, values))} |"

    lines = [row("step", "", (report.backend for report in reports)), "|---|---|" + "---|" * len(reports)]
    for span, side in itertools.product(SPANS, ("before", "after")):
        lines.append(row(f"`{span}`", side, (report.steps[f"{side} {span}"] for report in reports)))
    lines += [row("an instant", name, (report.steps[name] for report in reports)) for name in INSTANTS]
    for place, name in enumerate(_NUMBERS):
        lines.append(row(f"**{name}**", "", (_numbers(report)[place] for report in reports)))
    lines.append(row("messages", "", (report.messages for report in reports)))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
