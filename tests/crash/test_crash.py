"""The crash matrix as the gate runs it; and proofs that it would notice a server that loses or doubles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.child import SPANS

ROOT = Path(__file__).parents[2]
_STEPS = {f"{side} {span}" for span in SPANS for side in ("before", "after")}

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "tests.crash"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )


@pytest.mark.parametrize(("backend", "kills"), [("sqlite", 200), ("postgres", 64)])
def test_nothing_is_lost_doubled_or_misordered(backend: str, kills: int) -> None:
    done = run("--kills", str(kills), "--backend", backend, "--json")
    *_, last = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert last.endswith("lost=0 doubled=0 misordered=0 orphans=0")
    (report,) = json.loads(done.stdout[done.stdout.index("\n[") : done.stdout.rindex("kills=")])
    assert report["kills"] >= kills - 5  # one that was told to stop may have ended before it was killed
    assert set(report["steps"]) >= _STEPS
    assert report["messages"] > kills


_SABOTAGE = {
    "a channel that forgets what it delivered": (
        "import kith.channels.loopback.journal as j\nj.Journal.open = lambda self: set()",
        "doubled",
    ),
    "an acknowledgement before the commit": (
        "import kith.storage.ledger.inbox as i\n"
        "from kith.core.turn import Accepted\n"
        "async def accept(self, envelope):\n"
        "    import asyncio\n"
        "    work = asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(old(self, envelope)))\n"
        "    return Accepted('m', 'c')\n"
        "old = i.Ledgered.accept\ni.Ledgered.accept = accept",
        "lost",
    ),
    "leases that nobody frees": (
        "import kith.storage.ledger.desk as d\nimport kith.storage.ledger.inbox as i\n"
        "async def nothing(engine): pass\n"
        "import kith.storage.ledger.storage as s\ns.free = nothing\n"
        "import tests.crash.matrix as m\nm._QUIET = 3.0",
        "orphans",
    ),
}


@pytest.mark.parametrize("name", _SABOTAGE)
def test_a_broken_server_is_found_out(name: str) -> None:
    change, wrong = _SABOTAGE[name]
    code = f"{change}\nimport sys\nfrom tests.crash.__main__ import main\nsys.exit(main())"
    done = run("--kills", "32", "--seed", "5", code=code)
    *_, last = done.stdout.splitlines() or [""]
    numbers = dict(part.split("=") for part in last.split() if "=" in part)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(numbers[wrong]) > 0, done.stdout[-3000:]
