"""The inbox: what was heard, committed before it is acknowledged, and handed out in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from kith.core.errors import Invalid, KithError, Unavailable
from kith.core.message import Envelope
from kith.core.people import Parcel
from kith.core.turn import Accepted, Claim, Dead, Done, Later
from kith.runtime.telemetry import span
from kith.storage.ledger.desk import INBOX, OUTBOX, SLACK, Desk, guarded, held, lease, lost, release, wait
from kith.storage.ledger.steps import Op, Row, sql
from kith.storage.ledger.threads import current, face, go, part, place

_BEHIND = 20  # messages behind a claimed one that its worker is told of
_RECOUNT = 1.0  # seconds between two counts of a full inbox, which another process may have emptied


class Ledgered:
    """The ports `Inbox` and `Waiting` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open = 0
        self._arriving = 0
        self._counted = float("-inf")

    async def accept(self, envelope: Envelope) -> Accepted:
        """As the port says. Raises `Unavailable` (code ``inbox_full``) when too much waits to be answered."""
        await self._room()
        desk = self._desk
        new = desk.ids.new("m")
        mark = desk.codec.mark(envelope.channel, envelope.account, envelope.platform_id or new)
        body = desk.codec.pack(envelope)
        self._arriving += 1  # counted before the commit, so that no crowd gets past the limit
        try:
            with span("inbox.accept"):
                accepted = await desk.driver.write(partial(_accept, desk, new, mark, envelope, body))
        finally:
            self._arriving -= 1
        self._open += not accepted.duplicate
        return accepted

    async def claim(self, worker: str, limit: int) -> Sequence[Claim]:
        """As the port says. A message that can no longer be read is set aside as dead."""
        with span("inbox.claim"):
            return await guarded(self._desk.driver.write(partial(_claim, self._desk, worker, limit)), self._release)

    async def renew(self, claim: Claim) -> Claim:
        return await self._desk.driver.write(partial(_renew, self._desk, claim))

    async def settle(self, claim: Claim, outcome: Done | Later | Dead) -> None:
        """As the port says. Raises `Invalid` (code ``conflict``) when an id in `outcome` is already taken."""
        with span("inbox.settle"):
            await self._desk.driver.write(partial(_settle, self._desk, claim, outcome))
        self._open -= 1 + len(outcome.joined) if isinstance(outcome, Done) else isinstance(outcome, Dead)

    async def unanswered(self, place: str) -> Sequence[tuple[str, Envelope]]:
        """As the port says; what can no longer be read is passed over."""
        return await self._desk.driver.read(partial(_unanswered, self._desk, place))

    async def dead(self, limit: int = 100) -> Sequence[tuple[str, Envelope | None, str]]:
        """Messages that were given up, newest first: id, the message where it can be read, the reason."""
        return await self._desk.driver.read(partial(_dead, self._desk, limit))

    async def _release(self, claims: Sequence[Claim]) -> None:
        leases = [(claim.conversation, claim.fence) for claim in claims]
        await self._desk.driver.write(partial(release, INBOX, leases))

    async def _room(self) -> None:
        limit, now = self._desk.settings.waiting_limit, self._desk.clock.monotonic()
        if self._open + self._arriving >= limit or self._counted == float("-inf"):
            if now - self._counted >= _RECOUNT:
                self._counted = now
                self._open = await self._desk.driver.read(_waiting)
            if self._open + self._arriving >= limit:
                raise Unavailable(
                    f"{self._open} messages wait to be answered, no more can be taken now",
                    retry_after=5.0,
                    code="inbox_full",
                )


def _waiting() -> Op[int]:
    rows = yield sql("SELECT count(*) FROM inbox WHERE state = 0")
    return int(rows[0][0])


def _accept(desk: Desk, new: str, mark: bytes, envelope: Envelope, body: bytes) -> Op[Accepted]:
    now, at = desk.clock.now(), place(envelope)
    if envelope.kind != "direct":
        yield from part(at)
    rows = yield sql(  # in one statement with what `belonging` asks
        """INSERT INTO inbox (id, mark, conversation, envelope, state, at, age) VALUES ($1, $2,
        COALESCE((SELECT threads.conversation FROM threads
        JOIN members ON members.conversation = threads.conversation
        JOIN faces ON faces.person = members.person WHERE threads.place = $3 AND faces.mark = $7), $3), $4, 0, $5, $6)
        ON CONFLICT (mark) DO NOTHING RETURNING seq, conversation""",
        new,
        mark,
        at,
        body,
        now,
        desk.age(),
        face(desk, envelope),
    )
    if not rows:
        known = yield sql("SELECT id, conversation FROM inbox WHERE mark = $1", mark)
        return Accepted(str(known[0][0]), str(known[0][1]), duplicate=True)
    conversation = str(rows[0][1])
    yield sql(
        """INSERT INTO lanes (side, conversation, head, until, since, fence, attempts, worker, boot)
        VALUES (0, $1, $2, 0, $3, 0, 0, '', '')
        ON CONFLICT (side, conversation) DO UPDATE SET head = excluded.head WHERE lanes.head IS NULL""",
        conversation,
        rows[0][0],
        now,
    )
    return Accepted(new, conversation)


def _claim(desk: Desk, worker: str, limit: int) -> Op[Sequence[Claim]]:
    now = desk.clock.now()
    rows = yield sql(
        """SELECT lanes.conversation, lanes.fence, lanes.attempts, inbox.id, inbox.envelope
        FROM lanes JOIN inbox ON inbox.seq = lanes.head
        WHERE lanes.side = 0 AND lanes.head IS NOT NULL AND (lanes.until <= $1 OR lanes.since > $2)
        ORDER BY lanes.head LIMIT $3 {skip}""",
        now,
        now + SLACK,
        limit,
    )
    if not rows:
        return ()
    good: list[tuple[Row, Envelope]] = []
    for row in rows:
        try:
            good.append((row, desk.codec.unpack(Envelope, row[4])))
        except Invalid as error:
            yield from _bury(desk, str(row[0]), error.message)
    until = yield from lease(desk, INBOX, worker, [str(row[0]) for row, _ in good])
    return tuple(
        Claim(str(row[3]), str(row[0]), envelope, worker, int(row[1]) + 1, until, int(row[2]) + 1)
        for row, envelope in good
    )


def _bury(desk: Desk, conversation: str, reason: str) -> Op[None]:
    yield sql(
        """UPDATE inbox SET state = 2, error = $1 WHERE seq =
        (SELECT head FROM lanes WHERE side = 0 AND conversation = $2)""",
        desk.codec.text(reason),
        conversation,
    )
    yield from _advance(desk, conversation)


def _renew(desk: Desk, claim: Claim) -> Op[Claim]:
    now = desk.clock.now()
    until = now + desk.settings.lease_seconds
    rows = yield sql(
        """UPDATE lanes SET until = $1, since = $2
        WHERE side = 0 AND conversation = $3 AND fence = $4 AND worker = $5 RETURNING head""",
        until,
        now,
        claim.conversation,
        claim.fence,
        claim.worker,
    )
    if not rows:
        raise lost()
    behind = yield sql(
        "SELECT id, envelope FROM inbox WHERE conversation = $1 AND state = 0 AND seq > $2 ORDER BY seq LIMIT $3",
        claim.conversation,
        rows[0][0],
        _BEHIND,
    )
    following = tuple((str(row[0]), envelope) for row in behind if (envelope := _readable(desk, row[1])) is not None)
    return replace(claim, until=until, following=following)


def _settle(desk: Desk, claim: Claim, outcome: Done | Later | Dead) -> Op[None]:
    head = yield from held(INBOX, claim.conversation, claim.fence, claim.worker)
    match outcome:
        case Done():
            yield from _commit(desk, claim, outcome)
            yield sql("UPDATE inbox SET state = 1, envelope = NULL, error = NULL WHERE seq = $1", head)
            for joined in outcome.joined:
                yield sql(
                    """UPDATE inbox SET state = 1, envelope = NULL, error = NULL
                    WHERE id = $1 AND conversation = $2 AND state = 0""",
                    joined,
                    claim.conversation,
                )
            if outcome.thread:
                yield from go(desk, claim, head, outcome.thread, outcome.turn.person)
            yield from _advance(desk, claim.conversation)
        case Later():
            yield sql("UPDATE inbox SET error = $1 WHERE seq = $2", desk.codec.text(outcome.error), head)
            yield from wait(desk, INBOX, claim.conversation, outcome.at)
        case Dead():
            yield sql("UPDATE inbox SET state = 2, error = $1 WHERE seq = $2", desk.codec.text(outcome.error), head)
            yield from _advance(desk, claim.conversation)


def _commit(desk: Desk, claim: Claim, done: Done) -> Op[None]:
    turn, envelope = done.turn, claim.envelope
    rows = yield sql(
        """INSERT INTO turns (id, conversation, at, body) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO NOTHING RETURNING seq""",
        turn.id,
        turn.conversation,
        turn.at,
        desk.codec.pack(turn),
    )
    if not rows:
        raise _conflict(turn.id)
    body = {name: getattr(envelope, name) for name in ("channel", "account", "kind")}
    yield sql(
        """INSERT INTO conversations (id, body, state, updated) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET state = excluded.state, updated = excluded.updated""",
        claim.conversation,
        desk.codec.document({**body, "handle": envelope.conversation}),
        desk.codec.document(done.state),
        desk.clock.now(),
    )
    for parcel in done.parcels:
        yield from _post(desk, parcel)


def _post(desk: Desk, parcel: Parcel) -> Op[None]:
    now = desk.clock.now()
    due = parcel.due if parcel.message.at <= now + SLACK else 0.0  # else the clock was set back since it was said
    rows = yield sql(
        """INSERT INTO outbox (id, conversation, state, due, expires, attempts, body, at, age)
        VALUES ($1, $2, 0, $3, $4, 0, $5, $6, $7) ON CONFLICT (id) DO NOTHING RETURNING seq""",
        parcel.id,
        parcel.conversation,
        due,
        parcel.expires,
        desk.codec.pack(parcel),
        now,
        desk.age(),
    )
    if not rows:
        raise _conflict(parcel.id)
    yield sql(
        """INSERT INTO lanes (side, conversation, head, until, since, fence, attempts, worker, boot)
        VALUES ($1, $2, $3, $4, $5, 0, 0, '', '')
        ON CONFLICT (side, conversation) DO UPDATE SET head = excluded.head, until = excluded.until,
        since = excluded.since WHERE lanes.head IS NULL""",
        OUTBOX,
        parcel.conversation,
        rows[0][0],
        due,
        now,
    )


def _conflict(what: str) -> Invalid:
    return Invalid(f"{what} is stored already", code="conflict")


def _advance(desk: Desk, conversation: str) -> Op[None]:
    yield sql(
        """UPDATE lanes SET head = (SELECT seq FROM inbox WHERE conversation = $1 AND state = 0 ORDER BY seq LIMIT 1),
        until = 0, since = $2, attempts = 0, worker = '', boot = '' WHERE side = 0 AND conversation = $1""",
        conversation,
        desk.clock.now(),
    )


def _dead(desk: Desk, limit: int) -> Op[Sequence[tuple[str, Envelope | None, str]]]:
    rows = yield sql("SELECT id, envelope, error FROM inbox WHERE state = 2 ORDER BY seq DESC LIMIT $1", limit)
    return tuple((str(row[0]), _readable(desk, row[1]), desk.codec.words(row[2])) for row in rows)


def _unanswered(desk: Desk, at: str) -> Op[Sequence[tuple[str, Envelope]]]:
    conversation = yield from current(at)
    rows = yield sql(
        "SELECT id, envelope FROM inbox WHERE conversation = $1 AND state = 0 ORDER BY seq LIMIT $2",
        conversation,
        _BEHIND + 1,
    )
    return tuple((str(row[0]), said) for row in rows if (said := _readable(desk, row[1])) is not None)


def _readable(desk: Desk, body: bytes) -> Envelope | None:
    try:
        return desk.codec.unpack(Envelope, body)
    except KithError:
        return None
