"""What every part of the ledger works with, and the one lease rule that inbox and outbox share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kith.core.clock import Clock
from kith.core.errors import Refused, Unavailable
from kith.core.ids import Ids
from kith.storage.ledger.codec import Codec
from kith.storage.ledger.steps import Driver, Op, each, sql
from kith.storage.settings import StorageSettings

T = TypeVar("T")

INBOX, OUTBOX = 0, 1
SLACK = 5.0  # seconds by which a clock may be corrected backwards without its leases being doubted
REST = 3600.0  # seconds; a later next try was reckoned by a clock that has been set back since


@dataclass(frozen=True, slots=True)
class Desk:
    """`boot` names this start of this process; `age` is the database's age in seconds of running time."""

    driver: Driver
    clock: Clock
    ids: Ids
    settings: StorageSettings
    codec: Codec
    boot: str
    age: Callable[[], float]


def lease(desk: Desk, side: int, worker: str, conversations: Sequence[str]) -> Op[float]:
    """Give these lanes to `worker`; the instant until which it has them."""
    now = desk.clock.now()
    until = now + desk.settings.lease_seconds
    yield each(
        """UPDATE lanes SET fence = fence + 1, attempts = attempts + 1, worker = $1, boot = $2, until = $3, since = $4
        WHERE side = $5 AND conversation = $6""",
        [(worker, desk.boot, until, now, side, conversation) for conversation in conversations],
    )
    return until


def held(side: int, conversation: str, fence: int, worker: str = "") -> Op[int]:
    """The head of a lane, locked, if this fence still holds it. Raises `Refused` (code ``lease_lost``)."""
    rows = yield sql(
        """SELECT head, worker FROM lanes WHERE side = $1 AND conversation = $2 AND fence = $3 AND worker <> ''
        AND head IS NOT NULL {lock}""",
        side,
        conversation,
        fence,
    )
    if not rows or (worker and rows[0][1] != worker):
        raise lost()
    return int(rows[0][0])


def lost() -> Refused:
    """The error of a worker whose lease went to another."""
    return Refused("another worker has this by now", code="lease_lost", hint="drop the result: it is being made again")


def soon(desk: Desk, instant: float) -> float:
    """`instant`, or the end of the longest rest if that is earlier."""
    return min(instant, desk.clock.now() + REST)


def wait(desk: Desk, side: int, conversation: str, until: float) -> Op[None]:
    """Nobody has the lane, and it rests until then."""
    yield sql(
        "UPDATE lanes SET worker = '', boot = '', until = $1, since = $2 WHERE side = $3 AND conversation = $4",
        soon(desk, until),
        desk.clock.now(),
        side,
        conversation,
    )


def release(side: int, leases: Sequence[tuple[str, int]]) -> Op[None]:
    """Undo leases (conversation, fence) that nobody came to know of."""
    yield each(
        """UPDATE lanes SET worker = '', boot = '', until = 0, attempts = attempts - 1
        WHERE side = $1 AND conversation = $2 AND fence = $3""",
        [(side, conversation, fence) for conversation, fence in leases],
    )


async def guarded(work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> T:
    """Await `work`; if the caller is cancelled meanwhile, let it finish, then undo what it gave."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            later = asyncio.ensure_future(_undo(task, undo))
            _PENDING.add(later)
            later.add_done_callback(_PENDING.discard)
        raise


_PENDING: set[asyncio.Future[None]] = set()  # the loop itself keeps only weak references to its tasks


async def _undo(task: asyncio.Future[T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> None:
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is None:
        with contextlib.suppress(Unavailable):  # closed meanwhile, or down: closing gives leases back, or they run out
            await undo(task.result())
