"""Models that are fetched while Kith serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from kith.core.clock import SystemClock
from kith.core.errors import Invalid, NotFound, Refused
from kith.core.ids import Ids
from kith.models.intake import Intake
from tests.models.endpoint import serving
from tests.models.house import opened


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.server
def test_a_model_is_fetched_watched_and_joins_the_others(tmp_path: Path, tiny_gguf: Path) -> None:
    async def story() -> None:
        async with serving() as endpoint, opened(tmp_path) as house:
            intake = Intake(tmp_path, SystemClock(), Ids(SystemClock()), house.service.refresh)
            endpoint.files["m.gguf"], endpoint.breaks = tiny_gguf.read_bytes(), 1
            source = f"{endpoint.url}/files/m.gguf"
            begun = intake.begin(source, "tiny")
            assert (begun["name"], begun["state"]) == ("tiny", "fetching")
            with pytest.raises(Refused, match="already"):
                intake.begin(source)
            await until(lambda: intake.all()[0]["state"] != "fetching" and intake.all()[0]["state"] != "checking")
            found = intake.all()[0]
            assert (found["state"], found["error"], found["done"]) == ("done", "", len(tiny_gguf.read_bytes()))
            assert [card.name for card in house.service.cards()] == ["tiny"]
            assert [row["used"] for row in await house.service.versions("tiny")] == [True]
            await house.service.remove("tiny")
            assert list(house.service.cards()) == []
            with pytest.raises(NotFound):
                await house.service.remove("tiny")

    asyncio.run(story())


@pytest.mark.server
def test_what_is_no_model_fails_in_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving() as endpoint, opened(tmp_path) as house:
            intake = Intake(tmp_path, SystemClock(), Ids(SystemClock()), house.service.refresh)
            endpoint.files["bad.gguf"] = b"this is a page about models" * 100
            intake.begin(f"{endpoint.url}/files/bad.gguf")
            await until(lambda: intake.all()[0]["state"] == "failed")
            assert intake.all()[0]["code"] == "broken_model"
            intake.begin(f"{endpoint.url}/files/none.gguf")
            await until(lambda: intake.all()[0]["state"] == "failed")
            assert list(house.service.cards()) == []
            for wrong in ("ftp://x/y.gguf", "hf:only"):
                with pytest.raises(Invalid):
                    intake.begin(wrong)
            assert len(intake.all()) == 2

    asyncio.run(story())


@pytest.mark.server
def test_fetching_is_cancelled(tmp_path: Path, tiny_gguf: Path) -> None:
    async def story() -> None:
        async with serving() as endpoint, opened(tmp_path) as house:
            intake = Intake(tmp_path, SystemClock(), Ids(SystemClock()), house.service.refresh)
            endpoint.files["m.gguf"], endpoint.breaks = tiny_gguf.read_bytes(), 1_000_000
            begun = intake.begin(f"{endpoint.url}/files/m.gguf")
            await intake.cancel(begun["id"])
            assert intake.all()[0]["state"] == "cancelled"
            with pytest.raises(NotFound):
                await intake.cancel("none")
            await intake.stop()

    asyncio.run(story())
