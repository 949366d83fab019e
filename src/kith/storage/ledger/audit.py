"""The audit log: a chain of hashes, each entry written in the transaction of the act that it tells of.

An entry's hash is public arithmetic, so that an exported log can be verified anywhere. Beside it stands a keyed digest
of the hash: whoever can write to the database but has not its key can neither alter an entry nor add one unseen. The
head, in meta, shows when the end was cut off. What no log in one place can show is that the whole database was put
back to an older state: for that, note the head elsewhere from time to time, and compare.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from kith.core.audit import Act, Change, Entry
from kith.core.errors import KithError, Refused
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, Row, sql

_MOST = 10_000


class Chained:
    """The port `Journal` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def act(self, act: Act, changes: Sequence[Change] = ()) -> Entry:
        """As the port says. Raises `Invalid` when a value is not JSON-shaped."""
        desk = self._desk
        bodies = [b"" if change.value is None else desk.codec.document(change.value) for change in changes]
        return await desk.driver.write(partial(_act, desk, act, tuple(zip(changes, bodies, strict=True))))

    async def entries(self, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        return await self._desk.driver.read(partial(_entries, self._desk, after, limit))

    async def verify(self, after: int = 0, limit: int = 1000) -> tuple[int, str]:
        return await self._desk.driver.read(partial(_verify, self._desk, after, limit))


def append(desk: Desk, act: Act) -> Op[Entry]:
    """Write an act down, within the transaction of what it changes."""
    rows = yield sql("SELECT value FROM meta WHERE name = 'audit' {lock}")
    number, former = _head(str(rows[0][0]))
    entry = _chain(number + 1, desk.clock.now(), act, former)
    yield sql(
        "INSERT INTO audit (seq, body, mark) VALUES ($1, $2, $3)",
        entry.number,
        desk.codec.pack(entry),
        desk.codec.mark("audit", entry.hash),
    )
    yield sql("UPDATE meta SET value = $1 WHERE name = 'audit'", f"{entry.number}:{entry.hash}")
    return entry


def _act(desk: Desk, act: Act, changes: Sequence[tuple[Change, bytes]]) -> Op[Entry]:
    entry = yield from append(desk, act)
    for change, body in changes:
        mark = desk.codec.mark(change.kind, change.key)
        rows = yield sql("SELECT kind FROM records WHERE kind = $1 AND mark = $2 {lock}", change.kind, mark)
        if change.when != "any" and bool(rows) is not (change.when == "present"):
            raise Refused("somebody else has changed this meanwhile", code="changed_meanwhile", hint="look again")
        if change.value is None:
            yield sql("DELETE FROM records WHERE kind = $1 AND mark = $2", change.kind, mark)
            continue
        yield sql(
            """INSERT INTO records (kind, mark, name, body) VALUES ($1, $2, $3, $4)
            ON CONFLICT (kind, mark) DO UPDATE SET body = excluded.body""",
            change.kind,
            mark,
            desk.codec.text(change.key),
            body,
        )
    return entry


def _entries(desk: Desk, after: int, limit: int) -> Op[Sequence[Entry]]:
    rows = yield sql("SELECT body FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", after, max(1, min(limit, _MOST)))
    return [desk.codec.unpack(Entry, row[0]) for row in rows]


def _verify(desk: Desk, after: int, limit: int) -> Op[tuple[int, str]]:
    former = ""
    if after:
        rows = yield sql("SELECT seq, body, mark FROM audit WHERE seq = $1", after)
        if not rows:
            return after, f"entry {after} is missing"
        former = _read(desk, rows[0]).hash
    size = max(1, min(limit, _MOST))
    rows = yield sql("SELECT seq, body, mark FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", after, size)
    last = after
    for row in rows:
        if int(row[0]) != last + 1:
            return last, f"entry {last + 1} is missing"
        fault, former = _fault(desk, row, former)
        if fault:
            return last, fault
        last += 1
    if len(rows) < size:
        head = yield sql("SELECT value FROM meta WHERE name = 'audit'")
        number, final = _head(str(head[0][0]) if head else "0")
        if (number, final) != (last, former):
            return last, f"the log ends at entry {last}, but its head is entry {number}"
    return last, ""


def _fault(desk: Desk, row: Row, former: str) -> tuple[str, str]:
    """What is wrong with one entry, and its hash."""
    try:
        entry = _read(desk, row)
    except (KithError, TypeError):  # a value of another type is damage too
        return f"entry {row[0]} cannot be read", ""
    expected = _chain(entry.number, entry.at, entry.act, former).hash
    sealed = hmac.compare_digest(bytes(row[2]), desk.codec.mark("audit", entry.hash))
    if entry.number != int(row[0]) or not hmac.compare_digest(expected, entry.hash) or not sealed:
        return f"entry {row[0]} was changed", ""
    return "", entry.hash


def _read(desk: Desk, row: Row) -> Entry:
    return desk.codec.unpack(Entry, row[1])


def _head(value: str) -> tuple[int, str]:
    number, _, final = value.partition(":")
    return int(number), final


def _chain(number: int, at: float, act: Act, former: str) -> Entry:
    words = json.dumps([former, number, at, asdict(act)], ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return Entry(number, at, act, hashlib.sha256(words.encode()).hexdigest())
