"""Discord's Gateway and REST API (v10) on loopback, misbehaving on demand.

Written from the pages "Gateway", "Gateway Events", "Opcodes and Status Codes", "Rate Limits", "Messages Resource",
"Users Resource" and "Uploading Files" of docs.discord.com. Kept to: hello, identify, heartbeats and their answers;
a session is taken up again with its name and the last number heard, and all later events come again (close code 4007
for a number that never was, op 9 for a session that is gone); payloads over 4,096 bytes end the connection (4002),
wrong tokens (4004) and intents that are not allowed (4014) too; 2,000 characters; 5 messages in 5 s to a channel
where `rate` is on; a message with a known ``nonce`` is not made again; one's own messages are heard, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.channels.emulators.gateway import Gateway, Session
from tests.channels.emulators.site import listening

TOKEN, PEER = "MTk4NjIy.Cl2FMQ.kith", "MTk4NjIz.Cl2FMQ.peer"
KITH = {"id": "80351110224678912", "username": "Kith", "discriminator": "0", "avatar": None, "bot": True}
OTHER = {"id": "80351110224678913", "username": "Other", "discriminator": "0", "avatar": None, "bot": True}
ANN = {"id": "53908099506183680", "username": "ann", "global_name": "Ann", "discriminator": "0", "avatar": None}
ROLE = "165511591545143296"
GUILD = "290926798626357250"
CONTENT = 1 << 15


class Discord(Gateway):
    """`said` are the messages made over the API; `trouble` holds what the next posts meet: a status, ``drop``,
    ``lose`` (made, but the answer is lost)."""

    largest = 4096

    def __init__(self) -> None:
        super().__init__()
        self.users = {TOKEN: KITH, PEER: OTHER}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.said: list[dict[str, Any]] = []
        self.typed: list[str] = []
        self.trouble: list[int | str] = []
        self.forbidden = 0
        self.rate = False
        self._nonces: dict[tuple[str, str], dict[str, Any]] = {}
        self._sent: dict[str, list[float]] = {}
        self._count = itertools.count(1)

    def number(self) -> str:
        """A snowflake."""
        return str((int(time.time() * 1000) - 1_420_070_400_000 << 22) + next(self._count))

    async def hear(self, text: str, *, channel: str = "7", user: dict[str, Any] = ANN, **more: Any) -> dict[str, Any]:
        """Somebody writes, and everybody is told; the message."""
        message = self.write(text, channel=channel, user=user, **more)
        await self.dispatch("MESSAGE_CREATE", message)
        return message

    def write(self, text: str, *, channel: str = "7", user: dict[str, Any] = ANN, **more: Any) -> dict[str, Any]:
        """A message stands in a channel's history."""
        message = {
            "id": self.number(), "channel_id": channel, "author": user, "content": text, "type": 0, "flags": 0,
            "timestamp": "2024-01-01T00:00:00.000000+00:00", "edited_timestamp": None, "tts": False, "pinned": False,
            "mention_everyone": False, "mentions": [], "mention_roles": [], "attachments": [], "embeds": [],
            "components": [], **more,
        }  # fmt: skip
        self.history.setdefault(channel, []).append(message)
        return message

    def admit(self, body: dict[str, Any]) -> int:
        return 4004 if body["token"] not in self.users else 4014 if body["intents"] & self.forbidden else 0

    def owner(self, body: dict[str, Any]) -> dict[str, Any]:
        return self.users[body["token"]]

    def ready(self, session: Session) -> dict[str, Any]:
        user = session.user
        return {
            "v": 10, "user": user, "guilds": [], "session_id": session.name, "resume_gateway_url": self.gateway,
            "application": {"id": user["id"], "flags": 0}, "session_type": "normal", "private_channels": [],
        }  # fmt: skip

    @web.middleware
    async def known(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/api/"):
            shown = request.headers.get("Authorization", "")
            if shown.removeprefix("Bot ") not in self.users or not request.headers["User-Agent"].startswith(
                "DiscordBot"
            ):
                return _no(401, 0, "401: Unauthorized")
        return await handler(request)

    def _who(self, request: web.Request) -> dict[str, Any]:
        return self.users[request.headers["Authorization"].removeprefix("Bot ")]

    async def me(self, request: web.Request) -> web.StreamResponse:
        return _json(self._who(request))

    async def application(self, request: web.Request) -> web.StreamResponse:
        user = self._who(request)
        about = {"id": user["id"], "name": user["username"], "description": "", "icon": None, "owner": ANN}
        return _json({**about, "bot_public": False, "bot_require_code_grant": False, "verify_key": ""})

    async def bot(self, _: web.Request) -> web.StreamResponse:
        return _json(self.limits())

    async def roles(self, _: web.Request) -> web.StreamResponse:
        return _json([{"id": GUILD, "name": "@everyone"}, {"id": ROLE, "tags": {"bot_id": KITH["id"]}}])

    async def typing(self, request: web.Request) -> web.StreamResponse:
        self.typed.append(request.match_info["channel"])
        return web.Response(status=204)

    async def read(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query["after"]), min(int(request.query["limit"]), 100)
        if request.match_info["channel"] not in self.history:
            return _no(403, 50001, "Missing Access")
        later = [one for one in self.history[request.match_info["channel"]] if int(one["id"]) > after]
        return _json(list(reversed(later[:limit])))

    async def create(self, request: web.Request) -> web.StreamResponse:
        now = self.trouble.pop(0) if self.trouble else 0
        assert request.transport is not None
        if now == "drop":
            request.transport.abort()
        if isinstance(now, int) and now:
            return _trouble(now)
        channel, files = request.match_info["channel"], dict[str, bytes]()
        if request.content_type == "multipart/form-data":
            form = await request.post()
            body = json.loads(str(form["payload_json"]))
            for value in form.values():
                if isinstance(value, web.FileField):
                    files[value.filename] = value.file.read()
                    value.file.close()
        else:
            body = await request.json()
        if (wait := self._wait(channel)) > 0:
            return _trouble(429, wait)
        answer = await self._make(self._who(request), channel, body, files)
        if now == "lose":
            request.transport.abort()
        return answer

    def _wait(self, channel: str) -> float:
        now, sent = time.monotonic(), self._sent.setdefault(channel, [])
        sent[:] = [at for at in sent if at > now - 5]
        if self.rate and len(sent) >= 5:
            return sent[0] + 5 - now
        sent.append(now)
        return 0.0

    async def _make(
        self, user: dict[str, Any], channel: str, body: dict[str, Any], files: dict[str, bytes]
    ) -> web.StreamResponse:
        text = body.get("content") or ""
        if len(text) > 2000 or len(str(body.get("nonce") or "")) > 25:
            return _no(400, 50035, "Invalid Form Body")
        if not text and not files:
            return _no(400, 50006, "Cannot send an empty message")
        if channel == "404":
            return _no(404, 10003, "Unknown Channel")
        key = user["id"], str(body.get("nonce"))
        if body.get("enforce_nonce") and key in self._nonces:
            return _json(self._nonces[key])
        entry = {**body, "channel": channel, "files": files, "user": user["id"]}
        self.said.append(entry)
        more: dict[str, Any] = {key: body[key] for key in ("message_reference", "nonce") if body.get(key) is not None}
        if body.get("message_reference"):
            wanted = str(body["message_reference"]["message_id"])  # a snowflake may also be given as a number
            found = next((one for one in self.history.get(channel, ()) if one["id"] == wanted), None)
            more |= {"type": 19, "referenced_message": found}
        more["attachments"] = [self.keep(name, data) for name, data in files.items()]
        message = self.write(text, channel=channel, user=user, **more)
        entry["id"] = message["id"]
        if body.get("enforce_nonce"):  # from now on, however soon it is asked again and whatever becomes of this call
            self._nonces[key] = message
        with contextlib.suppress(ConnectionError):  # a listener that is gone is no fault of who writes
            await self.dispatch("MESSAGE_CREATE", message)
        return _json(message)

    def keep(self, name: str, data: bytes, mime: str = "application/octet-stream") -> dict[str, Any]:
        """A file on the CDN, as an attachment."""
        number = self.number()
        self.files[f"/attachments/7/{number}/{name}"] = data
        url = f"{self.url}/attachments/7/{number}/{name}"
        return {"id": number, "filename": name, "size": len(data), "content_type": mime, "url": url, "proxy_url": url}

    async def change(self, request: web.Request) -> web.StreamResponse:
        channel, number = request.match_info["channel"], request.match_info["message"]
        message = next((one for one in self.history.get(channel, ()) if one["id"] == number), None)
        if message is None:
            return _no(404, 10008, "Unknown Message")
        if message["author"]["id"] != self._who(request)["id"]:
            return _no(403, 50005, "Cannot edit a message authored by another user")
        body = await request.json()
        if len(body["content"]) > 2000:
            return _no(400, 50035, "Invalid Form Body")
        message |= {"content": body["content"], "edited_timestamp": "2024-01-01T00:00:01.000000+00:00"}
        await self.dispatch("MESSAGE_UPDATE", message)
        return _json(message)

    async def file(self, request: web.Request) -> web.StreamResponse:
        data = self.files.get(request.path)
        return web.Response(body=data) if data is not None else web.Response(status=404)


def _json(told: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.StreamResponse:
    """As Discord answers: the type without a character set, which discord.py wants so."""
    body = json.dumps(told).encode()
    return web.Response(body=body, status=status, headers={"Content-Type": "application/json", **(headers or {})})


def _no(status: int, code: int, text: str) -> web.StreamResponse:
    return _json({"code": code, "message": text}, status=status)


def _trouble(status: int, wait: float = 7.0) -> web.StreamResponse:
    if status == 429:
        told = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
        return _json(told, status=429, headers={"Retry-After": str(int(wait))})
    if status >= 500:
        return web.Response(status=status, text="<html>upstream connect error</html>")
    return _no(status, 50013, "Missing Permissions")


@asynccontextmanager
async def discord() -> Any:
    """A Discord of one's own."""
    found = Discord()
    app = web.Application(client_max_size=32 * 1024 * 1024, middlewares=[found.known])
    app.router.add_get("/api/v10/users/@me", found.me)
    app.router.add_get("/api/v10/oauth2/applications/@me", found.application)
    app.router.add_get("/api/v10/gateway/bot", found.bot)
    app.router.add_get("/api/v10/guilds/{guild}/roles", found.roles)
    app.router.add_post("/api/v10/channels/{channel}/typing", found.typing)
    app.router.add_get("/api/v10/channels/{channel}/messages", found.read)
    app.router.add_post("/api/v10/channels/{channel}/messages", found.create)
    app.router.add_patch("/api/v10/channels/{channel}/messages/{message}", found.change)
    app.router.add_get("/attachments/{path:.+}", found.file)
    app.router.add_get("/", found.link)
    async with listening(app) as found.url:
        found.gateway = f"ws{found.url[4:]}"
        try:
            yield found
        finally:
            await asyncio.gather(*(one.socket.close() for one in found.sessions.values() if one.socket is not None))
