"""Everything that is stored of one person: handed over, redacted, or gone.

What is removed is overwritten, not only unlinked (see `Engine.scrub`), and turns that were decoded before are let go.
The audit log keeps that it happened, by the person's id, which is a digest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from kith.core.audit import Act
from kith.core.errors import KithError
from kith.core.memory import Fact
from kith.core.message import Envelope
from kith.core.people import Person
from kith.storage.ledger.audit import append
from kith.storage.ledger.crowd import known_as
from kith.storage.ledger.desk import INBOX, OUTBOX, Desk
from kith.storage.ledger.facts import facts_of
from kith.storage.ledger.steps import Op, each, sql
from kith.storage.ledger.words import Blot, blotted, blotter, emptied, gone, telling

Scrub = Callable[[], Awaitable[None]]


class Filed:
    """The port `Dossiers` (see `kith.core.ports`). `forget` lets decoded turns go, `scrub` overwrites what is free."""

    def __init__(self, desk: Desk, forget: Callable[[], None], scrub: Scrub) -> None:
        self._desk, self._forget, self._scrub = desk, forget, scrub

    async def export(self, persons: Sequence[str]) -> Mapping[str, Any]:
        return await self._desk.driver.read(partial(_export, self._desk, persons))

    async def erase(self, persons: Sequence[str], by: Act) -> Sequence[str]:
        rooms = await self._desk.driver.write(partial(_erase, self._desk, persons, by))
        await self._clean()
        return rooms

    async def redact(self, persons: Sequence[str], facts: Sequence[Fact], by: Act) -> Sequence[str]:
        rooms = await self._desk.driver.write(partial(_redact, self._desk, persons, facts, by))
        await self._clean()
        return rooms

    async def _clean(self) -> None:
        self._forget()
        await self._scrub()


def _rooms(persons: Sequence[str]) -> Op[list[str]]:
    """The conversations that these persons are in."""
    found: dict[str, None] = {}
    for person in persons:
        rows = yield sql("SELECT conversation FROM members WHERE person = $1 ORDER BY conversation", person)
        found |= dict.fromkeys(str(row[0]) for row in rows)
    return list(found)


def _shared(conversation: str, persons: Sequence[str]) -> Op[bool]:
    """Whether anybody else is in it."""
    rows = yield sql("SELECT person FROM members WHERE conversation = $1", conversation)
    return any(str(row[0]) not in persons for row in rows)


def _export(desk: Desk, given: Sequence[str]) -> Op[Mapping[str, Any]]:
    persons = yield from known_as(given)
    people: list[dict[str, Any]] = []
    for person in persons:
        rows = yield sql("SELECT body FROM people WHERE id = $1", person)
        people += [asdict(desk.codec.unpack(Person, row[0])) for row in rows]
    rooms = yield from _rooms(persons)
    told: list[dict[str, Any]] = []
    for room in rooms:
        told.append((yield from _told(desk, room, persons)))  # noqa: PERF401  # no comprehension can yield
    records = yield from _records(desk, [*persons, *rooms])
    facts = yield from facts_of(desk, persons)
    return {
        "people": people,
        "ids": list(persons),
        "facts": [asdict(fact) for fact in facts],
        "conversations": told,
        "records": [{"kind": kind, "key": key, "value": value} for kind, _, key, value in records],
    }


def _told(desk: Desk, room: str, persons: Sequence[str]) -> Op[dict[str, Any]]:
    shared = yield from _shared(room, persons)
    head = yield sql("SELECT body, state, updated FROM conversations WHERE id = $1", room)
    turns = yield sql("SELECT body FROM turns WHERE conversation = $1 ORDER BY seq", room)
    said = [desk.codec.mapping(row[0]) for row in turns]
    replies = yield sql("SELECT id, body, state, at FROM outbox WHERE conversation = $1 ORDER BY seq", room)
    heard = yield from _heard(desk, room, persons, shared=shared)
    return {
        "id": room,
        "shared": shared,
        **(desk.codec.mapping(head[0][0]) if head else {}),
        "state": desk.codec.mapping(head[0][1]) if head and not shared else {},
        "turns": [turn for turn in said if not shared or turn["person"] in persons],
        "replies": [] if shared else [desk.codec.mapping(row[1]) for row in replies],
        "waiting": [desk.codec.mapping(body) for _, body in heard],
    }


def _heard(desk: Desk, room: str, persons: Sequence[str], *, shared: bool) -> Op[list[tuple[int, bytes]]]:
    """The messages of these persons that still lie in the inbox: their place and what was stored."""
    rows = yield sql("SELECT seq, envelope FROM inbox WHERE conversation = $1 AND envelope IS NOT NULL", room)
    found: list[tuple[int, bytes]] = []
    for seq, body in rows:
        if shared:
            try:
                envelope = desk.codec.unpack(Envelope, body)
            except KithError:  # what cannot be read cannot be told to be somebody else's
                continue
            mark = desk.codec.mark("face", envelope.channel, envelope.account, envelope.sender)
            face = yield sql("SELECT person FROM faces WHERE mark = $1", mark)
            if not face or str(face[0][0]) not in persons:
                continue
        found.append((int(seq), bytes(body)))
    return found


def _records(desk: Desk, ids: Sequence[str]) -> Op[list[tuple[str, bytes, str, dict[str, Any]]]]:
    """Records in whose key or value one of these ids stands: kind, mark, key, value."""
    rows = yield sql("SELECT kind, mark, name, body FROM records")
    found: list[tuple[str, bytes, str, dict[str, Any]]] = []
    for kind, mark, name, body in rows:
        key, value = desk.codec.words(name), desk.codec.mapping(body)
        if any(one in key or _holds(value, one) for one in ids):
            found.append((str(kind), bytes(mark), key, value))
    return found


def _holds(value: Any, wanted: str) -> bool:
    found = False

    def look(text: str) -> str:
        nonlocal found
        found = found or wanted in text
        return text

    blotted(value, look)
    return found


def _erase(desk: Desk, given: Sequence[str], by: Act) -> Op[Sequence[str]]:
    persons = yield from known_as(given)
    yield from append(desk, by)
    rooms = yield from _rooms(persons)
    for room in rooms:
        if (yield from _shared(room, persons)):
            yield from _leave(desk, room, persons)
        else:
            yield from _raze(desk, room)
    records = yield from _records(desk, [*persons, *rooms])
    yield each("DELETE FROM records WHERE kind = $1 AND mark = $2", [(kind, mark) for kind, mark, _, _ in records])
    for table, column in (
        ("members", "person"), ("faces", "person"), ("facts", "person"), ("aliases", "person"), ("people", "id"),
    ):  # fmt: skip
        yield each(f"DELETE FROM {table} WHERE {column} = $1", [(person,) for person in persons])  # noqa: S608 - our names
    return tuple(rooms)


def _raze(desk: Desk, room: str) -> Op[None]:
    """Remove a conversation that was with nobody else, and what was replied in it, to whichever place."""
    rows = yield sql("SELECT body FROM turns WHERE conversation = $1", room)
    replies = [(str(said["id"]),) for row in rows for said in desk.codec.mapping(row[0])["spoke"]]
    yield each("DELETE FROM outbox WHERE id = $1 AND state <> 0", replies)
    for table in ("lanes", "inbox", "outbox", "turns", "members"):
        yield sql(f"DELETE FROM {table} WHERE conversation = $1", room)  # noqa: S608 - our names
    yield sql("DELETE FROM threads WHERE place = $1 OR conversation = $1", room)
    yield sql("DELETE FROM conversations WHERE id = $1", room)


def _leave(desk: Desk, room: str, persons: Sequence[str]) -> Op[None]:
    """Take what these persons said and were told out of a conversation that others go on with."""
    turns = yield sql("SELECT seq, body FROM turns WHERE conversation = $1", room)
    mine = [(int(seq), turn) for seq, body in turns if (turn := desk.codec.mapping(body))["person"] in persons]
    yield each("DELETE FROM turns WHERE seq = $1", [(seq,) for seq, _ in mine])
    heard = yield from _heard(desk, room, persons, shared=True)
    yield each("DELETE FROM inbox WHERE seq = $1", [(seq,) for seq, _ in heard])
    parcels = [(str(said["id"]),) for _, turn in mine for said in turn["spoke"]]
    yield each("DELETE FROM outbox WHERE id = $1", parcels)
    yield sql("UPDATE conversations SET state = $1 WHERE id = $2", desk.codec.document({}), room)
    for side, table in ((INBOX, "inbox"), (OUTBOX, "outbox")):
        yield sql(
            f"""UPDATE lanes SET head = (SELECT seq FROM {table} WHERE conversation = $1 AND state = 0
            ORDER BY seq LIMIT 1), until = 0, since = $2, attempts = 0, worker = '', boot = ''
            WHERE side = $3 AND conversation = $1
            AND (head IS NULL OR NOT EXISTS (SELECT 1 FROM {table} AS kept WHERE kept.seq = lanes.head))""",  # noqa: S608
            room,
            desk.clock.now(),
            side,
        )


def _redact(desk: Desk, given: Sequence[str], facts: Sequence[Fact], by: Act) -> Op[Sequence[str]]:
    persons = yield from known_as(given)
    yield from append(desk, by)
    yield each("DELETE FROM facts WHERE id = $1 AND person = $2", [(f.id, one) for f in facts for one in persons])
    rooms = yield from _rooms(persons)
    blot, sources = blotter(telling(facts)), {fact.turn for fact in facts if fact.turn}
    for room in rooms:
        shared = yield from _shared(room, persons)
        only = persons if shared else ()
        replies = yield from _blot_turns(desk, room, only, blot, sources)
        yield from _blot_room(desk, room, only, blot, replies)
    for kind, mark, _, value in (yield from _records(desk, [*persons, *rooms])):
        clean = blotted(value, blot)
        if clean != value:
            yield sql(
                "UPDATE records SET body = $1 WHERE kind = $2 AND mark = $3", desk.codec.document(clean), kind, mark
            )
    return tuple(rooms)


def _blot_turns(desk: Desk, room: str, only: Sequence[str], blot: Blot, sources: set[str]) -> Op[dict[str, bool]]:
    """Go over the turns of a conversation, or `only` those of some persons; of each reply in them, by its id, whether
    it is in `sources`."""
    rows = yield sql("SELECT seq, body FROM turns WHERE conversation = $1", room)
    changed: list[tuple[bytes, int]] = []
    replies: dict[str, bool] = {}
    for seq, body in rows:
        turn = desk.codec.mapping(body)
        if only and turn["person"] not in only:
            continue
        source = turn["id"] in sources
        replies |= {str(said["id"]): source for said in turn["spoke"]}
        clean = emptied(turn) if source else blotted(turn, blot)
        if clean != turn:
            changed.append((desk.codec.document(clean), int(seq)))
    yield each("UPDATE turns SET body = $1 WHERE seq = $2", changed)
    return replies


def _blot_room(desk: Desk, room: str, only: Sequence[str], blot: Blot, replies: Mapping[str, bool]) -> Op[None]:
    """Go over the state, the replies and what still lies in the inbox of a conversation, or `only` what is of some
    persons there. Of the state that is all but what is kept under the id of somebody else: it may repeat their words.
    """
    members = yield sql("SELECT person FROM members WHERE conversation = $1", room)
    spare = {str(row[0]) for row in members}.difference(only) if only else set[str]()
    rows = yield sql("SELECT state FROM conversations WHERE id = $1", room)
    for (state,) in rows:
        clean = desk.codec.document(blotted(desk.codec.mapping(state), blot, spare))
        yield sql("UPDATE conversations SET state = $1 WHERE id = $2", clean, room)
    parcels = yield sql("SELECT seq, id, state, body FROM outbox WHERE conversation = $1", room)
    changed: list[tuple[bytes, int]] = []
    for seq, name, state, body in parcels:
        if only and str(name) not in replies:
            continue
        parcel: dict[str, Any] = desk.codec.mapping(body)
        told = replies.get(str(name), False) and int(state) != 0  # one that is still on its way has to say something
        message = gone(parcel["message"]) if told else blotted(parcel["message"], blot)
        changed.append((desk.codec.document({**parcel, "message": message}), int(seq)))
    yield each("UPDATE outbox SET body = $1 WHERE seq = $2", changed)
    letters = yield sql("SELECT seq, envelope FROM inbox WHERE conversation = $1 AND state = 2", room)
    theirs = {seq for seq, _ in (yield from _heard(desk, room, only, shared=True))} if only else set[int]()
    letters = [(int(seq), body) for seq, body in letters if body and (not only or int(seq) in theirs)]
    dead = [(desk.codec.document(blotted(desk.codec.mapping(body), blot)), seq) for seq, body in letters]
    yield each("UPDATE inbox SET envelope = $1 WHERE seq = $2", dead)
