"""A whole server behind doors that are cut: the WebSocket and the webhook, both ways (the whole of it is
``python -m benchmarks.channel web``)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.channels.fate import play_killed
from tests.channels.terminal import cli_stage
from tests.channels.visitors import VISITS
from tests.channels.whole import play_whole

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", sorted(VISITS))
def test_messages_both_ways_while_the_connections_break(name: str, tmp_path: Path) -> None:
    found = asyncio.run(play_whole(tmp_path, VISITS[name](tmp_path, 3), messages=60, seconds=4, every=1.2))
    assert found.cuts >= 1
    assert found.inwards.clean and found.outwards.clean and not found.dead, found


def test_lines_typed_while_the_house_is_killed(tmp_path: Path) -> None:
    found = asyncio.run(play_killed(tmp_path, cli_stage(tmp_path, 2), messages=40, seconds=3, every=1.0, most=3))
    assert found.cuts >= 1
    assert found.inwards.clean and found.outwards.clean and not found.dead, found
