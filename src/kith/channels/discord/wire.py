"""Calls of Discord's REST API; its errors as Kith's."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from kith.channels.discord.settings import DiscordSettings
from kith.channels.kit import Kit, answered, download_again, gateway, inner, reaching, seconds_of
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable

_INTENTS = 1 << 0 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 15  # guilds, messages, reactions, texts
_LOOK = "look at channels.discord.token; the Developer Portal makes a new one"


class Wire:
    """One bot's client."""

    def __init__(self, settings: DiscordSettings, kit: Kit) -> None:
        self._settings, self._clock = settings, kit.clock
        self._base = settings.api.rstrip("/")
        self._token = settings.token.get_secret_value()
        if not self._token or not self._token.isascii() or not self._token.isprintable():
            raise Refused("this is no token of a Discord bot", hint=_LOOK)
        self._client = kit.http(timeout=15.0)
        self._files = kit.http(timeout=30.0)
        try:  # Discord wants an address here; the name is one that stands for none (RFC 2606)
            self._agent = f"DiscordBot (https://kith.invalid, {version('kith')})"
        except PackageNotFoundError:
            self._agent = "DiscordBot (https://kith.invalid, 0)"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._files.aclose()

    async def token(self) -> str:
        """What the Gateway wants to see."""
        return self._token

    async def identify(self) -> Mapping[str, Any]:
        """Who we are, for the Gateway."""
        about = {"os": "linux", "browser": "kith", "device": "kith"}
        return {"token": self._token, "intents": _INTENTS, "properties": about}

    async def gateway(self) -> str:
        """The Gateway's address. Raises as `call`, `Unavailable` when no session may be begun today any more."""
        url = gateway(await self.call("GET", "/gateway/bot"), "Discord")
        return f"{url.rstrip('/')}/?v=10&encoding=json"

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, file: tuple[str, bytes, str] | None = None
    ) -> Any:
        """What the API answers, as JSON says it. `file` is a name, bytes and a type. Raises `Unavailable`, `Refused`,
        `NotFound`, `Invalid`; see `judge`."""
        headers = {"authorization": f"Bot {self._token}", "user-agent": self._agent}
        sent: dict[str, Any] = {}
        if file is not None:
            sent = {"data": {"payload_json": msgspec.json.encode(body or {}).decode()}, "files": {"files[0]": file}}
        elif body is not None:
            headers["content-type"] = "application/json"
            sent = {"content": msgspec.json.encode(body)}
        with reaching("Discord", 1.0):
            answer = await self._client.request(method, f"{self._base}{path}", headers=headers, **sent)
        told = answered(answer, "Discord")
        if not answer.is_success:
            raise judge(answer.status_code, inner({"told": told}, "told"), answer.headers.get("retry-after", ""))
        return told

    async def fetch(self, url: str, most: int) -> tuple[bytes, str]:
        """The bytes of an attached file and their type. Raises `Invalid` for one that is too big, lies elsewhere, or
        is not to be had when asked for twice: the rest of its message is still heard."""
        if not url.startswith(f"{self._settings.cdn}/"):
            raise Invalid("the file does not lie where Discord keeps its files", code="not_wanted")
        return await download_again(self._files, self._clock, url, most)  # without our token: the address is signed


def judge(status: int, told: Mapping[str, Any], header: str = "") -> KithError:
    """What a refusal means: `Unavailable` where waiting helps, `Refused` for the token or the place, `NotFound` for a
    message that is not there any more, `Invalid` for what is not wanted."""
    text, code = str(told.get("message", ""))[:200], told.get("code", 0)
    if status == 429:
        wait = told.get("retry_after")
        if not isinstance(wait, int | float) or isinstance(wait, bool):
            wait = seconds_of(header, 5.0)
        return Unavailable("Discord asks us to wait", retry_after=min(max(float(wait), 0.0), 3600.0))
    if status == 401:
        return Refused(f"Discord does not know this bot: {text}", hint=_LOOK)
    if status == 403:
        return Refused(f"Discord does not let us speak there: {text} ({code})")
    if status == 404:
        return NotFound(f"Discord knows no such place or message: {text} ({code})")
    if 400 <= status < 500 and status != 408:
        return Invalid(f"Discord does not want this: {text} ({code})", code="not_wanted")
    return Unavailable(f"Discord does not answer as it should ({status})", retry_after=2.0)
