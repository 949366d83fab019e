"""A conversation never changes what it is: when a room does, what was said there so far becomes one by itself.

A talk with one person can become a group, a group the talk of one again, and a room can go over to somebody else.
Whoever is new there is not to be told what was said before, by a model neither. So the turns of such a stretch move,
with dialogue state, facts, records and dead letters, to a conversation that nobody writes to, whose members are those
who were in the stretch. It is theirs as any talk is: found, gone on with from another app, exported, erased. The room
begins anew. Whose a turn is thus stands in one column, and everything that reads a conversation is right by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kith.core.errors import KithError
from kith.core.ids import conversation_id
from kith.core.memory import Fact
from kith.core.message import Envelope
from kith.core.people import Person
from kith.core.turn import Turn
from kith.runtime.telemetry import get_logger
from kith.storage.ledger import schema
from kith.storage.ledger.desk import OUTBOX, Desk
from kith.storage.ledger.steps import Op, each, sql

_log = get_logger(__name__)
_HEALED = "stretches"
_END = 2**62  # behind every turn
_STALE = 3
_PAGE = 500  # turns that are looked at together: a room may have very many
_HELD_BACK = "the room became a group before this could be sent"


@dataclass(frozen=True, slots=True)
class _Room:
    """A room: its id, `body` and `state`; `members` are the ids in it, `heard` the persons who spoke there themselves,
    each with the ids that they have. Somebody who only went on with it in another app did not."""

    id: str
    body: Mapping[str, Any]
    state: Mapping[str, Any]
    updated: float
    members: Sequence[str]
    heard: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a stretch ends: before the turn `seq`. `turns` and `replies` are the ids in it; None stands for all. `said`
    are the ids of those who spoke in it."""

    seq: int = _END
    turns: frozenset[str] | None = None
    replies: frozenset[str] | None = None
    said: frozenset[str] = frozenset()


def other(envelope: Envelope, kind: str) -> bool:
    """Whether a message says that its place is something else than a conversation of this kind.

    What the house says first, an edit and a reaction do not: some platforms tell of them without saying where.
    """
    quiet = envelope.message.role != "user" or envelope.edits or envelope.reaction
    return not quiet and envelope.kind != kind


def renew(desk: Desk, envelope: Envelope, at: str, person: str) -> Op[None]:
    """Begin anew at a place when `person` is heard there and it is of another kind by now, or was somebody else's."""
    room = yield from _found(desk, at)
    if room is None:
        return
    kind = str(room.body["kind"])
    strange = kind == "direct" and bool(room.heard) and person not in room.heard and envelope.message.role == "user"
    if not strange and not other(envelope, kind):
        return
    cut = (yield from _mixed(desk, room)) if kind == "direct" and len(room.heard) > 1 else _Cut()
    yield from _part(desk, room, cut, (yield from _told(desk, room, cut)))
    yield from _open(desk, room, cut, envelope.kind if other(envelope, kind) else kind)


def heal(desk: Desk) -> Op[None]:
    """Once: rooms that became groups before this was known, and hold what was said to Kith alone.

    One that is damaged stays as it is: it is no reason to open nothing.
    """
    if (yield from schema.get(_HEALED)):
        return
    rows = yield sql(
        """SELECT conversations.id, conversations.body FROM conversations JOIN members
        ON members.conversation = conversations.id GROUP BY conversations.id HAVING count(*) > 1"""
    )
    for conversation, body in rows:
        try:
            room = (yield from _found(desk, str(conversation))) if _direct(desk, body) else None
            if room is None or len(room.heard) < 2:
                continue
            cut = yield from _mixed(desk, room)
            told = yield from _told(desk, room, cut)
        except KithError as error:
            _log.warning("a room could not be looked at", code=error.code)
            continue
        yield from _part(desk, room, cut, told)
        yield from _open(desk, room, cut, "group")
    yield from schema.put(_HEALED, "1")


def _direct(desk: Desk, body: bytes) -> bool:
    return desk.codec.mapping(body)["kind"] == "direct"


def _found(desk: Desk, at: str) -> Op[_Room | None]:
    rows = yield sql("SELECT body, state, updated FROM conversations WHERE id = $1 {lock}", at)
    if not rows:
        return None
    body, state = desk.codec.mapping(rows[0][0]), desk.codec.mapping(rows[0][1])
    found = yield sql("SELECT person FROM members WHERE conversation = $1 ORDER BY person", at)
    members = [str(row[0]) for row in found]
    heard: dict[str, set[str]] = {}
    for member in members:
        alias = yield sql("SELECT person FROM aliases WHERE alias = $1", member)
        person = str(alias[0][0]) if alias else member
        rows_of = yield sql("SELECT body FROM people WHERE id = $1", person)
        if rows_of and str(body["channel"]) in desk.codec.unpack(Person, rows_of[0][0]).handles:
            heard.setdefault(person, {person}).add(member)
    for person, ids in heard.items():
        also = yield sql("SELECT alias FROM aliases WHERE person = $1", person)
        ids |= {str(row[0]) for row in also}
    return _Room(at, body, state, float(rows[0][2]), members, heard)


def _mixed(desk: Desk, room: _Room) -> Op[_Cut]:
    """In a room that was kept as one person's though others were heard in it: what that person said before them."""
    whose = {one: person for person, ids in room.heard.items() for one in ids}
    turns, replies, said, owner, seq = set[str](), set[str](), set[str](), "", 0
    while rows := (
        yield sql(
            "SELECT seq, body FROM turns WHERE conversation = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            room.id,
            seq,
            _PAGE,
        )
    ):
        for number, body in rows:
            turn, seq = desk.codec.unpack(Turn, body), int(number)
            speaker = whose.get(turn.person, "")
            owner = owner or speaker
            if speaker and speaker != owner:
                return _Cut(seq, frozenset(turns), frozenset(replies), frozenset(said))
            turns.add(turn.id)
            said.add(turn.person)
            replies |= {spoken.id for spoken in turn.spoke}
    return _Cut(_END, frozenset(turns), frozenset(replies), frozenset(said))


def _part(desk: Desk, room: _Room, cut: _Cut, told: Sequence[Fact]) -> Op[None]:
    """Move a stretch to a conversation of its own, if there is anything in it. What was `told` there may be used where
    its turns are, and not in the room any more."""
    some = yield sql("SELECT 1 FROM turns WHERE conversation = $1 AND seq < $2 LIMIT 1", room.id, cut.seq)
    if not some:
        return
    handle = f"{room.body['handle']}#{desk.ids.new('s')}"
    past = conversation_id(str(room.body["channel"]), str(room.body["account"]), handle)
    known = room.state if cut.turns is None else (yield from _known(room, cut.seq, before=True))
    yield sql(
        "INSERT INTO conversations (id, body, state, updated) VALUES ($1, $2, $3, $4)",
        past,
        desk.codec.document({**room.body, "handle": handle, "room": room.id}),
        desk.codec.document(known),
        room.updated,
    )
    yield sql("UPDATE turns SET conversation = $1 WHERE conversation = $2 AND seq < $3", past, room.id, cut.seq)
    members = [(past, one) for one in _owners(room, cut)]
    yield each("INSERT INTO members (conversation, person) VALUES ($1, $2)", members)
    moved = [(desk.codec.pack(replace(one, conversation=past)), one.id) for one in told]
    yield each("UPDATE facts SET body = $1 WHERE id = $2", moved)
    yield from _replies(desk, room, past, cut)
    if cut.turns is None:
        yield sql("UPDATE inbox SET conversation = $1 WHERE conversation = $2 AND state = 2", past, room.id)
    yield from _records(desk, room.id, past if cut.turns is None else "")


def _owners(room: _Room, cut: _Cut) -> Sequence[str]:
    """Whose the stretch is: of all who were in the room, where one person's talk is cut out of it of that person alone
    and of whoever went on with it in another app."""
    if cut.turns is None:
        return room.members
    strange = {one for ids in room.heard.values() if cut.said.isdisjoint(ids) for one in ids}
    return [one for one in room.members if one not in strange]


def _open(desk: Desk, room: _Room, cut: _Cut, kind: str) -> Op[None]:
    """What goes on at the place itself: of that kind, with what is left."""
    left = yield from _known(room, cut.seq, before=False)
    yield sql(
        "UPDATE conversations SET body = $1, state = $2 WHERE id = $3",
        desk.codec.document({**room.body, "kind": kind}),
        desk.codec.document(left if left["rounds"] else {}),
        room.id,
    )
    stays = {one for ids in room.heard.values() for one in ids} if cut.seq < _END else set[str]()
    gone = [(room.id, one) for one in room.members if one not in stays]
    yield each("DELETE FROM members WHERE conversation = $1 AND person = $2", gone)
    yield sql("DELETE FROM threads WHERE place = $1 OR conversation = $1", room.id)


def _known(room: _Room, seq: int, *, before: bool) -> Op[dict[str, Any]]:
    """The dialogue state of a part of a room: how long it is, and nothing that was said."""
    sign = "<" if before else ">="
    rows = yield sql(f"SELECT count(*) FROM turns WHERE conversation = $1 AND seq {sign} $2", room.id, seq)  # noqa: S608
    return {"rounds": int(rows[0][0]), "seen": room.state.get("seen", 0.0), "locale": room.state.get("locale", "")}


def _told(desk: Desk, room: _Room, cut: _Cut) -> Op[Sequence[Fact]]:
    """What was told in the stretch."""
    told: list[Fact] = []
    for person in dict.fromkeys([*room.members, *room.heard]):
        rows = yield sql("SELECT body FROM facts WHERE person = $1", person)
        facts = [desk.codec.unpack(Fact, row[0]) for row in rows]
        told += [one for one in facts if one.conversation == room.id and (cut.turns is None or one.turn in cut.turns)]
    return told


def _replies(desk: Desk, room: _Room, past: str, cut: _Cut) -> Op[None]:
    """What was sent goes along. What waits to be sent to one person is set aside: it is not for those who came."""
    lanes = yield sql("SELECT head, worker FROM lanes WHERE side = $1 AND conversation = $2 {lock}", OUTBOX, room.id)
    rows = yield sql(
        "SELECT seq, id, state FROM outbox WHERE conversation = $1", room.id
    )  # what nobody sends meanwhile
    mine = [(int(seq), int(state)) for seq, name, state in rows if cut.replies is None or str(name) in cut.replies]
    waiting = [seq for seq, state in mine if not state] if room.body["kind"] == "direct" and cut.replies is None else []
    held = {int(row[0]) for row in lanes if row[0] is not None and row[1]}  # on its way at this moment
    aside = [seq for seq in waiting if seq not in held]
    yield each(
        "UPDATE outbox SET state = $1, error = $2 WHERE seq = $3",
        [(_STALE, desk.codec.text(_HELD_BACK), seq) for seq in aside],
    )
    if aside:
        yield sql(
            """UPDATE lanes SET head = (SELECT seq FROM outbox WHERE conversation = $1 AND state = 0
            ORDER BY seq LIMIT 1) WHERE side = $2 AND conversation = $1""",
            room.id,
            OUTBOX,
        )
    ended = [seq for seq, state in mine if state] + aside
    yield each("UPDATE outbox SET conversation = $1 WHERE seq = $2", [(past, seq) for seq in ended])


def _records(desk: Desk, room: str, past: str) -> Op[None]:
    """What is kept under the id of the room (its summary, its persona) goes along; without a `past` it goes."""
    kinds = yield sql("SELECT DISTINCT kind FROM records")
    for (kind,) in kinds:
        rows = yield sql(
            "DELETE FROM records WHERE kind = $1 AND mark = $2 RETURNING body", kind, desk.codec.mark(str(kind), room)
        )
        if rows and past:
            yield sql(
                "INSERT INTO records (kind, mark, name, body) VALUES ($1, $2, $3, $4)",
                kind,
                desk.codec.mark(str(kind), past),
                desk.codec.text(past),
                rows[0][0],
            )
