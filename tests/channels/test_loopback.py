"""The shipped fake: its journal, its socket, its faults."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kith.core.errors import Invalid, Unavailable

Open = Callable[..., Any]


def line(**more: Any) -> bytes:
    return json.dumps({"id": "1", "text": "hello", **more}).encode() + b"\n"


def journal(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_bytes().splitlines()]


def test_the_journal_keeps_each_reply_once_across_restarts(house: Open, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"

    async def story() -> None:
        async with house(loopback={"journal": str(path)}) as home:
            await home.manager.start("w")
            await home.commit("one", "two")
            await home.until_states(one="sent", two="sent")
            parcels = await home.storage.outbox.find("sent")
            await home.manager.stop()
            path.write_bytes(path.read_bytes() + b'{"parcel": "torn')
            await home.manager.start("w2")
            channel = home.manager.channel("loopback")
            for parcel in parcels:
                await channel.send(parcel)
            await home.commit("three")
            await home.until_states(three="sent")
            await home.manager.stop()

    asyncio.run(story())
    assert [row["text"] for row in journal(path)] == ["one", "two", "three"]
    assert [row["sequence"] for row in journal(path)] == sorted(row["sequence"] for row in journal(path))


def test_the_socket_answers_after_the_message_is_kept(house: Open, tmp_path: Path) -> None:
    path = tmp_path / "inject.sock"

    async def story() -> None:
        async with house(loopback={"inject": str(path)}) as home:
            await home.manager.start("w")
            assert path.stat().st_mode & 0o077 == 0
            reader, writer = await asyncio.open_unix_connection(path)

            async def ask(raw: bytes) -> dict[str, Any]:
                writer.write(raw)
                return json.loads(await asyncio.wait_for(reader.readline(), 90))

            assert (await ask(line()))["duplicate"] is False
            assert (await ask(line()))["duplicate"] is True
            for hostile in (b"\n", b"{}\n", b"\xff\xfe\n", b"[" * 60_000 + b"\n", b"x" * 1_000_000 + b"\n"):
                told = await ask(hostile)
                assert told["accepted"] is False
                assert told["error"]["code"] == "bad_frame"
            home.talk.failure = Unavailable("disk full")
            assert (await ask(line(id="2")))["error"]["code"] == "unavailable"
            home.talk.failure = None
            assert (await ask(line(id="2")))["accepted"] is True
            assert len(await home.answer("a")) == 1  # one conversation: one at a time
            await home.manager.stop()
            assert await asyncio.wait_for(reader.read(), 90) == b""
            writer.close()
            assert not path.exists()

    asyncio.run(story())


def test_a_full_disk_takes_nothing(house: Open, tmp_path: Path) -> None:
    async def story() -> None:
        async with house(loopback={"journal": str(tmp_path / "j")}) as home:
            await home.manager.start("w")
            channel = home.manager.channel("loopback")
            real, failures = os.fsync, [OSError(28, "No space left on device")]

            def fsync(handle: int) -> None:
                if failures:
                    raise failures.pop()
                real(handle)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", fsync)
                await home.commit("hello")
                await home.until_states(hello="sent")
            assert len(channel.delivered) == 1
            await home.manager.stop()

    asyncio.run(story())
    assert [row["text"] for row in journal(tmp_path / "j")] == ["hello"]


def test_an_unusable_place_is_told_and_tried_again(house: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def story() -> None:
        async with house(loopback={"journal": str(tmp_path / "file" / "j")}) as home:
            await home.manager.start("w")
            await home.until(lambda: home.health.snapshot()["channel:loopback"].condition == "degraded")
            (tmp_path / "file").unlink()
            await home.until(lambda: home.health.snapshot()["channel:loopback"].condition == "ready")
            await home.manager.stop()

    asyncio.run(story())


def test_messages_need_a_started_channel(house: Open) -> None:
    async def story() -> None:
        async with house(loopback={}) as home:
            await home.manager.start("w")
            channel = home.manager.channel("loopback")
            assert (await channel.inject(line())).duplicate is False
            with pytest.raises(Invalid):
                await channel.inject(b"{}")
            await home.manager.stop()
            with pytest.raises(Unavailable):
                await channel.inject(line())

    asyncio.run(story())
