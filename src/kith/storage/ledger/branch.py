"""A new conversation that begins with what was said in another one, up to some turn."""

from __future__ import annotations

from dataclasses import replace

from kith.core.errors import Invalid, NotFound
from kith.core.ids import conversation_id
from kith.core.turn import Turn
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, sql

_MOST = 200  # turns that go along


_NEW = """INSERT INTO conversations (id, body, state, updated) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO NOTHING RETURNING id"""


def branch(desk: Desk, source: str, turn: str, handle: str, *, whole: bool) -> Op[str]:
    """Copy the latest turns up to `turn`, with it where `whole`, into a conversation of the same channel and account.

    The id of the new one. The copies have ids of their own, and the old conversation stays as it is. Raises `NotFound`
    for a turn that is not there, `Invalid` (code ``conflict``) for a handle that is in use.
    """
    rows = yield sql("SELECT body, state FROM conversations WHERE id = $1", source)
    place = yield sql("SELECT seq FROM turns WHERE id = $1 AND conversation = $2", turn, source)
    if not rows or not place:
        raise NotFound(f"there is no turn {turn!r} in this conversation", code="turn_not_found")
    body, state = desk.codec.mapping(rows[0][0]), desk.codec.mapping(rows[0][1])
    made = conversation_id(str(body["channel"]), str(body["account"]), handle)
    last = int(str(place[0][0])) if whole else int(str(place[0][0])) - 1
    kept = yield sql(
        "SELECT body FROM turns WHERE conversation = $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3", source, last, _MOST
    )
    known = {"rounds": len(kept), "seen": state.get("seen", 0.0), "locale": state.get("locale", "")}
    new = yield sql(
        _NEW, made, desk.codec.document({**body, "handle": handle}), desk.codec.document(known), desk.clock.now()
    )
    if not new:
        raise Invalid("a conversation of this name is there already", code="conflict")
    yield sql(
        "INSERT INTO members (conversation, person) SELECT $1, person FROM members WHERE conversation = $2",
        made,
        source,
    )
    for row in reversed(kept):
        copy = replace(desk.codec.unpack(Turn, row[0]), id=desk.ids.new("t"), conversation=made)
        yield sql(
            "INSERT INTO turns (id, conversation, at, body) VALUES ($1, $2, $3, $4)",
            copy.id,
            made,
            copy.at,
            desk.codec.pack(copy),
        )
    return made
