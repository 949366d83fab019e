"""A whole household on a disk that fails: nothing is acknowledged that is not kept, reading goes on, no restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kith.app import Household, open_household
from kith.core.errors import Unavailable
from kith.settings import Settings
from tests.faults.disk import Mode, installed

FLOW = Path(__file__).parents[1] / "simulation" / "flow.json"


@contextlib.asynccontextmanager
async def household() -> AsyncIterator[tuple[Household, httpx.AsyncClient]]:
    """A served household in KITH_HOME, and a client that speaks as its owner."""
    settings = Settings.model_validate(
        {
            "gateway": {"port": 0},
            "dialogue": {"flow": str(FLOW)},
            "channels": {"loopback": {}, "delivery": {"poll": 0.05, "backoff": 0.05}},
        }
    )
    async with open_household(settings, serve=True) as house:
        assert house.gateway is not None
        headers = {"Authorization": f"Bearer {house.auth.local()}"}
        async with httpx.AsyncClient(base_url=house.gateway.address, headers=headers, timeout=90) as client:
            yield house, client


async def say(client: httpx.AsyncClient, name: str, text: str = "hello") -> httpx.Response:
    return await client.post("/api/messages", json={"text": text, "id": name, "conversation": "talk"})


async def turns(client: httpx.AsyncClient, conversation: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/api/conversations/{conversation}/turns")
    if answer.status_code == 404:  # its first message waits to be answered
        return []
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["turns"]
    return found


async def until(check: Callable[[], Any]) -> None:
    """Wait for a condition, given as a coroutine function or a plain one."""
    async with asyncio.timeout(90):
        while True:
            found = check()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


def line(name: str) -> str:
    return json.dumps({"id": name, "text": "hello", "conversation": "talk", "sender": "ann"})


def loopback(house: Household) -> Any:
    return house.channels.channel("loopback")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))


@pytest.mark.server
@pytest.mark.parametrize(
    ("mode", "codes"),
    [
        ("full", {"disk_full"}),
        ("read-only", {"read_only"}),
        ("error", {"disk_error"}),
        ("sync-error", {"disk_error"}),
    ],
)
def test_a_failing_disk_refuses_before_it_acknowledges(mode: Mode, codes: set[str]) -> None:
    async def story() -> None:
        with installed() as disk:
            async with household() as (house, client):
                conversation = (await say(client, "before")).json()["conversation"]
                await until(lambda: _count(client, conversation, 1))
                disk.mode = mode
                refused = await say(client, "during")
                assert refused.status_code == 503
                assert int(refused.headers["retry-after"]) > 0
                assert refused.json()["error"]["code"] in codes
                assert refused.json()["error"]["hint"]
                with pytest.raises(Unavailable) as caught:
                    await loopback(house).inject(line("during"))
                assert caught.value.code in codes
                assert len(await turns(client, conversation)) == 1
                assert (await client.get("/health/live")).status_code == 200
                assert (await client.get("/api/conversations")).status_code == 200
                disk.mode = "well"
                assert (await say(client, "after")).status_code == 202
                assert not (await loopback(house).inject(line("during"))).duplicate
                await until(lambda: _count(client, conversation, 2))
                await until(lambda: len(loopback(house).delivered) == 1)

    asyncio.run(story())


async def _count(client: httpx.AsyncClient, conversation: str, number: int) -> bool:
    return len(await turns(client, conversation)) == number


@pytest.mark.server
def test_a_disk_that_fails_between_question_and_answer_only_delays_the_answer() -> None:
    async def story() -> None:
        with installed() as disk:
            async with household() as (house, _):
                for number in range(20):
                    await loopback(house).inject(line(f"{number}"))
                    disk.mode = ("full", "error", "sync-error", "read-only")[number % 4]
                    await asyncio.sleep(0.01)  # the engine meets the failing disk
                    disk.mode = "well"
                await until(lambda: len(loopback(house).delivered) >= 20)
                answered = [parcel.reply_to for parcel in loopback(house).delivered]
                assert answered == [f"{number}" for number in range(20)]
                counts = await house.storage.counts()
                assert (counts.dead_messages, counts.dead_replies) == (0, 0)

    asyncio.run(story())


@pytest.mark.server
def test_a_disk_that_hangs_does_not_hold_up_readers() -> None:
    async def story() -> None:
        with installed() as disk:
            async with household() as (house, client):
                conversation = (await say(client, "before")).json()["conversation"]
                await until(lambda: _count(client, conversation, 1))
                disk.mode = "stuck"
                writing = [asyncio.create_task(loopback(house).inject(line(f"{number}"))) for number in range(20)]
                for _ in range(20):
                    assert len(await turns(client, conversation)) == 1
                assert not any(task.done() for task in writing)
                disk.mode = "well"
                disk.free.set()
                await asyncio.gather(*writing)
                await until(lambda: len(loopback(house).delivered) == 20)

    asyncio.run(story())


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """A home on a disk of 4 MiB, or where nothing can be mounted, a limit on the size of files; and its switch."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    mounted = bool(mount) and os.geteuid() == 0
    if mounted:
        command = [str(mount), "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    monkeypatch.setenv("KITH_HOME", str(place))
    yield _ballast(place) if mounted else _limit(place / "data" / "kith.db")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _ballast(place: Path) -> Callable[[bool], None]:
    def switch(on: bool) -> None:
        if not on:
            (place / "ballast").unlink()
            return
        with contextlib.suppress(OSError), (place / "ballast").open("wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)

    return switch


def _limit(database: Path) -> Callable[[bool], None]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def switch(on: bool) -> None:
        size = max(path.stat().st_size for path in (database, database.with_name("kith.db-wal")) if path.exists())
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size if on else resource.RLIM_INFINITY, hard))

    return switch


@pytest.mark.server
@pytest.mark.parametrize("way", ["mounted", "limited"])
def test_a_disk_that_is_really_full(
    full: Callable[[bool], None], way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if way == "limited":
        monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
        full = _limit(tmp_path / "home" / "data" / "kith.db")

    async def story() -> None:
        async with household() as (house, client):
            conversation = (await say(client, "before")).json()["conversation"]
            await until(lambda: _count(client, conversation, 1))
            full(True)
            refused, kept = await say(client, "0", "hello " * 3000), 0
            while refused.status_code == 202:
                kept += 1
                assert kept < 2000
                refused = await say(client, f"{kept}", "hello " * 3000)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] in ("disk_full", "disk_error")
            assert (await client.get("/api/conversations")).status_code == 200
            full(False)
            assert (await say(client, "after")).status_code == 202
            await until(lambda: _quiet(house))
            assert len(await turns(client, conversation)) == kept + 2

    asyncio.run(story())


async def _quiet(house: Household) -> bool:
    counts = await house.storage.counts()
    return counts.waiting == counts.unsent == 0
