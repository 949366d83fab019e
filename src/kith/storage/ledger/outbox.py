"""The outbox: replies on their way out, one at a time and in order for each conversation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

from kith.core.audit import Act
from kith.core.errors import Invalid, NotFound, Unavailable
from kith.core.people import Parcel
from kith.core.turn import Dead, Later, Sent, Stale
from kith.runtime.telemetry import span
from kith.storage.ledger.audit import append
from kith.storage.ledger.desk import OUTBOX, SLACK, Desk, guarded, held, lease, release, soon, wait
from kith.storage.ledger.steps import Op, Row, sql

State = Literal["waiting", "sending", "sent", "dead", "stale", "dropped"]
_CODES: dict[str, int] = {"waiting": 0, "sending": 0, "sent": 1, "dead": 2, "stale": 3, "dropped": 4}
_NAMES: dict[int, State] = {0: "waiting", 1: "sent", 2: "dead", 3: "stale", 4: "dropped"}


class Posted:
    """The ports `Outbox` and `Complaints` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def take(self, worker: str, limit: int) -> Sequence[Parcel]:
        """As the port says. One that comes in state ``sending`` was in the hands of a sender that vanished."""
        with span("outbox.take"):
            return await guarded(self._desk.driver.write(partial(_take, self._desk, worker, limit)), self._release)

    async def settle(self, parcel: Parcel, outcome: Sent | Later | Dead | Stale) -> None:
        """End a lease. Raises `Refused` (code ``lease_lost``) when another sender has the parcel."""
        with span("outbox.settle"):
            await self._desk.driver.write(partial(_settle, self._desk, parcel, outcome))

    async def find(self, state: str = "", limit: int = 100) -> Sequence[Parcel]:
        """Parcels in `state`, oldest first; with no state, all that were not sent. Raises `Invalid`."""
        if state and state not in _CODES:
            raise Invalid(f"{state!r} is not one of {', '.join(get_args(State))}")
        return await self._desk.driver.read(partial(_find, self._desk, state, limit))

    async def decide(self, parcel: str, action: str, by: Act | None = None) -> None:
        """As the port says. A retried parcel no longer expires and goes before what came after it."""
        if action not in ("retry", "drop"):
            raise Invalid(f"{action!r} is neither retry nor drop")
        await self._desk.driver.write(partial(_decide, self._desk, parcel, action, by))

    async def complain(self, parcel: str, receipt: str, error: str) -> Parcel | None:
        """As the port says."""
        return await self._desk.driver.write(partial(_complain, self._desk, parcel, receipt, error))

    async def _release(self, parcels: Sequence[Parcel]) -> None:
        leases = [(parcel.conversation, parcel.fence) for parcel in parcels if parcel.state != "sending"]
        await self._desk.driver.write(partial(release, OUTBOX, leases))


def _take(desk: Desk, worker: str, limit: int) -> Op[Sequence[Parcel]]:
    now = desk.clock.now()
    rows = yield sql(
        """SELECT outbox.seq, outbox.state, outbox.body, outbox.error, outbox.expires, outbox.attempts, lanes.until,
        lanes.worker, lanes.fence, lanes.attempts, lanes.conversation
        FROM lanes JOIN outbox ON outbox.seq = lanes.head
        WHERE lanes.side = 1 AND lanes.head IS NOT NULL AND (lanes.until <= $1 OR lanes.since > $2)
        ORDER BY lanes.head LIMIT $3 {skip}""",
        now,
        now + SLACK,
        limit,
    )
    if not rows:
        return ()
    good: list[Parcel] = []
    for row in rows:
        try:
            good.append(replace(_parcel(desk, row), fence=int(row[8]) + 1, attempts=int(row[9]) + 1))
        except Invalid as error:
            yield from _end(desk, str(row[10]), int(row[0]), Dead(error.message))
    yield from lease(desk, OUTBOX, worker, [parcel.conversation for parcel in good])
    return tuple(good)


def _parcel(desk: Desk, row: Row) -> Parcel:
    """A parcel from the columns seq, state, body, error, expires, attempts, due, worker (who holds it), fence."""
    sequence, state, body, error, expires, attempts, due, worker, fence = row[:9]
    return replace(
        desk.codec.unpack(Parcel, body),
        sequence=int(sequence),
        state="sending" if worker else _NAMES[int(state)],
        error=desk.codec.words(error),
        expires=float(expires),
        attempts=int(attempts),
        due=float(due),
        fence=int(fence),
    )


def _settle(desk: Desk, parcel: Parcel, outcome: Sent | Later | Dead | Stale) -> Op[None]:
    head = yield from held(OUTBOX, parcel.conversation, parcel.fence)
    if isinstance(outcome, Later):
        yield sql(
            "UPDATE outbox SET error = $1, due = $2, at = $3, attempts = $4 WHERE seq = $5",
            desk.codec.text(outcome.error),
            soon(desk, outcome.at),
            desk.clock.now(),
            parcel.attempts,
            head,
        )
        yield from wait(desk, OUTBOX, parcel.conversation, outcome.at)
        if outcome.doubt:  # whoever vanished with it may have sent it: the next one has to know that, too
            yield sql("UPDATE lanes SET worker = $1 WHERE side = 1 AND conversation = $2", _DOUBT, parcel.conversation)
    else:
        yield from _end(desk, parcel.conversation, head, outcome)


def _end(desk: Desk, conversation: str, head: int, outcome: Sent | Dead | Stale) -> Op[None]:
    match outcome:
        case Sent():
            state, error, receipt = "sent", b"", desk.codec.text(outcome.receipt)
        case Dead():
            state, error, receipt = "dead", desk.codec.text(outcome.error), b""
        case Stale():
            state, error, receipt = "stale", b"", b""
    yield sql(
        """UPDATE outbox SET state = $1, error = $2, receipt = $3,
        attempts = (SELECT attempts FROM lanes WHERE side = 1 AND conversation = $4) WHERE seq = $5""",
        _CODES[state],
        error,
        receipt,
        conversation,
        head,
    )
    yield from _advance(desk, conversation)


def _advance(desk: Desk, conversation: str) -> Op[None]:
    rows = yield sql(
        "SELECT seq, due, attempts, at FROM outbox WHERE conversation = $1 AND state = 0 ORDER BY seq LIMIT 1",
        conversation,
    )
    head, due, attempts, since = rows[0] if rows else (None, 0.0, 0, desk.clock.now())
    yield sql(
        """UPDATE lanes SET head = $1, until = $2, attempts = $3, since = $4, worker = '', boot = ''
        WHERE side = 1 AND conversation = $5""",
        head,
        due,
        attempts,
        since,
        conversation,
    )


_FIND = """SELECT outbox.seq, outbox.state, outbox.body, outbox.error, outbox.expires, outbox.attempts, outbox.due,
    COALESCE(lanes.worker, ''), COALESCE(lanes.fence, 0)
    FROM outbox LEFT JOIN lanes ON lanes.side = 1 AND lanes.conversation = outbox.conversation
    AND lanes.head = outbox.seq WHERE """
_DOUBT = "?"  # in the place of a worker: nobody has it, but somebody had
_SENDING = {"waiting": "COALESCE(lanes.worker, '') = '' AND ", "sending": "lanes.worker <> '' AND "}


def _find(desk: Desk, state: str, limit: int) -> Op[Sequence[Parcel]]:
    chosen = f"outbox.state = {_CODES[state]}" if state else "outbox.state IN (0, 2, 3)"
    rows = yield sql(f"{_FIND}{_SENDING.get(state, '')}{chosen} ORDER BY outbox.seq LIMIT $1", limit)
    return tuple(_parcel(desk, row) for row in rows)


def _complain(desk: Desk, parcel: str, receipt: str, error: str) -> Op[Parcel | None]:
    rows = yield sql(f"{_FIND}outbox.id = $1", parcel)
    kept = yield sql("SELECT receipt FROM outbox WHERE id = $1", parcel)
    if rows and int(rows[0][1]) == _CODES["waiting"]:
        raise Unavailable("this reply is still on its way out", retry_after=2.0)
    if not rows or int(rows[0][1]) != _CODES["sent"] or receipt not in desk.codec.words(kept[0][0]).split():
        return None
    yield sql(
        "UPDATE outbox SET state = $1, error = $2 WHERE id = $3 AND state = $4",
        _CODES["dead"],
        desk.codec.text(error),
        parcel,
        _CODES["sent"],
    )
    return replace(_parcel(desk, rows[0]), state="dead", error=error)


def _decide(desk: Desk, parcel: str, action: str, by: Act | None) -> Op[None]:
    rows = yield sql("SELECT conversation, seq, body FROM outbox WHERE id = $1 AND state IN (2, 3)", parcel)
    if not rows:
        raise NotFound(f"there is no dead or stale reply {parcel!r}")
    conversation, seq = str(rows[0][0]), int(rows[0][1])
    if by is not None:
        yield from append(desk, by)
    if action == "drop":
        yield sql("UPDATE outbox SET state = 4 WHERE seq = $1 AND state IN (2, 3)", seq)
        return
    with suppress(Invalid):  # the room may have begun anew since: the reply goes where it was to go
        conversation = desk.codec.unpack(Parcel, rows[0][2]).conversation
    lane = yield sql("SELECT worker FROM lanes WHERE side = 1 AND conversation = $1 {lock}", conversation)
    yield sql(
        "UPDATE outbox SET state = 0, due = 0, expires = 0, attempts = 0, error = NULL, conversation = $2 "
        "WHERE seq = $1 AND state IN (2, 3)",
        seq,
        conversation,
    )
    if lane and not lane[0][0]:
        yield from _advance(desk, conversation)
