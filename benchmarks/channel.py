"""Messages both ways through a real server while the connection is cut every few seconds.

``python -m benchmarks.channel NAME [--messages N] [--seconds S] [--every S] [--people N] [--json]``: lost, doubled and
misordered each way, and how long it took until the channel was connected again. At `cli`, processes of ``kith chat``
are typed into while their server is killed, told to stop, or cut off: every time it has been up for `--every` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import Row, report
from tests.channels.fate import play_killed
from tests.channels.people import STAGES
from tests.channels.rig import Outcome, play
from tests.channels.terminal import TERMINALS
from tests.channels.visitors import VISITS
from tests.channels.whole import play_whole

_PLAYS: dict[str, tuple[Any, Any]] = {
    **{name: (play, stage) for name, stage in STAGES.items()},
    **{name: (play_whole, stage) for name, stage in VISITS.items()},
    **{name: (play_killed, stage) for name, stage in TERMINALS.items()},
}


def rows(found: Outcome) -> list[Row]:
    """An outcome, as figures."""
    recovered = sorted(found.recoveries) or [0.0]
    figures = [Row("messages each way", found.said, "")]
    for way, score in (("in", found.inwards), ("out", found.outwards)):
        figures += [Row(f"{way}: lost", score.lost, ""), Row(f"{way}: doubled", score.doubled, "")]
        figures.append(Row(f"{way}: misordered", score.misordered, ""))
    gone = sorted(found.away)
    away = [Row("of which the server was away, median", one, "s") for one in gone[len(gone) // 2 :][:1]]
    return [
        *figures,
        Row("replies given up and told (dead letters)", found.dead, ""),
        Row("second copies, told by their key", found.copies, ""),
        Row("cuts", found.cuts, ""),
        Row("connected again after, median", recovered[len(recovered) // 2], "s"),
        Row("connected again after, longest", recovered[-1], "s"),
        *away,
        Row("the whole play", found.seconds, "s"),
    ]


def main() -> int:
    """Run one play; the exit status says whether nothing was lost, doubled or misordered."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.channel")
    parser.add_argument("name", choices=sorted(_PLAYS), nargs="?", default="mqtt")
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=3.0)
    parser.add_argument("--quiet", type=float, default=45.0, help="seconds without news that end the play")
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kith-channel-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # some servers change their user
        os.environ["KITH_HOME"] = name  # what channels keep beside the records
        found = asyncio.run(
            _PLAYS[given.name][0](
                folder,
                _PLAYS[given.name][1](folder, given.people),
                messages=given.messages,
                seconds=given.seconds,
                every=given.every,
                seed=given.seed,
                quiet=given.quiet,
            )
        )
    report(f"channel {given.name}", rows(found), given.json)
    return 0 if found.inwards.clean and found.outwards.clean else 1


if __name__ == "__main__":
    sys.exit(main())
