"""Calls of Slack's Web API and the socket of Socket Mode, both by Slack's own SDK; its errors as Kith's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx

from kith.channels.kit import download
from kith.channels.slack.settings import SlackSettings
from kith.core.errors import Invalid, KithError, Missing, Refused, Unavailable

_CONNECT = 20.0
_PING = 5.0
_OURS = ("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope",
         "not_allowed_token_type", "no_permission", "org_login_required")  # fmt: skip
_LATER = ("ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
_CLOSED = ("not_in_channel", "is_archived", "channel_not_found", "restricted_action", "user_disabled")


class Wire:
    """One app's client. The socket connects again by itself; `connected` says whether it is."""

    def __init__(self, settings: SlackSettings) -> None:
        try:
            from slack_sdk.web.async_client import AsyncWebClient
        except ImportError:
            raise Missing("the Slack channel needs slack-sdk and aiohttp", extra="slack") from None
        self._settings = settings
        self._silent = logging.Logger("slack", logging.CRITICAL + 1)  # the SDK would write down what people say
        token, base = settings.token.get_secret_value(), settings.api.rstrip("/") + "/"
        self._web: Any = AsyncWebClient(token, base_url=base, timeout=15, logger=self._silent)
        self._socket: Any = None

    async def call(self, method: str, form: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
        """Slack's answer, which is like a dictionary; a `form` is for methods that take no JSON.

        Raises `Unavailable`, `Refused`, `Invalid`.
        """
        import aiohttp
        from slack_sdk.errors import SlackClientError

        try:
            if form is not None:
                return await self._web.api_call(method, data=dict(form))
            return await self._web.api_call(method, json=arguments)
        except SlackClientError as error:
            raise judge(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"Slack cannot be reached ({type(error).__name__})", retry_after=2.0) from None

    async def upload(self, client: httpx.AsyncClient, data: bytes, name: str, where: Mapping[str, str]) -> str:
        """Put a file into a channel; its id. Raises as `call`.

        Slack gives an address for the bytes, and posts the file when it is told that they are there.
        """
        slot = await self.call("files.getUploadURLExternal", form={"filename": name, "length": len(data)})
        address, number = str(slot.get("upload_url", "")), str(slot.get("file_id", ""))
        if not self.ours(address):
            raise Unavailable("Slack names an address for the file that is not Slack's")
        try:
            answer = await client.post(address, content=data)
        except httpx.HTTPError as error:
            raise Unavailable(f"Slack cannot be reached ({type(error).__name__})", retry_after=2.0) from None
        if answer.status_code != 200:
            raise Unavailable(f"Slack does not take the file ({answer.status_code})", retry_after=5.0)
        told: dict[str, Any] = {"files": [{"id": number, "title": name}], **where}
        await self.call("files.completeUploadExternal", **told)
        return number

    async def fetch(self, client: httpx.AsyncClient, address: str, most: int) -> tuple[bytes, str]:
        """The bytes of a file that somebody sent, and their type. The token is shown to no other host than Slack's.

        Raises as `download`; `Refused` where Slack shows its log-in page instead: the scope ``files:read`` is missing.
        """
        if not self.ours(address):
            raise Refused("this file does not lie at Slack")
        token = self._settings.token.get_secret_value()
        data, kind = await download(client, address, most, {"Authorization": f"Bearer {token}"})
        if kind == "text/html" and not address.endswith((".html", ".htm")):
            raise Refused("Slack does not give us this file", hint="give the app the scope files:read")
        return data, kind

    def ours(self, address: str) -> bool:
        """Whether an address is one of Slack's for files, or of the server that stands in for it."""
        try:
            url, api = httpx.URL(address), httpx.URL(self._settings.api)
        except httpx.InvalidURL:
            return False
        if api.host == "slack.com":
            return url.scheme == "https" and url.host == "files.slack.com" and url.port is None and not url.userinfo
        return (url.scheme, url.host, url.port, url.userinfo) == (api.scheme, api.host, api.port, b"")

    async def listen(self, hear: Callable[[dict[str, Any]], None]) -> None:
        """Connect the socket; `hear` is called with each of its messages, in their order. Raises as `call`."""
        import aiohttp
        from slack_sdk.errors import SlackClientError
        from slack_sdk.socket_mode.aiohttp import SocketModeClient

        token = self._settings.app_token.get_secret_value()

        async def listener(*heard: Any) -> None:  # the client, the message, and the message as text
            hear(heard[1])

        try:
            opened: Any = await self._web.apps_connections_open(app_token=token)
        except SlackClientError as error:
            raise judge(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"Slack cannot be reached ({type(error).__name__})", retry_after=2.0) from None
        socket: Any = SocketModeClient(token, self._silent, self._web, ping_interval=_PING)
        self._socket, socket.wss_uri = socket, opened["url"]
        socket.message_listeners.append(listener)
        try:
            async with asyncio.timeout(_CONNECT):
                await socket.connect()
        except TimeoutError:
            raise Unavailable("Slack's socket does not open") from None

    async def acknowledge(self, envelope: str) -> None:
        """Say that a message of the socket is kept. Raises `Unavailable`."""
        import aiohttp

        try:
            await self._socket.send_socket_mode_response({"envelope_id": envelope})
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
            raise Unavailable(f"Slack's socket is closed ({type(error).__name__})") from None

    async def connected(self) -> bool:
        """Whether the socket is open and answered lately; without Socket Mode always."""
        return self._socket is None or bool(await self._socket.is_connected())

    async def close(self) -> None:
        """Close the socket."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


def judge(error: Any) -> KithError:
    """What Slack's refusal means: `Unavailable` where waiting helps, `Refused` for the token or the place."""
    answer: Any = getattr(error, "response", None)
    data: Any = getattr(answer, "data", None)  # no dictionary where a proxy in between answered
    said = str(cast("dict[str, Any]", data).get("error", "")) if isinstance(data, dict) else ""
    status = int(getattr(answer, "status_code", 0) or 0)
    headers: Any = getattr(answer, "headers", None)
    wait = str(headers.get("Retry-After", "")) if headers else ""
    if status == 429 or said in _LATER:
        return Unavailable("Slack asks us to wait", retry_after=float(wait) if wait.isdecimal() else 5.0)
    if said in _OURS:
        return Refused(f"Slack refuses us: {said}", hint="look at the tokens under channels.slack")
    if said in _CLOSED:
        return Refused(f"Slack does not let us speak there: {said}")
    if said and 0 < status < 500:
        return Invalid(f"Slack does not want this: {said[:100]}", code="not_wanted")
    return Unavailable(f"Slack does not answer as it should ({status})", retry_after=5.0)
