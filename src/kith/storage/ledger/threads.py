"""Places that go on with the conversation of another place: one person, several apps, one thread of talk.

A place is the conversation that a platform knows, and has the id of it. Whoever went on elsewhere has a row in the
table ``threads``; everything that they say at their place then waits in the lane of that conversation, so that there is
one turn at a time and in order, whichever app it came from. As soon as anybody else is heard at such a place, or it has
become a group (a platform's room can), it is on its own again: what was said elsewhere was not said to them.
"""

from __future__ import annotations

from kith.core.audit import Act
from kith.core.errors import KithError
from kith.core.ids import conversation_id
from kith.core.message import Envelope
from kith.core.turn import Claim
from kith.storage.ledger.audit import append
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, each, sql


def place(envelope: Envelope) -> str:
    """The id of the place where a message was heard."""
    return conversation_id(envelope.channel, envelope.account, envelope.conversation)


def face(desk: Desk, envelope: Envelope) -> bytes:
    """What stands for its sender, as a platform knows them."""
    return desk.codec.mark("face", envelope.channel, envelope.account, envelope.sender)


def current(at: str) -> Op[str]:
    """The conversation that goes on at a place: its own, unless it follows another."""
    rows = yield sql("SELECT conversation FROM threads WHERE place = $1", at)
    return str(rows[0][0]) if rows else at


def belonging(desk: Desk, envelope: Envelope) -> Op[str]:
    """The conversation in which a message is heard: where its place goes on, if its sender alone is there."""
    at = place(envelope)
    if envelope.kind != "direct":
        return at
    rows = yield sql(
        """SELECT threads.conversation FROM threads JOIN members ON members.conversation = threads.conversation
        JOIN faces ON faces.person = members.person WHERE threads.place = $1 AND faces.mark = $2""",
        at,
        face(desk, envelope),
    )
    return str(rows[0][0]) if rows else at


def part(at: str) -> Op[None]:
    """From now on a place goes on with no other, and no other with it."""
    yield sql("DELETE FROM threads WHERE place = $1 OR conversation = $1", at)


def go(desk: Desk, claim: Claim, head: int, goal: str, person: str) -> Op[None]:
    """From this message (`head` of its lane) on its place goes on with the conversation `goal`.

    With the place's own id it goes on alone, and so does everybody who followed it. What waits behind this message goes
    along, in its order; what other places said stays where it is. It is written into the audit log as done by `person`.
    """
    here, name = place(claim.envelope), "conversation.leave" if goal == place(claim.envelope) else "conversation.follow"
    detail = {} if goal == here else {"goal": goal}
    yield from append(desk, Act(name, person, here, f"channel:{claim.envelope.channel}", detail=detail))
    if goal == here:
        yield from part(here)
    else:
        yield sql(
            """INSERT INTO threads (place, conversation) VALUES ($1, $2)
            ON CONFLICT (place) DO UPDATE SET conversation = excluded.conversation""",
            here,
            goal,
        )
        yield sql(  # the same human may be another person there: at the terminal and in the web app, without a link
            """INSERT INTO members (conversation, person) SELECT id, $2 FROM conversations WHERE id = $1
            ON CONFLICT (conversation, person) DO NOTHING""",
            goal,
            person,
        )
    for conversation, rows in (yield from _strayed(desk, claim.conversation, head)).items():
        yield each("UPDATE inbox SET conversation = $1 WHERE seq = $2", [(conversation, seq) for seq in rows])
        yield sql(
            """INSERT INTO lanes (side, conversation, head, until, since, fence, attempts, worker, boot)
            VALUES (0, $1, $2, 0, $3, 0, 0, '', '')
            ON CONFLICT (side, conversation) DO UPDATE SET head = excluded.head WHERE lanes.head IS NULL""",
            conversation,
            rows[0],
            desk.clock.now(),
        )


def _strayed(desk: Desk, conversation: str, head: int) -> Op[dict[str, list[int]]]:
    """What waits behind `head` though its place goes on elsewhere now: by where it belongs, in its order."""
    waiting = yield sql(
        "SELECT seq, envelope FROM inbox WHERE conversation = $1 AND state = 0 AND seq > $2 ORDER BY seq",
        conversation,
        head,
    )
    found: dict[str, list[int]] = {}
    for seq, body in waiting:
        try:
            envelope = desk.codec.unpack(Envelope, body)
        except KithError:  # it is told where it lies
            continue
        if (where := (yield from belonging(desk, envelope))) != conversation:
            found.setdefault(where, []).append(int(seq))
    return found
