"""API tokens: the one authentication function of programs, and the acts of giving and taking them away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from kith.core.audit import Act, By, Change
from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid, NotFound, Refused
from kith.core.ids import Ids
from kith.core.people import Principal, Role
from kith.core.ports import Journal, Records

_KIND = "token"
_SHAPE = re.compile(r"kith_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")
_REMEMBERED = 1024
_SECONDS = 2.0  # a token revoked by another process on the same store is refused after at most this long


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: everything but the token. `created` is in seconds since the epoch."""

    id: str
    name: str
    role: Role
    created: float


class TokenAuth:
    """Implements the port `Auth` over API tokens ``kith_`` + 32 random bytes in URL-safe base 64.

    Only the SHA-256 of a token is kept. A slow or salted hash would add nothing: 256 random bits cannot be guessed,
    and no two tokens are equal. Looking a digest up leaks no timing that helps, as nobody can choose its bytes.
    Every token of role owner speaks as the one principal ``owner``; any other is a principal of its own.
    """

    def __init__(
        self,
        records: Records,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        source: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._records, self._journal, self._clock, self._ids, self._source = records, journal, clock, ids, source
        self._seen: OrderedDict[str, tuple[float, Principal]] = OrderedDict()
        self._names: tuple[float, Mapping[str, Principal]] | None = None
        self._local = ""

    async def authenticate(self, credential: str) -> Principal:
        """Whose token this is. Raises `Refused` (code ``unauthenticated``) for anything that is not a valid one."""
        if not _SHAPE.fullmatch(credential):
            raise _unknown()
        if self._local and hmac.compare_digest(self._local, credential):
            return Principal("owner", "this machine", "owner")
        digest = _digest(credential)
        now = self._clock.monotonic()
        if (hit := self._seen.get(digest)) and now - hit[0] < _SECONDS:
            return hit[1]
        self._seen.pop(digest, None)
        record = await self._records.get(_KIND, digest)
        if record is None or not hmac.compare_digest(str(record["digest"]), digest):
            raise _unknown()
        principal = _principal(record)
        self._seen[digest] = now, principal
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return principal

    async def principal(self, name: str) -> Principal | None:
        """The principal called `name` if some valid token makes it so, else None."""
        if not self._names or self._clock.monotonic() - self._names[0] >= _SECONDS:
            found = [_principal(record) for record in (await self._records.all(_KIND)).values()]
            self._names = self._clock.monotonic(), {principal.id: principal for principal in found}
        return self._names[1].get(name)

    async def new(self, name: str, role: str = "owner", by: By | None = None) -> str:
        """Make a token and return it: the only time that it can be seen. Raises `Invalid`."""
        faults = [] if _NAME.fullmatch(name) else [Fault("name", "has to be 1 to 80 printable characters")]
        if role not in get_args(Role):
            faults.append(Fault("role", f"has to be one of {', '.join(get_args(Role))}"))
        if faults:
            raise Invalid("this token cannot be made", faults=tuple(faults))
        token = self._make()
        digest = _digest(token)
        made = {"id": self._ids.new("t"), "name": name, "role": role, "created": self._clock.now()}
        value = {**made, "digest": digest}
        by = by or By()
        act = Act("token.new", by.actor, str(value["id"]), by.origin, detail={"name": name, "role": role})
        await self._journal.act(act, [Change(_KIND, digest, value, "absent")])
        self._names = None
        return token

    def local(self) -> str:
        """The token of this process: never stored, good while it runs, for commands of the same person beside it."""
        self._local = self._local or self._make()
        return self._local

    def _make(self) -> str:
        return "kith_" + base64.urlsafe_b64encode(self._source(32)).rstrip(b"=").decode()

    async def list(self) -> Sequence[Token]:
        """Every token there is, oldest first."""
        records = (await self._records.all(_KIND)).values()
        return sorted((_token(record) for record in records), key=lambda token: (token.created, token.id))

    async def revoke(self, token: str, by: By | None = None) -> None:
        """Refuse the token with this id from now on. Raises `NotFound`."""
        for digest, record in (await self._records.all(_KIND)).items():
            if record["id"] == token:
                by = by or By()
                await self._journal.act(
                    Act("token.revoke", by.actor, token, by.origin), [Change(_KIND, digest, None, "present")]
                )
                self._seen.pop(digest, None)
                self._names = None
                return
        raise NotFound(f"there is no token {token!r}", code="token_not_found", hint="kith token list shows them")

    async def first_start(self) -> str | None:
        """The owner's first token when no token exists yet, else None. Whoever reads the console owns the house."""
        return None if await self._records.all(_KIND) else await self.new("first start", "owner")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _token(record: Mapping[str, Any]) -> Token:
    role = cast("Role", record["role"])
    return Token(str(record["id"]), str(record["name"]), role, float(record["created"]))


def _principal(record: Mapping[str, Any]) -> Principal:
    token = _token(record)
    return Principal("owner" if token.role == "owner" else token.id, token.name, token.role)


def _unknown() -> Refused:
    return Refused(
        "the API token is missing or not valid",
        code="unauthenticated",
        hint="send it as 'Authorization: Bearer kith_...'; kith token new makes one",
    )
