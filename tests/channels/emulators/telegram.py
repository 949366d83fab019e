"""Telegram's Bot API as its documentation says it is (core.telegram.org/bots/api), on loopback, misbehaving on demand.

Kept to: one asker for updates at a time (409), updates come again until a higher ``offset`` is asked for, 4,096 UTF-16
units of text after entities, ``retry_after`` with 429, a webhook excludes ``getUpdates``, files of at most 20 MB.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

from aiohttp import web

from tests.channels.emulators.site import listening

TOKEN = "42:TEST"
BOT = {"id": 42, "is_bot": True, "first_name": "Kith", "username": "kith_test_bot"}
TAGS = {"b", "i", "u", "s", "a", "code", "pre", "blockquote"}


class _Visible(HTMLParser):
    """What is left of the HTML when it is shown; unknown or crossed tags are an error, as in Telegram."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.open = "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise ValueError(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


class Telegram:
    """`said` are the messages of the bot, `trouble` the answers to the next calls: a status, or ``drop``/``lose``."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []
        self.actions: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.trouble: dict[str, list[int | str]] = {}
        self.hooked: dict[str, str] = {}
        self.chance: random.Random | None = None  # gives updates in an order of its own
        self.token = TOKEN
        self.asked: list[int] = []
        self._news = asyncio.Event()
        self._asking = 0
        self._number = 100
        self.url = ""

    def hear(self, text: str, *, chat: int = 7, number: int = 0, **more: Any) -> int:
        """Somebody writes; the message's number."""
        self._number += 1
        number = number or self._number
        user = {"id": chat, "is_bot": False, "first_name": "Ann", "language_code": "en"}
        message = {
            "message_id": number, "date": 1, "chat": {"id": chat, "type": "private"}, "from": user, "text": text, **more
        }  # fmt: skip
        self.updates.append({"update_id": 10_000 + self._number, "message": message})
        self._news.set()
        return number

    async def call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != self.token:
            return _no(401, "Unauthorized")
        form: dict[str, Any] = dict(await request.post())
        trouble = self.trouble.get(method, [])
        now = trouble.pop(0) if trouble else 0
        if now == "drop":
            assert request.transport is not None
            request.transport.abort()
        if now == 429:
            return _no(429, "Too Many Requests: retry after 7", retry_after=7)
        if isinstance(now, int) and now:
            return _no(now, "Internal Server Error" if now >= 500 else "Forbidden: bot was blocked by the user")
        answer = await self._do(method, form)
        if now == "lose":  # done, but nobody learns of it
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def _do(self, method: str, form: dict[str, Any]) -> web.StreamResponse:
        match method:
            case "getMe":
                return _yes(BOT)
            case "deleteWebhook":
                self.hooked = {}
                return _yes(True)
            case "setWebhook":
                self.hooked = form
                return _yes(True)
            case "getUpdates":
                return await self._get(int(form.get("offset", 0)), int(form.get("timeout", 0)))
            case "sendMessage":
                return self._say(form)
            case "sendPhoto" | "sendDocument" | "sendAudio":
                file = next(value for value in form.values() if isinstance(value, web.FileField))
                data = file.file.read()
                file.file.close()
                return self._keep({**form, "file": data})
            case "sendChatAction":
                self.actions.append(form)
                return _yes(True)
            case "getFile":
                if form["file_id"] not in self.files:
                    return _no(400, "Bad Request: wrong file_id")
                return _yes({"file_id": form["file_id"], "file_path": f"photos/{form['file_id']}.jpg"})
            case _:
                return _no(404, "Not Found")

    async def _get(self, offset: int, seconds: int) -> web.StreamResponse:
        if self.hooked:
            return _no(409, "Conflict: can't use getUpdates method while webhook is active")
        if self._asking:
            return _no(409, "Conflict: terminated by other getUpdates request")
        self.asked.append(offset)
        self.updates = [one for one in self.updates if one["update_id"] >= offset]
        self._asking += 1
        try:
            async with asyncio.timeout(seconds):
                while not self.updates:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._asking -= 1
        found = self.updates[:100]
        return _yes(self.chance.sample(found, len(found)) if self.chance else found)

    def _say(self, form: dict[str, Any]) -> web.StreamResponse:
        seen = _Visible()
        try:
            seen.feed(form["text"])
            seen.close()
        except ValueError:
            return _no(400, "Bad Request: can't parse entities")
        if seen.open:
            return _no(400, "Bad Request: can't parse entities")
        if not seen.text.strip():
            return _no(400, "Bad Request: message text is empty")
        if len(seen.text.encode("utf-16-le")) // 2 > 4096:
            return _no(400, "Bad Request: message is too long")
        return self._keep({**form, "seen": seen.text})

    def _keep(self, form: dict[str, Any]) -> web.StreamResponse:
        self._number += 1
        if "reply_parameters" in form:
            form["reply_parameters"] = json.loads(form["reply_parameters"])
        self.said.append(form)
        return _yes({"message_id": self._number, "date": 1, "chat": {"id": form["chat_id"]}})

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"].rpartition("/")[2].removesuffix(".jpg")
        return web.Response(body=self.files[name]) if name in self.files else web.Response(status=404)


def _yes(result: Any) -> web.StreamResponse:
    return web.json_response({"ok": True, "result": result})


def _no(status: int, description: str, **parameters: Any) -> web.StreamResponse:
    told = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    return web.json_response(told, status=status)


@asynccontextmanager
async def telegram() -> Any:
    """A Telegram of one's own."""
    found = Telegram()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/bot{token}/{method}", found.call)
    app.router.add_get("/file/bot{token}/{path:.+}", found.file)
    async with listening(app) as found.url:
        yield found
