"""The encrypted file: nothing in clear, a wrong key, damage, a full disk, a disk that cannot be written."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kith.core.clock import FrozenClock
from kith.core.errors import Refused, Unavailable
from kith.core.ids import Ids
from kith.core.message import Envelope, Message, Text
from kith.core.people import Parcel
from kith.core.turn import Claim, Dead, Done, Later, Sent, Turn
from kith.storage import Storage, StorageSettings, open_storage, rotate_storage


class Key:
    def __init__(self, master: bytes = b"k") -> None:
        self._master = master

    def key(self, purpose: str) -> bytes:
        return (self._master + purpose.encode()).ljust(32, b".")[:32]


def settings(folder: Path) -> StorageSettings:
    return StorageSettings(path=folder / "data" / "kith.db")


async def start(folder: Path, master: bytes = b"k", spare: bytes = b"") -> Storage:
    clock = FrozenClock()
    return await open_storage(settings(folder), clock, Ids(clock), Key(master), Key(spare) if spare else None)


def envelope(key: str, text: str = "hello") -> Envelope:
    return Envelope("loopback", "me", key, "ann", "ann", Message(f"m_{key}", "user", (Text(text),), 1.0))


def done(claim: Claim, text: str) -> Done:
    message = Message(f"r_{claim.id}", "assistant", (Text(text),), 2.0)
    parcel = Parcel(f"o_{claim.id}", 0, claim.conversation, "loopback", "me", "ann", message)
    turn = Turn(f"t_{claim.id}", claim.conversation, "p", 2.0, claim.envelope.message, (message,))
    return Done(turn, {"slot": text}, (parcel,))


CANARIES = [f"canary-{word}-4711" for word in ("heard", "said", "state", "error", "receipt", "record", "key", "name")]


def test_nothing_is_in_clear_in_any_file(tmp_path: Path) -> None:
    heard, said, _state, error, receipt, record, key, name = CANARIES

    async def story() -> None:
        storage = await start(tmp_path)
        for index in range(300):
            await storage.inbox.accept(envelope(f"{key}-{index}", f"{heard} {index}"))
        (claim,) = await storage.inbox.claim("w", 1)
        person = Envelope("loopback", "me", "x", name, name, claim.envelope.message, sender_name=name)
        await storage.store.resolve(person)
        await storage.inbox.settle(claim, Later(0, error))
        (claim,) = await storage.inbox.claim("w", 1)
        await storage.inbox.settle(claim, done(claim, said))
        (parcel,) = await storage.outbox.take("s", 1)
        await storage.outbox.settle(parcel, Sent(receipt))
        (claim,) = await storage.inbox.claim("w", 1)
        await storage.inbox.settle(claim, Dead(error))
        await storage.records.put(record, key, {"secret": record})
        look(tmp_path, wal=True)
        await storage.close()
        look(tmp_path, wal=False)

    asyncio.run(story())


def look(folder: Path, *, wal: bool) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") and path.stat().st_size > 10_000 for path in files) == wal
    for path in files:
        raw = path.read_bytes()
        for canary in CANARIES:
            assert canary.encode() not in raw, path
        assert b"SQLite format" not in raw
        assert path.stat().st_mode & 0o077 == 0, path


def refusal(folder: Path, master: bytes = b"k") -> Refused:
    async def story() -> None:
        await (await start(folder, master)).close()

    with pytest.raises(Refused) as caught:
        asyncio.run(story())
    assert caught.value.hint
    return caught.value


async def _fill(folder: Path, crash: bool = False) -> None:
    storage = await start(folder)
    await storage.inbox.accept(envelope("1"))
    for index in range(200):
        await storage.records.put("filler", str(index), {"text": "x" * 500})
    if crash:
        shutil.copytree(folder / "data", folder / "crashed" / "data")
    await storage.close()


def test_a_wrong_key_is_told_and_harms_nothing(tmp_path: Path) -> None:
    asyncio.run(_fill(tmp_path, crash=True))
    for place in (tmp_path, tmp_path / "crashed"):
        assert refusal(place, b"other").code == "wrong_key"

        async def story(place: Path = place) -> None:
            storage = await start(place)
            assert (await storage.inbox.accept(envelope("1"))).duplicate
            await storage.close()

        asyncio.run(story())


@pytest.mark.parametrize("damage", ["garbage", "text", "head", "middle", "half", "empty", "gone"])
def test_a_damaged_file_is_told(tmp_path: Path, damage: str) -> None:
    asyncio.run(_fill(tmp_path))
    path = settings(tmp_path).path
    raw = path.read_bytes()
    match damage:
        case "garbage":
            path.write_bytes(os.urandom(len(raw)))
        case "text":
            path.write_text("not a database\n" * 1000)
        case "head":
            path.write_bytes(b"\0" * 100 + raw[100:])
        case "middle":
            path.write_bytes(raw[:4096] + os.urandom(len(raw) - 8192) + raw[-4096:])
        case "half":
            path.write_bytes(raw[: len(raw) // 2 + 17])
        case "empty":
            path.write_bytes(b"")
        case _:
            path.unlink()
    with pytest.raises((Refused, Unavailable)) as caught:

        async def story() -> None:
            await (await start(tmp_path)).close()

        asyncio.run(story())
    assert caught.value.code == "damaged"
    assert caught.value.hint


def test_a_foreign_file_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = settings(tmp_path).path
    path.parent.mkdir()
    path.write_text("my diary\n" * 1000)
    assert refusal(tmp_path).code == "wrong_key"
    assert path.read_text() == "my diary\n" * 1000


def test_the_key_can_be_changed(tmp_path: Path) -> None:
    asyncio.run(_fill(tmp_path))

    async def story() -> None:
        config = settings(tmp_path)
        with pytest.raises(Refused) as caught:
            await rotate_storage(config, Key(b"other"), Key(b"new"))
        assert caught.value.code == "wrong_key"
        storage = await start(tmp_path)
        await storage.inbox.accept(envelope("2"))
        with pytest.raises(Refused) as caught:
            await rotate_storage(config, Key(), Key(b"new"))
        assert caught.value.code == "in_use"
        await storage.inbox.accept(envelope("3"))
        await storage.close()
        await rotate_storage(config, Key(), Key(b"new"))
        storage = await start(tmp_path, b"k", spare=b"new")
        assert storage.spare_used
        assert (await storage.inbox.accept(envelope("3"))).duplicate
        await storage.close()
        storage = await start(tmp_path, b"new")
        assert not storage.spare_used
        await storage.close()

    asyncio.run(story())
    assert refusal(tmp_path).code == "wrong_key"


CHILD = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_sqlite as t

async def main(folder):
    {body}

asyncio.run(main(Path(sys.argv[2])))
"""


def child(folder: Path, body: str, **options: object) -> subprocess.CompletedProcess[str]:
    code = CHILD.format(body=body.strip().replace("\n", "\n    "))
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, **options)


@pytest.mark.server
def test_a_rotation_killed_at_any_instant_leaves_one_key_that_fits(tmp_path: Path) -> None:
    async def fill() -> None:
        storage = await start(tmp_path)
        await storage.inbox.accept(envelope("1"))
        for index in range(40):
            await storage.records.put("filler", str(index), {"text": "x" * 100_000})
        await storage.close()

    asyncio.run(fill())
    code = CHILD.format(
        body='print("go", flush=True); await t.rotate_storage(t.settings(folder), t.Key(), t.Key(b"new"))'
    )
    fitted: list[bool] = []
    for milliseconds in (0, 60, 100, 140, 180, 220, 260, 300, 500):
        place = tmp_path / str(milliseconds)
        shutil.copytree(tmp_path / "data", place / "data")
        command = [sys.executable, "-c", code, str(Path(__file__).parent), str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "go\n"
            time.sleep(milliseconds / 1000)  # the instant of the kill is the thing tried here
            process.kill()

        async def story(place: Path = place) -> None:
            storage = await start(place, b"k", spare=b"new")
            fitted.append(storage.spare_used)
            assert (await storage.inbox.accept(envelope("1"))).duplicate
            assert len(await storage.records.all("filler")) == 40
            await storage.close()

        asyncio.run(story())
    assert not fitted[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and os.name == "posix" and os.geteuid() == 0
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_refuses_new_messages_and_recovers(small_disk: Path) -> None:
    async def story() -> None:
        storage = await start(small_disk)
        await storage.inbox.accept(envelope("first"))
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 1_500_000)
        kept = 0
        with pytest.raises(Unavailable) as caught:
            for index in range(10_000):
                await storage.inbox.accept(envelope(str(index), "x" * 5000))
                kept += 1
        assert caught.value.code == "disk_full"
        assert caught.value.retry_after > 0
        results = await asyncio.gather(
            *(storage.inbox.accept(envelope(f"g{index}", "x" * 50_000)) for index in range(10)), return_exceptions=True
        )
        assert all(isinstance(result, Unavailable) for result in results)
        assert (await storage.counts()).waiting == kept + 1
        ballast.unlink()
        for index in range(kept + 1):
            await storage.inbox.accept(envelope(str(index), "x" * 5000))
        assert (await storage.counts()).waiting == kept + 2
        (claim,) = await storage.inbox.claim("w", 1)
        await storage.inbox.settle(claim, done(claim, "hi"))
        await storage.close()

    asyncio.run(story())


def test_a_disk_that_turns_read_only_and_back(small_disk: Path) -> None:
    async def story() -> None:
        storage = await start(small_disk)
        await storage.inbox.accept(envelope("1"))
        blocked = settings(small_disk).path
        limit = _limit_files(blocked.stat().st_size)
        try:
            with pytest.raises(Unavailable) as caught:
                for index in range(1000):
                    await storage.inbox.accept(envelope(f"a{index}", "x" * 5000))
            assert caught.value.code in ("disk_error", "disk_full")
            assert (await storage.counts()).waiting >= 1
        finally:
            _limit_files(limit)
        await storage.inbox.accept(envelope("2"))
        await storage.close()

    asyncio.run(story())


def _limit_files(size: int) -> int:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    return before


def test_a_disk_that_cannot_be_written(small_disk: Path) -> None:
    asyncio.run(_fill(small_disk))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    async def story() -> None:
        await start(small_disk)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(story())
    assert caught.value.code == "read_only"
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    asyncio.run(_fill(small_disk))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")

    async def story() -> None:
        await start(tmp_path)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(story())
    assert caught.value.code == "read_only"


@pytest.mark.server
def test_a_killed_process_frees_what_it_held(tmp_path: Path) -> None:
    gone = child(
        tmp_path,
        """
s = await t.start(folder)
await s.inbox.accept(t.envelope("1"))
(claim,) = await s.inbox.claim("w", 1)
await s.inbox.settle(claim, t.done(claim, "hi"))
await s.inbox.accept(t.envelope("2"))
await s.inbox.claim("w", 1)
await s.outbox.take("s", 1)
os.kill(os.getpid(), 9)
""",
    )
    assert gone.returncode == -9, gone.stderr

    async def story() -> None:
        storage = await start(tmp_path)
        assert [claim.attempts for claim in await storage.inbox.claim("w", 1)] == [2]
        assert [parcel.state for parcel in await storage.outbox.take("s", 1)] == ["sending"]
        await storage.close()

    asyncio.run(story())


@pytest.mark.server
def test_a_migration_killed_half_way_is_resumed(tmp_path: Path) -> None:
    asyncio.run(_fill(tmp_path))
    body = """
import kith.storage.ledger.schema as schema
from kith.storage.ledger.steps import Statement

class Deadly(Statement):
    pass

def kill_after(count):
    original = schema.sql
    steps = schema.STEPS[0].forward
    def run(goal=None, steps=schema.STEPS):
        seen = 0
        op = real(goal, steps)
        statement = next(op)
        while True:
            seen += statement.sql.startswith(("CREATE TABLE", "DROP", "CREATE INDEX", "INSERT"))
            if seen > count:
                os.kill(os.getpid(), 9)
            rows = yield statement
            try:
                statement = op.send(rows)
            except StopIteration as stop:
                return stop.value
    real = schema.step
    schema.step = run

s = await t.start(folder)
kill_after({count})
await s.migrate({goal})
"""
    for count in (1, 4, 9):
        assert child(tmp_path, body.replace("{count}", str(count)).replace("{goal}", "0")).returncode == -9

        async def story() -> None:
            storage = await start(tmp_path)
            assert (await storage.inbox.accept(envelope("1"))).duplicate
            assert len(await storage.records.all("filler")) == 200
            await storage.close()

        asyncio.run(story())


@pytest.mark.server
def test_a_first_start_killed_half_way_is_resumed(tmp_path: Path) -> None:
    body = """
import kith.storage.ledger.engine as engine
real, seen = engine.execute, []
def execute(connection, text, values=()):
    seen.append(text)
    if len(seen) == {count}:
        os.kill(os.getpid(), 9)
    return real(connection, text, values)
engine.execute = execute
await t.start(folder)
"""
    for count in (1, 2, 4, 9, 15, 22, 24):
        place = tmp_path / str(count)
        place.mkdir()
        assert child(place, body.replace("{count}", str(count))).returncode == -9
        asyncio.run(_fill(place))
