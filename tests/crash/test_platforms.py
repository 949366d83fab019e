"""A few kills behind every real server: the whole of it is ``python -m tests.crash.platforms NAME --kills 34``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.crash.platforms import REAL, storm

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]
_LIVE = ("cli", "web")  # their people follow the stored turns: nothing is sent


def _steps(name: str) -> tuple[tuple[str, str], ...]:
    return ("inbox.accept", "after"), ("inbox.settle" if name in _LIVE else "channel.send", "after")


@pytest.mark.parametrize("name", sorted(REAL))
def test_kills_cost_what_the_policy_says(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kith-crash-") as folder:
        Path(folder).chmod(0o755)  # some servers change their user
        toll = asyncio.run(storm(Path(folder), name, 2, people=2, steps=_steps(name)))
    assert toll.clean, f"{toll}: {toll.wrong}"
    assert toll.kills == 2 and toll.said > toll.lost
