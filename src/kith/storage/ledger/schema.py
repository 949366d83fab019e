"""The tables, and the numbered steps that make and unmake them.

========== ============================================================================================
inbox      messages that were heard; `state` 0 open, 1 done, 2 dead; `mark` recognises repeated deliveries
outbox     replies; `state` 0 open, 1 sent, 2 dead, 3 stale, 4 dropped; `seq` is the parcel's sequence
lanes      one queue per conversation and side (0 inbox, 1 outbox): its head, and who holds it until when
turns, conversations, members, people, faces, records: what the ports `Store` and `Records` speak of
audit      what the port `Journal` speaks of; its head stands in meta, so that cutting off the end shows
facts      what the port `Facts` speaks of
aliases    ids under which a person was known before two were found to be one; turns still carry them
threads    places (conversations as platforms know them) that go on with the conversation of another place
========== ============================================================================================

A lane can be taken when `until` has passed. `since` is when that was written: a clock that now shows an earlier
time was set back, and the entry counts for nothing, so that no jump of the clock can stop a conversation.
`age` is the database's own age in seconds of running time; it decides what is old enough to be forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kith.core.errors import Refused
from kith.storage.ledger.steps import Op, Statement, sql


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the schema, forward and back. ``{blob}``, ``{serial}``, ``{int}``, ``{real}`` are column types."""

    forward: tuple[str, ...]
    back: tuple[str, ...]


STEPS: tuple[Step, ...] = (
    Step(
        forward=(
            """CREATE TABLE inbox (seq {serial}, id TEXT NOT NULL, mark {blob} NOT NULL UNIQUE,
            conversation TEXT NOT NULL, envelope {blob}, state {int} NOT NULL, error {blob},
            at {real} NOT NULL, age {real} NOT NULL)""",
            "CREATE INDEX inbox_open ON inbox (conversation, seq) WHERE state = 0",
            "CREATE INDEX inbox_dead ON inbox (seq) WHERE state = 2",
            """CREATE TABLE outbox (seq {serial}, id TEXT NOT NULL UNIQUE, conversation TEXT NOT NULL,
            state {int} NOT NULL, due {real} NOT NULL, expires {real} NOT NULL, attempts {int} NOT NULL,
            body {blob} NOT NULL, error {blob}, receipt {blob}, at {real} NOT NULL, age {real} NOT NULL)""",
            "CREATE INDEX outbox_open ON outbox (conversation, seq) WHERE state = 0",
            "CREATE INDEX outbox_kept ON outbox (state, seq) WHERE state > 1",
            """CREATE TABLE lanes (side {int} NOT NULL, conversation TEXT NOT NULL, head {int}, until {real} NOT NULL,
            since {real} NOT NULL, fence {int} NOT NULL, attempts {int} NOT NULL, worker TEXT NOT NULL,
            boot TEXT NOT NULL, PRIMARY KEY (side, conversation))""",
            "CREATE INDEX lanes_ready ON lanes (side, head) WHERE head IS NOT NULL",
            "CREATE INDEX lanes_held ON lanes (boot) WHERE boot <> ''",
            """CREATE TABLE turns (seq {serial}, id TEXT NOT NULL UNIQUE, conversation TEXT NOT NULL,
            at {real} NOT NULL, body {blob} NOT NULL)""",
            "CREATE INDEX turns_of ON turns (conversation, seq)",
            """CREATE TABLE conversations (id TEXT NOT NULL PRIMARY KEY, body {blob} NOT NULL, state {blob} NOT NULL,
            updated {real} NOT NULL)""",
            "CREATE INDEX conversations_new ON conversations (updated)",
            """CREATE TABLE members (conversation TEXT NOT NULL, person TEXT NOT NULL,
            PRIMARY KEY (conversation, person))""",
            "CREATE INDEX members_of ON members (person)",
            "CREATE TABLE people (id TEXT NOT NULL PRIMARY KEY, body {blob} NOT NULL)",
            "CREATE TABLE faces (mark {blob} NOT NULL PRIMARY KEY, person TEXT NOT NULL)",
            """CREATE TABLE records (kind TEXT NOT NULL, mark {blob} NOT NULL, name {blob} NOT NULL,
            body {blob} NOT NULL, PRIMARY KEY (kind, mark))""",
        ),
        back=tuple(
            f"DROP TABLE {table}"
            for table in ("records", "faces", "people", "members", "conversations", "turns", "lanes", "outbox", "inbox")
        ),
    ),
    Step(
        forward=(
            "CREATE TABLE audit (seq {int} NOT NULL PRIMARY KEY, body {blob} NOT NULL, mark {blob} NOT NULL)",
            "INSERT INTO meta (name, value) VALUES ('audit', '0')",
        ),
        back=("DROP TABLE audit", "DELETE FROM meta WHERE name = 'audit'"),
    ),
    Step(
        forward=(
            """CREATE TABLE facts (seq {serial}, id TEXT NOT NULL UNIQUE, person TEXT NOT NULL, at {real} NOT NULL,
            body {blob} NOT NULL)""",
            "CREATE INDEX facts_of ON facts (person, seq)",
            "CREATE TABLE aliases (alias TEXT NOT NULL PRIMARY KEY, person TEXT NOT NULL)",
            "CREATE INDEX aliases_of ON aliases (person)",
        ),
        back=("DROP TABLE aliases", "DROP TABLE facts"),
    ),
    Step(
        forward=(
            "CREATE TABLE threads (place TEXT NOT NULL PRIMARY KEY, conversation TEXT NOT NULL)",
            "CREATE INDEX threads_of ON threads (conversation)",
        ),
        back=("DROP TABLE threads",),
    ),
)

META = "CREATE TABLE IF NOT EXISTS meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)"


def get(name: str) -> Op[str]:
    """A value of the table meta, empty if it is not there."""
    rows = yield sql("SELECT value FROM meta WHERE name = $1", name)
    return str(rows[0][0]) if rows else ""


def put(name: str, value: str) -> Op[None]:
    """Set a value of the table meta."""
    yield sql(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value,
    )


def version() -> Op[int]:
    """The step at which the database stands; 0 for an empty one."""
    return int((yield from get("version")) or 0)


def step(goal: int | None = None, steps: Sequence[Step] = STEPS) -> Op[bool]:
    """Take one step towards `goal`, by default the newest; False when there is nothing left to do.

    One call is one transaction: killed within it, the database stands where it stood, and the next start goes on.
    Raises `Refused` (code ``too_new``) when the database is newer than this program.
    """
    yield sql(META)
    here = yield from version()
    target = len(steps) if goal is None else goal
    if here > len(steps):
        raise Refused(
            f"the database is of version {here}, this program knows versions up to {len(steps)}",
            code="too_new",
            hint="install the newer Kith again, and with it take the database back to the older version",
        )
    if here == target:
        return False
    for text in steps[here].forward if here < target else steps[here - 1].back:
        yield Statement(text, ())
    yield from put("version", str(here + 1 if here < target else here - 1))
    return True
