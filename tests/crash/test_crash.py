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


@pytest.mark.parametrize(("backend", "kills"), [("sqlite", 128), ("postgres", 64)])
def test_nothing_is_lost_doubled_or_misordered(backend: str, kills: int) -> None:
    done = run("--kills", str(kills), "--backend", backend, "--json")
    *_, last = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert last.endswith("lost=0 doubled=0 misordered=0 orphans=0")
    (report,) = json.loads(done.stdout[done.stdout.index("\n[") : done.stdout.rindex("kills=")])
    assert report["kills"] >= kills - 5  # one that was told to stop may have ended before it was killed
    assert set(report["steps"]) >= _STEPS
    assert report["messages"] > kills


_FORGETFUL = """
import kith.channels.loopback.journal as journal
journal.Journal.open = lambda self: set()
"""
_HASTY = """
import asyncio
import kith.storage.ledger.inbox as inbox
from kith.core.turn import Accepted
later = inbox.Ledgered.accept
async def accept(self, envelope):
    asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(later(self, envelope)))
    return Accepted("m", "c")
inbox.Ledgered.accept = accept
"""
_POSSESSIVE = """
import kith.storage.ledger.storage as storage
async def nothing(engine):
    pass
storage.free = nothing
"""
_RUN = """
import sys
import tests.crash.matrix as matrix
from tests.crash.__main__ import main
matrix._QUIET, matrix._PATIENCE = 3.0, 2.0
sys.exit(main())
"""
_SABOTAGE = {
    "a channel that forgets what it delivered": (_FORGETFUL, "doubled"),
    "an acknowledgement before the commit": (_HASTY, "lost"),
    "leases that nobody frees": (_POSSESSIVE, "orphans"),
}


@pytest.mark.parametrize("name", _SABOTAGE)
def test_a_broken_server_is_found_out(name: str) -> None:
    change, wrong = _SABOTAGE[name]
    done = run("--kills", "24", "--seed", "5", code=change + _RUN)
    *_, last = done.stdout.splitlines() or [""]
    numbers = dict(part.split("=") for part in last.split() if "=" in part)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(numbers[wrong]) > 0, done.stdout[-3000:]
