"""Channels as an administrator sees them, who may come in through them, and the door for platforms that call us."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, cast

import msgspec
from litestar import delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.audit import Act
from kith.core.channel import Hook, HookReply
from kith.core.errors import Fault, Invalid, NotFound, Unavailable
from kith.gateway.access import ROLES
from kith.gateway.acting import acting
from kith.gateway.body import Call, read_body, read_json
from kith.gateway.ports import Channels, GatewayPorts, Preferences
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole
from kith.gateway.tongue import refusing, tongue
from kith.runtime.edits import MASK, masked
from kith.runtime.meanings import explained

_HOOK_BODY = 1024 * 1024
_ACTIONS = ("start", "stop", "restart", "test")


class PairBody(msgspec.Struct, frozen=True):
    """What somebody who is let in may do."""

    role: Literal["admin", "member", "guest"] = "member"


class ChangesBody(msgspec.Struct, frozen=True):
    """What is to be different; null takes a key out, and what is left out or masked stays."""

    changes: dict[str, Any]


class ScanBody(msgspec.Struct, frozen=True):
    """The digits that the phone shows, where they are wanted."""

    code: str = ""


class Platforms:
    """The routes ``/api/channels``, ``/api/pairing`` and ``/hooks``."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        one = {"answer": "Channel", "role": "admin"}
        seen = {"answer": "Channels", "query": ("locale",), "role": "admin"}
        done = {"answer": "Decision", "role": "admin"}
        offer = {"answer": "PairingCode", "body": PairBody, "status": 201, "role": "admin"}
        given = {"answer": "ChannelSettings", "role": "admin"}
        hook = {"answer": "Hook", "open": True, "closed": True}
        step = {"answer": "Scan", "body": ScanBody, "role": "admin"}
        return (
            get("/api/channels", opt=seen)(self.channels),
            put("/api/channels/{channel:str}", opt=one)(self.configure),
            get("/api/channels/{channel:str}/kept", opt={"answer": "KeptCalls", "role": "admin"})(self.kept),
            get("/api/channels/{channel:str}/settings", opt=given)(self.given),
            put("/api/channels/{channel:str}/settings", opt={"body": ChangesBody, **one})(self.amend),
            delete("/api/channels/{channel:str}", status_code=200, opt=done)(self.remove),
            post("/api/channels/{channel:str}/{action:str}", opt=one)(self.command),
            post("/api/channels/{channel:str}/scan", opt={"answer": "Scan", "status": 201, "role": "admin"})(self.scan),
            post("/api/channels/{channel:str}/scan/{scan:str}", opt=step)(self.scanned),
            get("/api/pairing", opt={"answer": "Pairing", "role": "admin"})(self.pairing),
            post("/api/pairing", opt=offer)(self.offer),
            post("/api/pairing/{code:str}/approve", opt={"body": PairBody, **done})(self.approve),
            post("/api/pairing/{code:str}/refuse", opt=done)(self.refuse),
            delete("/api/pairing/{face:str}", status_code=200, opt=done)(self.shut),
            get("/hooks/{channel:str}/{account:str}", opt=hook)(self.hook),
            post("/hooks/{channel:str}/{account:str}", opt=hook)(self.hooked),
        )

    @property
    def _channels(self) -> Channels:
        if self._ports.channels is None:
            raise Unavailable("this server runs no channels")
        return self._ports.channels

    async def channels(self, request: Call) -> ASGIApp:
        """Every channel there is: whether it is on, how it is, what it can do, and the schema of its settings.

        The schemas' descriptions are in the language of `locale`, else of ``Accept-Language``, else English.
        """
        locale = tongue(request)

        async def work() -> tuple[int, Any]:
            rows = self._channels.describe()
            return 200, {"channels": await asyncio.to_thread(lambda: [_told(row, locale) for row in rows])}

        return Whole(work)

    async def configure(self, request: Call, channel: FromPath[str]) -> ASGIApp:
        """Give a channel its settings (the body, a JSON object): checked, written to kith.yaml, and started.

        Secrets are kept encrypted in the database and stand in the file by their names only; one that is left out
        stays the one it was.
        """
        settings = _mapping(await read_body(request, self._settings))

        async def work() -> tuple[int, Any]:
            with refusing(request):
                written = await self._channels.conceal(channel, settings, tongue(request))
                await self._write(request, channel, written)
                return 200, await self._channels.configure(channel, written)

        return Whole(work)

    async def given(self, channel: FromPath[str]) -> ASGIApp:
        """A channel's settings as they stand in kith.yaml; of a secret only whether there is one."""

        async def work() -> tuple[int, Any]:
            schema = self._channels.about(channel).get("schema", {})
            written = await asyncio.to_thread(self._preferences().section, f"channels.{channel}")
            return 200, {"channel": channel, "settings": _veiled(written, schema)}

        return Whole(work)

    async def amend(self, request: Call, channel: FromPath[str]) -> ASGIApp:
        """Change some of a channel's settings: checked with the rest, written to kith.yaml key by key, and started."""
        body = await read_json(request, ChangesBody, self._settings)

        async def work() -> tuple[int, Any]:
            schema, place = self._channels.about(channel).get("schema", {}), f"channels.{channel}"
            old = await asyncio.to_thread(self._preferences().section, place)
            with refusing(request):
                new = await self._channels.conceal(channel, _amended(old, body.changes, schema), tongue(request))
                differs = {f"{place}.{key}": new.get(key) for key in {*old, *new} if old.get(key) != new.get(key)}
                await self._preferences().change(differs, acting(request))
                return 200, await self._channels.configure(channel, new)

        return Whole(work)

    async def remove(self, request: Call, channel: FromPath[str]) -> ASGIApp:
        """Take a channel out of the settings, and disconnect it."""

        async def work() -> tuple[int, Any]:
            self._channels.about(channel)
            await self._write(request, channel, None)
            await self._channels.configure(channel, None)
            return 200, {"id": channel, "done": "remove"}

        return Whole(work)

    async def kept(self, request: Call, channel: FromPath[str]) -> ASGIApp:
        """Calls of a platform that were not understood, for a day. What is read here is written down."""

        async def work() -> tuple[int, Any]:
            rows = await self._channels.kept(channel)
            by = acting(request)
            detail = {"calls": str(len(rows))}
            await self._ports.journal.act(Act("channel.kept", by.actor, channel, by.origin, detail=detail))
            return 200, {"channel": channel, "calls": [_shown(row) for row in rows]}

        return Whole(work)

    async def command(self, request: Call, channel: FromPath[str], action: FromPath[str]) -> ASGIApp:
        """`start`, `stop` or `restart` a channel until the next start of Kith; `test` whether it is connected."""

        async def work() -> tuple[int, Any]:
            if action not in _ACTIONS:
                raise NotFound(f"a channel can be told to {', '.join(_ACTIONS)}")
            by = acting(request)
            self._channels.about(channel)
            if action != "test":
                await self._ports.journal.act(Act(f"channel.{action}", by.actor, channel, by.origin))
            return 200, await self._channels.command(channel, action)

        return Whole(work)

    async def scan(self, request: Call, channel: FromPath[str]) -> ASGIApp:
        """Begin to set a channel up by a QR code, with the settings that are known (the body, a JSON object): the code
        as text and as SVG, and the name with which to ask how far it is."""
        given = _mapping(await read_body(request, self._settings))

        async def work() -> tuple[int, Any]:
            self._preferences()
            return 201, await self._channels.scan(channel, given)

        return Whole(work)

    async def scanned(self, request: Call, channel: FromPath[str], scan: FromPath[str]) -> ASGIApp:
        """How far the scan is: waits for up to 40 s for something to happen. Once it is ``done``, the settings that
        came of it have been written to kith.yaml and the channel is started."""
        empty = request.headers.get("content-length", "0") == "0"
        body = ScanBody() if empty else await read_json(request, ScanBody, self._settings)

        async def work() -> tuple[int, Any]:
            told, settings = await self._channels.scanned(channel, scan, body.code[:32])
            if settings:
                written = await self._channels.conceal(channel, settings)
                await self._write(request, channel, written)
                await self._channels.configure(channel, written)
            return 200, told

        return Whole(work)

    def _preferences(self) -> Preferences:
        if self._ports.preferences is None:
            raise Unavailable("this server cannot change its settings file")
        return self._ports.preferences

    async def _write(self, request: Call, name: str, settings: Mapping[str, Any] | None) -> None:
        """Into the settings file, where the house has one that can be changed."""
        await self._preferences().change({f"channels.{name}": settings}, acting(request))

    async def pairing(self) -> ASGIApp:
        """Strangers who wait to be let in, and everybody who was."""
        pairing = self._ports.accounts.pairing

        async def work() -> tuple[int, Any]:
            waiting, faces = await pairing.waiting(), await pairing.faces()
            return 200, {"waiting": [asdict(one) for one in waiting], "faces": [asdict(one) for one in faces]}

        return Whole(work)

    async def offer(self, request: Call) -> ASGIApp:
        """A code that lets in whoever sends it to the bot within ten minutes."""
        body = await self._role(request)

        async def work() -> tuple[int, Any]:
            code, expires = await self._ports.accounts.pairing.offer(body.role, acting(request))
            return 201, {"code": code, "expires": expires}

        return Whole(work)

    async def approve(self, request: Call, code: FromPath[str]) -> ASGIApp:
        """Let in whoever was told this code, or has the waiting request of this id."""
        body = await self._role(request)

        async def work() -> tuple[int, Any]:
            return 200, asdict(await self._ports.accounts.pairing.approve(code, body.role, acting(request)))

        return Whole(work)

    async def refuse(self, request: Call, code: FromPath[str]) -> ASGIApp:
        """Forget a waiting request."""

        async def work() -> tuple[int, Any]:
            await self._ports.accounts.pairing.refuse(code, acting(request))
            return 200, {"id": code, "done": "refuse"}

        return Whole(work)

    async def shut(self, request: Call, face: FromPath[str]) -> ASGIApp:
        """Shut somebody out again."""

        async def work() -> tuple[int, Any]:
            await self._ports.accounts.pairing.remove(face, acting(request))
            return 200, {"id": face, "done": "remove"}

        return Whole(work)

    async def _role(self, request: Call) -> PairBody:
        """The role that is given: an empty body means a member's. Nobody gives more than they have."""
        empty = request.headers.get("content-length", "0") == "0"
        body = PairBody() if empty else await read_json(request, PairBody, self._settings)
        if ROLES.index(body.role) > ROLES.index(request.user.role) or (body.role, request.user.role) == ("admin",) * 2:
            raise Invalid("nobody gives a role that is not below their own", code="role_too_high")
        return body

    async def hook(self, request: Call, channel: FromPath[str], account: FromPath[str]) -> ASGIApp:
        """A platform's question whether this address is ours."""
        return await self._hook(request, channel, account)

    async def hooked(self, request: Call, channel: FromPath[str], account: FromPath[str]) -> ASGIApp:
        """A platform's message; the channel checks its signature before it believes a word."""
        return await self._hook(request, channel, account)

    async def _hook(self, request: Call, channel: str, account: str) -> ASGIApp:
        body = await read_body(request, self._settings) if request.method == "POST" else b""
        if len(body) > _HOOK_BODY:
            raise Invalid("the body of a call is larger than 1 MiB", code="hook_too_large")
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = {name: str(value) for name, value in request.query_params.items()}
        if self._ports.channels is None:
            raise NotFound("no channel takes calls at this address")
        reply = await self._ports.channels.hook(channel, account, Hook(request.method, "", query, headers, body))
        return _Answer(reply)


class _Answer:
    """An ASGI application that answers a platform in its own way."""

    def __init__(self, reply: HookReply) -> None:
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        reply = self._reply
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
        headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": False})


def _told(row: Mapping[str, Any], locale: str) -> dict[str, Any]:
    """A channel whose settings are explained in a language."""
    about = {"schema": explained(row["schema"], locale, str(row.get("name", "")))} if "schema" in row else {}
    return {**row, **about}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A call that was laid aside; `text` is its body where that is text."""
    body = base64.b64decode(str(row.get("body", "")))
    return {**row, "size": len(body), "text": body.decode("utf-8", "replace").replace("\x00", "\ufffd")}


def _mapping(raw: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("the body is not JSON", code="not_json") from None
    if not isinstance(value, dict):
        raise Invalid("the settings of a channel are a JSON object", code="invalid_request")
    return cast("Mapping[str, Any]", value)


def _secrets(schema: Mapping[str, Any]) -> set[str]:
    """The settings that are declared to be secrets, or are called so."""
    found: set[str] = set()
    for name, about in cast("Mapping[str, Mapping[str, Any]]", schema.get("properties", {})).items():
        ways = cast("list[Mapping[str, Any]]", [about, *about.get("anyOf", ())])
        if any(one.get("writeOnly") or one.get("format") == "password" for one in ways):
            found.add(name)
    return found


def _veiled(written: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they may be shown: no secret, and nothing that a form could not give back."""
    secret = _secrets(schema)

    def one(name: str, value: Any) -> Any:
        deep = isinstance(value, Mapping) or (isinstance(value, list) and not _texts(cast("list[Any]", value)))
        return MASK if deep or (name in secret and value not in ("", None)) else masked(value, None, name)

    return {name: one(name, value) for name, value in written.items()}


def _texts(value: list[Any]) -> bool:
    return all(isinstance(item, str) for item in value)


def _amended(old: Mapping[str, Any], changes: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the changes. A secret that is taken out is empty, for one that is left out would stay.

    Raises `Invalid` for a mask within a list: which of the old values it stands for cannot be known.
    """
    new, secret = dict(old), _secrets(schema)
    for name, value in changes.items():
        if value == MASK:
            continue
        if isinstance(value, list) and MASK in value:
            raise Invalid("the request is not valid", faults=(Fault(name, "holds a value that is hidden"),))
        new.pop(name, None)
        if value is not None or name in secret:
            new[name] = "" if value is None else value
    return new
