"""Everybody who was met: who they are, and who of them is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from kith.core.audit import Act
from kith.core.errors import Invalid, NotFound
from kith.core.people import Met, Person
from kith.storage.ledger.audit import append
from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, sql

_CHANGED = ("name", "locale", "timezone")


class Crowd:
    """The port `People` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def everybody(self, limit: int = 1000) -> Sequence[Met]:
        """Those who were heard last come first."""
        return await self._desk.driver.read(partial(_everybody, self._desk, limit))

    async def who(self, handles: Sequence[tuple[str, str]]) -> Sequence[str]:
        return await self._desk.driver.read(partial(_who, self._desk, frozenset(handles)))

    async def change(self, person: str, values: Mapping[str, str], by: Act) -> Person:
        """As the port says. Raises `Invalid` for anything but name, locale and timezone."""
        if unknown := sorted(set(values) - set(_CHANGED)):
            raise Invalid(f"{unknown[0]!r} is not one of {', '.join(_CHANGED)}")
        return await self._desk.driver.write(partial(_change, self._desk, person, dict(values), by))

    async def link(self, person: str, other: str, by: Act) -> Person:
        return await self._desk.driver.write(partial(_link, self._desk, person, other, by))


def known_as(persons: Sequence[str]) -> Op[tuple[str, ...]]:
    """These persons with every id that one of them had before."""
    found = dict.fromkeys(persons)
    for person in persons:
        rows = yield sql("SELECT alias FROM aliases WHERE person = $1", person)
        found |= dict.fromkeys(str(row[0]) for row in rows)
    return tuple(found)


def _everybody(desk: Desk, limit: int) -> Op[Sequence[Met]]:
    rows = yield sql(
        """SELECT people.id, people.body, COALESCE(said.turns, 0), COALESCE(said.seen, 0) FROM people LEFT JOIN
        (SELECT members.person, count(*) AS turns, max(turns.at) AS seen FROM members
         JOIN turns ON turns.conversation = members.conversation GROUP BY members.person) AS said
        ON said.person = people.id ORDER BY 4 DESC, 1 LIMIT $1""",
        limit,
    )
    return tuple(Met(desk.codec.unpack(Person, row[1]), int(row[2]), float(row[3])) for row in rows)


def _who(desk: Desk, handles: frozenset[tuple[str, str]]) -> Op[Sequence[str]]:
    rows = yield sql("SELECT id, body FROM people ORDER BY id")
    people = [desk.codec.unpack(Person, row[1]) for row in rows]
    return tuple(person.id for person in people if handles & set(person.handles.items()))


def _one(desk: Desk, person: str) -> Op[Person]:
    rows = yield sql("SELECT body FROM people WHERE id = $1 {lock}", person)
    if not rows:
        raise NotFound(f"there is no person {person!r}", code="person_not_found")
    return desk.codec.unpack(Person, rows[0][0])


def _change(desk: Desk, person: str, values: Mapping[str, str], by: Act) -> Op[Person]:
    changed = replace((yield from _one(desk, person)), **values)
    yield from append(desk, by)
    yield sql("UPDATE people SET body = $1 WHERE id = $2", desk.codec.pack(changed), person)
    return changed


def _link(desk: Desk, person: str, other: str, by: Act) -> Op[Person]:
    """Faces, memberships and facts go over; old turns keep the id they have, which becomes an alias."""
    if person == other:
        raise Invalid("a person cannot be linked with themselves", code="same_person")
    one = yield from _one(desk, person)
    two = yield from _one(desk, other)
    yield from append(desk, by)
    merged = replace(
        one,
        name=one.name or two.name,
        locale=one.locale or two.locale,
        timezone=one.timezone or two.timezone,
        handles={**two.handles, **one.handles},
    )
    yield sql("UPDATE people SET body = $1 WHERE id = $2", desk.codec.pack(merged), person)
    yield sql("UPDATE faces SET person = $1 WHERE person = $2", person, other)
    yield sql(
        """INSERT INTO members (conversation, person) SELECT conversation, CAST($1 AS TEXT) FROM members
        WHERE person = $2 ON CONFLICT (conversation, person) DO NOTHING""",
        person,
        other,
    )
    yield sql("UPDATE facts SET person = $1 WHERE person = $2", person, other)
    yield sql("UPDATE aliases SET person = $1 WHERE person = $2", person, other)
    yield sql("INSERT INTO aliases (alias, person) VALUES ($1, $2)", other, person)
    yield sql("DELETE FROM people WHERE id = $1", other)
    return merged
