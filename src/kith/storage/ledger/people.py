"""People, conversations and turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from kith.core.errors import NotFound
from kith.core.ids import person_id
from kith.core.message import Envelope
from kith.core.people import Conversation, Person
from kith.core.turn import Turn
from kith.storage.ledger.branch import branch
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, Row, each, sql
from kith.storage.ledger.stretch import other, renew
from kith.storage.ledger.threads import current, face, part, place


class Kept:
    """The port `Store` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turns: OrderedDict[str, Turn] = OrderedDict()  # a turn never changes, so a decoded one stays right

    async def resolve(self, envelope: Envelope, conversation: str = "") -> tuple[Person, Conversation]:
        desk = self._desk
        mark = face(desk, envelope)
        found = await desk.driver.read(partial(_known, desk, mark, envelope, conversation))
        if found is None or (found[1].id == place(envelope) and other(envelope, found[1].kind)):
            await desk.driver.write(partial(_meet, desk, mark, envelope))
            found = await desk.driver.read(partial(_known, desk, mark, envelope, conversation))
        if found is None:
            raise NotFound("this person was removed a moment ago")
        return found

    async def conversation(self, conversation: str) -> Conversation:
        """As the port says. Raises `NotFound`."""
        found = await self._desk.driver.read(partial(_conversations, self._desk, _ONE, conversation))
        if not found:
            raise NotFound(f"there is no conversation {conversation!r}")
        return found[0]

    async def conversations(self, person: str = "", limit: int = 100) -> Sequence[Conversation]:
        """All conversations, or those of a person; the one last active first."""
        if person:
            return await self._desk.driver.read(partial(_conversations, self._desk, _OF, limit, person))
        return await self._desk.driver.read(partial(_conversations, self._desk, _ALL, limit))

    async def turns(self, conversation: str, limit: int = 100, after: str = "", before: str = "") -> Sequence[Turn]:
        """As the port says. Raises `NotFound` when there is no turn `after` or `before` in this conversation."""
        rows = await self._desk.driver.read(partial(_turns, conversation, limit, after, before))
        return tuple(self._turn(*row) for row in rows)

    async def branch(self, conversation: str, turn: str, handle: str, *, whole: bool) -> str:
        """Begin a new conversation with what was said in this one up to `turn`; see `branch` for what it raises."""
        return await self._desk.driver.write(partial(branch, self._desk, conversation, turn, handle, whole=whole))

    def forget(self) -> None:
        """Let every decoded turn go: some are not any more what they were."""
        self._turns.clear()

    def _turn(self, turn: str, body: bytes, conversation: str) -> Turn:
        known = self._turns.get(turn)
        if known is None:
            known = self._turns[turn] = self._desk.codec.unpack(Turn, body)
            if len(self._turns) > self._desk.settings.turn_cache:
                self._turns.popitem(last=False)
        else:
            self._turns.move_to_end(turn)
        return known if known.conversation == conversation else replace(known, conversation=conversation)


def _known(desk: Desk, mark: bytes, envelope: Envelope, conversation: str) -> Op[tuple[Person, Conversation] | None]:
    conversation = conversation or (yield from current(place(envelope)))
    rows = yield sql(
        """SELECT people.body FROM faces JOIN people ON people.id = faces.person
        JOIN members ON members.person = people.id AND members.conversation = $1 WHERE faces.mark = $2""",
        conversation,
        mark,
    )
    if not rows:
        return None
    found = yield from _conversations(desk, _ONE, conversation)
    return (desk.codec.unpack(Person, rows[0][0]), found[0]) if found else None


def _meet(desk: Desk, mark: bytes, envelope: Envelope) -> Op[None]:
    first = person = person_id(envelope.channel, envelope.account, envelope.sender)
    conversation = place(envelope)
    rows = yield sql("SELECT person FROM faces WHERE mark = $1", mark)
    if rows:
        person = str(rows[0][0])
    else:
        made = Person(
            person,
            name=envelope.sender_name,
            handles={envelope.channel: envelope.sender},
            locale=envelope.locale,
        )
        yield sql(
            "INSERT INTO people (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", person, desk.codec.pack(made)
        )
        yield sql("INSERT INTO faces (mark, person) VALUES ($1, $2) ON CONFLICT (mark) DO NOTHING", mark, person)
    yield from renew(desk, envelope, conversation, person)
    body = {name: getattr(envelope, name) for name in ("channel", "account", "kind")}
    yield sql(
        """INSERT INTO conversations (id, body, state, updated) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO NOTHING""",
        conversation,
        desk.codec.document({**body, "handle": envelope.conversation}),
        desk.codec.document({}),
        desk.clock.now(),
    )
    # One that was linked with another stays a member under the id of the face too: what may be seen hangs on it.
    yield each(
        """INSERT INTO members (conversation, person) VALUES ($1, $2)
        ON CONFLICT (conversation, person) DO NOTHING""",
        [(conversation, one) for one in dict.fromkeys((person, first))],
    )
    yield from part(conversation)  # whoever is new there is not to hear what was said elsewhere


_COLUMNS = "SELECT conversations.id, conversations.body, conversations.state, conversations.updated FROM conversations"
_ONE = f"{_COLUMNS} WHERE conversations.id = $1"
_ALL = f"{_COLUMNS} ORDER BY conversations.updated DESC LIMIT $1"
_OF = f"""{_COLUMNS} JOIN members ON members.conversation = conversations.id WHERE members.person = $2
    ORDER BY conversations.updated DESC LIMIT $1"""


def _conversations(desk: Desk, query: str, *values: Any) -> Op[Sequence[Conversation]]:
    rows = yield sql(query, *values)
    found: list[Conversation] = []
    for row in rows:
        members = yield sql("SELECT person FROM members WHERE conversation = $1 ORDER BY person LIMIT 1000", row[0])
        places = yield sql("SELECT place FROM threads WHERE conversation = $1 ORDER BY place LIMIT 100", row[0])
        everybody, elsewhere = (tuple(str(one[0]) for one in rows) for rows in (members, places))
        found.append(_conversation(desk, row, everybody, elsewhere))
    return tuple(found)


def _conversation(desk: Desk, row: Row, members: tuple[str, ...], places: tuple[str, ...]) -> Conversation:
    body = desk.codec.mapping(row[1])
    return Conversation(
        str(row[0]),
        channel=body["channel"],
        account=body["account"],
        handle=body["handle"],
        kind=body["kind"],
        members=members,
        state=desk.codec.mapping(row[2]),
        updated=float(row[3]),
        places=places,
    )


def _turns(conversation: str, limit: int, after: str, before: str) -> Op[Sequence[tuple[str, bytes, str]]]:
    """Of a place that goes on elsewhere, also what was said there."""
    goes_on = yield from current(conversation)
    if mark := after or before:
        known = yield sql(
            "SELECT seq FROM turns WHERE id = $3 AND conversation IN ($1, $2)", conversation, goes_on, mark
        )
        if not known:
            raise NotFound(f"there is no turn {mark!r} in this conversation")
        one, both = (_BEHIND, _BEHIND_BOTH) if after else (_BEFORE, _BEFORE_BOTH)
        query, values = one if goes_on == conversation else both, (known[0][0], limit)
    else:
        query, values = _LAST if goes_on == conversation else _LAST_BOTH, (limit,)
    places = (conversation,) if goes_on == conversation else (conversation, goes_on)
    rows = [tuple(row) for row in (yield sql(query, *places, *values))]
    return cast("list[tuple[str, bytes, str]]", rows if after else rows[::-1])


_LAST = "SELECT id, body, conversation FROM turns WHERE conversation = $1 ORDER BY seq DESC LIMIT $2"
_LAST_BOTH = "SELECT id, body, conversation FROM turns WHERE conversation IN ($1, $2) ORDER BY seq DESC LIMIT $3"
_BEFORE = "SELECT id, body, conversation FROM turns WHERE conversation = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3"
_BEFORE_BOTH = (
    "SELECT id, body, conversation FROM turns WHERE conversation IN ($1, $2) AND seq < $3 ORDER BY seq DESC LIMIT $4"
)
_BEHIND = "SELECT id, body, conversation FROM turns WHERE conversation = $1 AND seq > $2 ORDER BY seq LIMIT $3"
_BEHIND_BOTH = (
    "SELECT id, body, conversation FROM turns WHERE conversation IN ($1, $2) AND seq > $3 ORDER BY seq LIMIT $4"
)
