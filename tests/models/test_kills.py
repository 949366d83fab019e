"""Workers that die under load: everybody gets an end, in time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.kills import attack, rows


@pytest.mark.server
def test_every_request_ends_while_workers_are_killed(tiny_gguf: Path) -> None:
    outcome = asyncio.run(attack(tiny_gguf, kills=4, streams=4, seed=7, deadline=120.0))
    assert outcome.kills == 4
    assert outcome.late == 0.0
    assert outcome.ends["broken off without a word"] == 0
    assert sum(count for end, count in outcome.ends.items() if end.startswith("answered")) > 0
    assert {end for end in outcome.ends if end.startswith("error")} <= {"error worker_lost", "error worker_failed"}
    assert rows(outcome)
