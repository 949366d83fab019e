"""Small records by kind and key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from kith.storage.ledger.desk import Desk
from kith.storage.ledger.steps import Op, sql


class Carded:
    """The port `Records` (see `kith.core.ports`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        return await self._desk.driver.read(partial(_get, self._desk, kind, key))

    async def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        """As the port says. Raises `Invalid` when `value` is not JSON-shaped."""
        desk = self._desk
        await desk.driver.write(partial(_put, desk, kind, key, desk.codec.document(value)))

    async def delete(self, kind: str, key: str) -> bool:
        """Remove a record; False if there was none."""
        return await self._desk.driver.write(partial(_delete, self._desk, kind, key))

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        return await self._desk.driver.read(partial(_all, self._desk, kind))


def _get(desk: Desk, kind: str, key: str) -> Op[Mapping[str, Any] | None]:
    rows = yield sql("SELECT body FROM records WHERE kind = $1 AND mark = $2", kind, desk.codec.mark(kind, key))
    return desk.codec.mapping(rows[0][0]) if rows else None


def _put(desk: Desk, kind: str, key: str, body: bytes) -> Op[None]:
    yield sql(
        """INSERT INTO records (kind, mark, name, body) VALUES ($1, $2, $3, $4)
        ON CONFLICT (kind, mark) DO UPDATE SET body = excluded.body""",
        kind,
        desk.codec.mark(kind, key),
        desk.codec.text(key),
        body,
    )


def _delete(desk: Desk, kind: str, key: str) -> Op[bool]:
    rows = yield sql(
        "DELETE FROM records WHERE kind = $1 AND mark = $2 RETURNING kind", kind, desk.codec.mark(kind, key)
    )
    return bool(rows)


def _all(desk: Desk, kind: str) -> Op[Mapping[str, Mapping[str, Any]]]:
    rows = yield sql("SELECT name, body FROM records WHERE kind = $1", kind)
    return {desk.codec.words(row[0]): desk.codec.mapping(row[1]) for row in rows}
