"""API tokens: made once, kept as a digest, refused when wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kith.core.audit import Act, Change, Entry
from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, NotFound, Refused
from kith.core.ids import Ids
from kith.security.tokens import TokenAuth


class Shelf:
    """Records in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        return self.kept.get((kind, key))

    async def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        self.kept[kind, key] = json.loads(json.dumps(value))

    async def delete(self, kind: str, key: str) -> bool:
        return self.kept.pop((kind, key), None) is not None

    async def all(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        return {key: value for (found, key), value in self.kept.items() if found == kind}


class Log:
    """An audit log over a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.acts = shelf, []

    async def act(self, act: Act, changes: Sequence[Change] = ()) -> Entry:
        for change in changes:
            if change.value is None:
                await self.shelf.delete(change.kind, change.key)
            else:
                await self.shelf.put(change.kind, change.key, change.value)
        self.acts.append(act)
        return Entry(1, 0.0, act, "")


def make(shelf: Shelf | None = None) -> tuple[TokenAuth, Shelf, FrozenClock]:
    shelf, clock = shelf or Shelf(), FrozenClock()
    return TokenAuth(shelf, Log(shelf), clock, Ids(clock)), shelf, clock


def test_a_token_is_shown_once_and_kept_only_as_a_digest() -> None:
    async def story() -> None:
        auth, shelf, _ = make()
        token = await auth.new("phone", "member")
        assert token.startswith("kith_") and len(token) == 48
        assert token not in repr(shelf.kept) and token[5:] not in repr(shelf.kept)
        principal = await auth.authenticate(token)
        assert (principal.name, principal.role) == ("phone", "member") and principal.id.startswith("t_")
        (listed,) = await auth.list()
        assert listed.id == principal.id and not hasattr(listed, "digest")

    asyncio.run(story())


def test_the_first_start_makes_one_owner_and_only_once() -> None:
    async def story() -> None:
        auth, _, _ = make()
        token = await auth.first_start()
        assert token is not None and (await auth.authenticate(token)).id == "owner"
        assert await auth.first_start() is None
        second = await auth.new("laptop", "owner")
        assert (await auth.authenticate(second)).id == "owner"

    asyncio.run(story())


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "kith_",
        "kith_" + "A" * 43,
        "kith_" + "A" * 42 + "é",
        "Bearer x",
        "\x00" * 48,
        "k" * 10_000_000,
        "kith_\ud800",
    ],
)
def test_anything_else_is_refused(credential: str) -> None:
    auth, _, _ = make()
    with pytest.raises(Refused) as caught:
        asyncio.run(auth.authenticate(credential))
    assert (caught.value.code, caught.value.status) == ("unauthenticated", 401)


def test_a_revoked_token_is_refused_at_once_and_in_other_processes_soon() -> None:
    async def story() -> None:
        auth, shelf, clock = make()
        other = TokenAuth(shelf, Log(shelf), clock, Ids(clock))
        token = await auth.new("phone", "guest")
        await auth.authenticate(token)
        await other.authenticate(token)
        await auth.revoke((await auth.list())[0].id)
        with pytest.raises(Refused):
            await auth.authenticate(token)
        clock.advance(2)
        with pytest.raises(Refused):
            await other.authenticate(token)
        with pytest.raises(NotFound):
            await auth.revoke("t_nobody")

    asyncio.run(story())


def test_every_mistake_in_a_new_token_is_named() -> None:
    auth, _, _ = make()
    with pytest.raises(Invalid) as caught:
        asyncio.run(auth.new("a\nb", "king"))
    assert [fault.path for fault in caught.value.faults] == ["name", "role"]
