"""Pairing: how somebody on a chat platform becomes known to the house. Closed by default.

A stranger is told a code, in their language and once an hour; whoever runs the household approves it (``kith pair
CODE``, or in the web app). Or the other way round: the household makes a code, and whoever sends it to the bot is let
in. Codes are kept as digests, are good for ten minutes and once, and few may be tried.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from kith.core.audit import Act, By, Change
from kith.core.channel import Welcome
from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid, NotFound, Refused
from kith.core.message import Envelope
from kith.core.people import Principal, Role
from kith.core.ports import Journal, Records
from kith.runtime.buckets import Buckets
from kith.runtime.locale import tr
from kith.security.passwords import code_digest, digest

FACE, CODE = "face", "pairing"
MINUTES = 10
_AGAIN = 3600.0
_WAITING = 200
_ASKED = 10_000
_TRIES = 5  # wrong codes in ten minutes, of one sender
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

Rule = Literal["paired", "listed", "everyone"]


@dataclass(frozen=True, slots=True)
class Request:
    """A stranger who waits. `id` names the request without being the code."""

    id: str
    channel: str
    account: str
    sender: str
    name: str
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Face:
    """Somebody who may come in through a channel."""

    id: str
    channel: str
    account: str
    sender: str
    name: str
    role: Role
    at: float


class Pairing:
    """Implements the port `Access`."""

    def __init__(self, records: Records, journal: Journal, clock: Clock) -> None:
        self._records, self._journal, self._clock = records, journal, clock
        self._rules: dict[str, tuple[Rule, frozenset[str]]] = {}
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._tries = Buckets(_TRIES / MINUTES, _TRIES, clock)

    def rule(self, channel: str, rule: Rule, allowed: Collection[str]) -> None:
        """How a channel lets people in, and whom in any case: senders, or groups all of whose members may speak."""
        self._rules[channel] = rule, frozenset(allowed)

    async def admitted(self, envelope: Envelope) -> Principal | None:
        """Who speaks, if they have been let in: by pairing, by the list of their channel, or as one of everyone."""
        record = await self._records.get(FACE, _key(envelope.channel, envelope.account, envelope.sender))
        if record is not None:
            name = envelope.sender_name or str(record["name"]) or envelope.sender
            return Principal(str(record["id"]), name, cast("Role", record["role"]))
        rule, allowed = self._rules.get(envelope.channel, ("paired", frozenset[str]()))
        listed = envelope.sender in allowed or (envelope.kind == "group" and envelope.conversation in allowed)
        if not listed and rule != "everyone":
            return None
        known = _id(envelope.channel, envelope.account, envelope.sender)
        return Principal(known, envelope.sender_name or envelope.sender, "member" if listed else "guest")

    async def greet(self, envelope: Envelope) -> Welcome:
        """Let in who is known, take the code of who brings one, and tell a stranger how to become known."""
        known = await self.admitted(envelope)
        if known is not None:
            return Welcome(True)
        rule = self._rules.get(envelope.channel, ("paired", frozenset[str]()))[0]
        if rule != "paired" or envelope.kind == "group":
            return Welcome(False)  # in a group nobody is told: the code would be for all to see
        locale = spoken(envelope)
        text = envelope.message.text.strip()
        if looks_like_code(text) and await self._try(envelope, text):
            return Welcome(False, tr("security.pairing.welcome", locale))
        code = await self._ask(envelope)
        return Welcome(False, tr("security.pairing.stranger", locale, code=code, minutes=MINUTES) if code else "")

    async def offer(self, role: str, by: By) -> tuple[str, float]:
        """A code for somebody who will send it to the bot, and until when it is good. Raises `Invalid`."""
        _check(role)
        code, until = new_code(), self._clock.now() + MINUTES * 60
        value = {"offered": True, "role": role, "until": until, "by": by.actor}
        act = Act("pairing.offer", by.actor, origin=by.origin, detail={"role": role})
        await self._journal.act(act, [Change(CODE, code_digest(code), value, "absent"), *await self._swept()])
        return code, until

    async def waiting(self) -> Sequence[Request]:
        """The strangers who were told a code that is still good, the latest last."""
        found = [
            _request(key, record)
            for key, record in (await self._records.all(CODE)).items()
            if not record.get("offered") and float(record["until"]) > self._clock.now()
        ]
        return sorted(found, key=lambda one: one.at)

    async def faces(self) -> Sequence[Face]:
        """Everybody who was let in by pairing, the latest last."""
        found = [_face(record) for record in (await self._records.all(FACE)).values()]
        return sorted(found, key=lambda one: (one.at, one.id))

    async def approve(self, code: str, role: str, by: By) -> Face:
        """Let in whoever was told `code` (or has the request of that id). Raises `NotFound` or `Invalid`."""
        _check(role)
        key, record = await self._find(code)
        return await self._admit(record, key, role, by)

    async def refuse(self, code: str, by: By) -> None:
        """Forget a request. Raises `NotFound`."""
        key, record = await self._find(code)
        act = Act("pairing.refuse", by.actor, _id_of(record), by.origin, detail={"channel": str(record["channel"])})
        await self._journal.act(act, [Change(CODE, key, None, "present")])

    async def remove(self, face: str, by: By) -> None:
        """Shut somebody out again. Raises `NotFound`."""
        for key, record in (await self._records.all(FACE)).items():
            if record["id"] == face:
                act = Act("pairing.remove", by.actor, face, by.origin, detail={"channel": str(record["channel"])})
                await self._journal.act(act, [Change(FACE, key, None, "present")])
                return
        raise NotFound(f"nobody with the id {face!r} was let in", hint="kith pair --list shows who was")

    async def vouch(self, envelope: Envelope, role: Role, by: By) -> Face:
        """Let in the sender of a message without a request of theirs: somebody inside answers for them."""
        channel, account, sender = envelope.channel, envelope.account, envelope.sender
        record = {
            "id": _id(channel, account, sender), "channel": channel, "account": account, "sender": sender,
            "name": envelope.sender_name[:80], "role": role, "at": self._clock.now(),
        }  # fmt: skip
        act = Act("pairing.admit", by.actor, str(record["id"]), by.origin, detail={"channel": channel, "role": role})
        await self._journal.act(act, [Change(FACE, _key(channel, account, sender), record)])
        return _face(record)

    async def _find(self, code: str) -> tuple[str, Mapping[str, Any]]:
        requests = await self._records.all(CODE)
        wanted = code_digest(code)
        for key, record in requests.items():
            fits = key == wanted or (len(code) == 12 and key.startswith(code))
            if fits and not record.get("offered") and float(record["until"]) > self._clock.now():
                return key, record
        raise NotFound("this code is wrong, used or too old", code="no_request", hint="let them write to the bot again")

    async def _admit(self, asked: Mapping[str, Any], key: str, role: str, by: By) -> Face:
        channel, account, sender = (str(asked[part]) for part in ("channel", "account", "sender"))
        record = {
            "id": _id(channel, account, sender), "channel": channel, "account": account, "sender": sender,
            "name": str(asked.get("name", "")), "role": role, "at": self._clock.now(),
        }  # fmt: skip
        act = Act("pairing.admit", by.actor, str(record["id"]), by.origin, detail={"channel": channel, "role": role})
        face = Change(FACE, _key(channel, account, sender), record)
        await self._journal.act(act, [Change(CODE, key, None, "present"), face])
        return _face(record)

    async def _try(self, envelope: Envelope, code: str) -> bool:
        """Use up a code that the household made. Few may be tried, so that none is guessed."""
        face = _key(envelope.channel, envelope.account, envelope.sender)
        try:
            self._tries.take(face)
        except Refused:
            return False
        key = code_digest(code)
        record = await self._records.get(CODE, key)
        if record is None or not record.get("offered") or float(record["until"]) < self._clock.now():
            return False
        asked = {"channel": envelope.channel, "account": envelope.account, "sender": envelope.sender}
        by = By(str(record.get("by", "owner")), f"channel:{envelope.channel}")
        try:
            await self._admit(asked | {"name": envelope.sender_name}, key, str(record["role"]), by)
        except Refused:  # another one used it in the same moment
            return False
        return True

    async def _ask(self, envelope: Envelope) -> str:
        """The code that a stranger is told, empty when they were told one within the hour or too many wait."""
        face, now = _key(envelope.channel, envelope.account, envelope.sender), self._clock.now()
        if now - self._asked.get(face, -_AGAIN) < _AGAIN:
            return ""
        self._asked[face] = now
        self._asked.move_to_end(face)
        if len(self._asked) > _ASKED:
            self._asked.popitem(last=False)
        swept = await self._swept()
        if len(await self.waiting()) >= _WAITING:
            return ""
        code = new_code()
        value = {
            "channel": envelope.channel, "account": envelope.account, "sender": envelope.sender,
            "name": envelope.sender_name[:80], "at": now, "until": now + MINUTES * 60,
        }  # fmt: skip
        for change in swept:
            await self._records.delete(change.kind, change.key)
        await self._records.put(CODE, code_digest(code), value)
        return code

    async def _swept(self) -> list[Change]:
        """The codes that are too old, to be taken away."""
        now = self._clock.now()
        kept = (await self._records.all(CODE)).items()
        return [Change(CODE, key, None) for key, record in kept if float(record["until"]) < now]


def _key(channel: str, account: str, sender: str) -> str:
    return digest("\x1f".join((channel, account, sender)))


def _id(channel: str, account: str, sender: str) -> str:
    return f"f_{_key(channel, account, sender)[:26]}"


def _id_of(record: Mapping[str, Any]) -> str:
    return _id(str(record["channel"]), str(record["account"]), str(record["sender"]))


def new_code() -> str:
    """Eight letters and digits that are not mistaken for one another, 40 bits."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def looks_like_code(text: str) -> bool:
    """Whether a message is nothing but a code, however it is written."""
    bare = text.replace("-", "").replace(" ", "").upper()
    return len(text) <= 16 and len(bare) == 8 and all(letter in _ALPHABET for letter in bare)


def spoken(envelope: Envelope, known: str = "") -> str:
    """The language to answer a message in; `known` is that of its sender, where it is known."""
    if any("\u4e00" <= letter <= "\u9fff" for letter in envelope.message.text[:500]):
        return "zh"
    return envelope.locale or known or "en"


def _check(role: str) -> None:
    if role not in get_args(Role) or role == "owner":
        raise Invalid("this role cannot be given", faults=(Fault("role", "has to be one of admin, member, guest"),))


def _request(key: str, record: Mapping[str, Any]) -> Request:
    told = (str(record[part]) for part in ("channel", "account", "sender", "name"))
    return Request(key[:12], *told, at=float(record["at"]), until=float(record["until"]))


def _face(record: Mapping[str, Any]) -> Face:
    told = (str(record[part]) for part in ("id", "channel", "account", "sender", "name"))
    return Face(*told, role=cast("Role", record["role"]), at=float(record["at"]))
