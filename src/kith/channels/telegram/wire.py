"""Calls of the Bot API, made by aiogram's client; its errors as Kith's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from kith.channels.telegram.settings import TelegramSettings
from kith.core.errors import Invalid, KithError, Missing, Refused, Unavailable

_PATIENCE = 20


class Wire:
    """One bot's client. Updates are taken as JSON, so that a new kind of update breaks nothing."""

    def __init__(self, settings: TelegramSettings) -> None:
        try:
            from aiogram import Bot
            from aiogram.client.session.aiohttp import AiohttpSession
            from aiogram.client.telegram import TelegramAPIServer
            from aiogram.utils.token import TokenValidationError
        except ImportError:
            raise Missing("the Telegram channel needs aiogram", extra="telegram") from None
        session: Any = AiohttpSession(api=TelegramAPIServer.from_base(settings.api))
        try:
            self._bot: Any = Bot(settings.token.get_secret_value(), session=session)
        except TokenValidationError:
            raise Refused("this is no token of a Telegram bot", hint="set channels.telegram.token") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._bot.session.close()

    async def call(self, method: str, arguments: Mapping[str, Any] | None = None, patience: int = _PATIENCE) -> Any:
        """The ``result`` of one method. Raises `Unavailable`, `Refused`, `Invalid`; see `judge`."""
        from aiogram.exceptions import AiogramError
        from aiogram.methods.base import TelegramMethod

        body = {"__returning__": Any, "__api_method__": method, "__module__": __name__}
        request: Any = type("Call", (TelegramMethod[Any],), body)
        try:
            return await self._bot(request(**(arguments or {})), request_timeout=patience)
        except AiogramError as error:
            raise judge(error) from None

    async def ask(self, method: str, arguments: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The ``result`` of a method that answers with an object. Raises as `call`."""
        found: Any = await self.call(method, arguments)
        return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}

    async def fetch(self, name: str, most: int) -> bytes:
        """The bytes of a file that somebody sent. Raises as `call`, `Invalid` for one of more than `most` bytes."""
        import aiohttp

        path = str((await self.ask("getFile", {"file_id": name})).get("file_path", ""))
        if not path or ".." in path:
            raise Invalid("Telegram gives no such file", code="not_wanted")
        url, data = self._bot.session.api.file_url(self._bot.token, path), bytearray()
        try:
            async for chunk in self._bot.session.stream_content(url, timeout=60):
                data += chunk
                if len(data) > most:
                    raise Invalid("the file is too large", code="too_large")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"a file could not be fetched ({type(error).__name__})", retry_after=2.0) from None
        return bytes(data)


def upload(data: bytes, name: str) -> Any:
    """A file to be sent along with a call."""
    from aiogram.types import BufferedInputFile

    return BufferedInputFile(data, filename=name)


def judge(error: Exception) -> KithError:
    """What an error of aiogram means: `Refused` where nothing helps, `Unavailable` where waiting does, `Moved` for a
    group that got another id, `Invalid` for what is not wanted."""
    from aiogram import exceptions as said

    text = str(getattr(error, "message", error))[:200]
    match error:
        case said.TelegramRetryAfter():
            return Unavailable("Telegram asks us to wait", retry_after=float(error.retry_after))
        case said.TelegramMigrateToChat():
            return Moved(error.migrate_to_chat_id)
        case said.TelegramUnauthorizedError() | said.TelegramNotFound():
            return Refused(f"Telegram does not know this bot: {text}", hint="look at channels.telegram.token")
        case said.TelegramForbiddenError():
            return Refused(f"Telegram does not let us speak there: {text}")
        case said.TelegramConflictError():
            return Unavailable("another program asks for this bot's updates", retry_after=10.0)
        case said.TelegramBadRequest() | said.TelegramEntityTooLarge():
            return Invalid(f"Telegram does not want this: {text}", code="not_wanted")
        case _:
            return Unavailable(f"Telegram does not answer as it should ({type(error).__name__})", retry_after=2.0)


class Moved(Refused):
    """A group has become a supergroup; `chat` is its new id."""

    def __init__(self, chat: int) -> None:
        super().__init__("this group has another id now")
        self.chat = chat
