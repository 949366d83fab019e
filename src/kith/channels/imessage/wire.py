"""Calls of the BlueBubbles server's REST API, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx

from kith.channels.imessage.render import failed
from kith.channels.imessage.settings import ImessageSettings
from kith.channels.kit import decoded_fields, gathered, inner, reaching, rows, seconds_of, word
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable

PAGE = 1000  # the most that the server gives at once
_ABSENT = 22  # iMessage's error for somebody who does not have it
_WITH = ["chat", "attachment", "attributedBody"]


class Wire:
    """One server's calls. All of them raise `Unavailable`, `Refused` and `Invalid`; see `judge`."""

    def __init__(self, settings: ImessageSettings, client: httpx.AsyncClient) -> None:
        self._client, self._base = client, f"{settings.server.rstrip('/')}/api/v1"
        password = settings.password.get_secret_value()
        self._query = {"password": password} if settings.auth == "query" else {}
        self._headers = {"authorization": f"Bearer {password}"} if settings.auth == "header" else {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ping(self) -> None:
        """Whether the server is there."""
        await self._ask("GET", "/ping")

    async def about(self) -> Mapping[str, Any]:
        """What the server says of itself."""
        return inner(await self._ask("GET", "/server/info"), "data")

    async def messages(self, after: int, offset: int = 0, chat: str = "") -> Sequence[Mapping[str, Any]]:
        """A page of the messages that were made since the instant `after` (in milliseconds), oldest first."""
        wanted: dict[str, Any] = {"after": after, "offset": offset, "limit": PAGE, "sort": "ASC", "with": _WITH}
        if chat:
            wanted["chatGuid"] = chat
        return rows(await self._ask("POST", "/message/query", json=wanted), "data", PAGE)

    async def text(self, body: Mapping[str, Any]) -> str:
        """Send a text; the message's id."""
        return word(inner(await self._ask("POST", "/message/text", json=body), "data"), "guid")[:128]

    async def file(self, form: Mapping[str, str], data: bytes, mime: str) -> str:
        """Send a file; the message's id."""
        files = {"attachment": (form["name"], data, mime)}
        return word(inner(await self._ask("POST", "/message/attachment", data=form, files=files), "data"), "guid")[:128]

    async def fetch(self, name: str, most: int) -> tuple[bytes, str]:
        """The bytes of a file that somebody sent, and their type where the server says it. Raises `Invalid` for one
        that is larger than `most` (code ``too_large``), `NotFound` for one that the server does not have (yet)."""
        url = f"{self._base}/attachment/{quote(name, safe='')}/download"
        try:
            async with self._client.stream("GET", url, params=self._query, headers=self._headers) as answer:
                if not answer.is_success:
                    await answer.aread()
                    if answer.status_code in (404, 500):
                        raise NotFound("the server does not have this file", code="blob_gone")
                    raise judge(answer, decoded_fields(answer.content))
                data = await gathered(answer, most)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unavailable(f"a file could not be fetched ({type(error).__name__})", retry_after=2.0) from None
        return data, answer.headers.get("content-type", "").partition(";")[0].strip()[:100]

    async def write(self, chat: str) -> None:
        """Mark a chat as read, and show that we write in it (Private API)."""
        await self._ask("POST", f"/chat/{quote(chat, safe='')}/read")
        await self._ask("POST", f"/chat/{quote(chat, safe='')}/typing")

    async def enlist(self, url: str, secret: str, events: Sequence[str]) -> None:
        """Have `url` called with `secret` in its query for `events`, and no other secret of ours."""
        whole, known = f"{url}?secret={quote(secret, safe='')}", False
        for one in rows(await self._ask("GET", "/webhook"), "data"):
            listed: Any = one.get("events")
            if word(one, "url") == whole and isinstance(listed, list) and set(events) <= set(cast("list[Any]", listed)):
                known = True
            elif word(one, "url").partition("?")[0] == url:
                await self._ask("DELETE", f"/webhook/{one.get('id')}")
        if not known:
            await self._ask("POST", "/webhook", json={"url": whole, "events": list(events)})

    async def _ask(self, method: str, path: str, **more: Any) -> Mapping[str, Any]:
        with reaching("the BlueBubbles server"):
            answer = await self._client.request(
                method, self._base + path, params=self._query, headers=self._headers, **more
            )
        told = decoded_fields(answer.content)
        if answer.is_success and told:
            return told
        raise judge(answer, told)


def judge(answer: httpx.Response, told: Mapping[str, Any]) -> KithError:
    """What an answer means: `Refused` where somebody has to do something, `Unavailable` where waiting helps, `Invalid`
    where nothing does."""
    status, why = answer.status_code, word(inner(told, "error"), "message")[:200]
    after = seconds_of(answer.headers.get("retry-after", ""), 0.0)
    if status in (401, 403):
        return Refused(
            f"the BlueBubbles server does not take our password ({status}): put the one of its settings into "
            "channels.imessage.password",
            code="unauthenticated",
            hint="BlueBubbles on the Mac: Settings, Connection, Password",
        )
    if (number := failed(inner(told, "data"))) == _ABSENT:
        return Invalid("this person is not on iMessage (22)", code="not_wanted")
    if number:
        return Unavailable(f"iMessage could not send it ({number})", retry_after=max(after, 30.0))
    if status == 400 and "already queued" in why:  # an earlier try of ours is still being sent
        return Unavailable("the BlueBubbles server is still sending this", retry_after=5.0)
    if answer.is_success or status in (408, 425, 429) or status >= 500:
        reason = f"the BlueBubbles server does not answer as it should ({status}) {why}".rstrip()
        return Unavailable(reason, retry_after=max(after, 2.0))
    return Invalid(f"the BlueBubbles server does not want this ({status}): {why}", code="not_wanted")
