"""Set-up by scanning: WeChat's QR code gives a token to the bot, and says who scanned it."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from kith.channels.ilink.settings import IlinkSettings
from kith.channels.ilink.wire import Wire
from kith.channels.kit import Scan, word
from kith.core.errors import Refused, Unavailable

_RENEWED = 3
_HOLD = 40.0


class Login:
    """One QR code, renewed up to three times. Implements `Scanner`."""

    def __init__(self, settings: IlinkSettings, client: httpx.AsyncClient) -> None:
        self._settings, self._client = settings, client
        self._base, self._code, self._left = settings.base.rstrip("/"), "", _RENEWED

    async def begin(self) -> Scan:
        """Ask for a code. Raises `Unavailable`, `Refused`."""
        self._base = self._settings.base.rstrip("/")
        told = await self._wire().post("get_bot_qrcode?bot_type=3", {"local_token_list": []})
        self._code, picture = word(told, "qrcode"), word(told, "qrcode_img_content")
        if not self._code or not 0 < len(picture) <= 1000:
            raise Unavailable("WeChat gave no QR code", retry_after=5.0)
        return Scan("waiting", picture)

    async def step(self, code: str = "") -> Scan:
        """How far it is. Raises `Refused` when it is of no use to go on."""
        query = {"qrcode": self._code, **({"verify_code": code} if code else {})}
        try:
            told = await self._wire().get("get_qrcode_status", query, _HOLD)
        except Unavailable:  # as Tencent's own client: nothing has happened yet
            return Scan("waiting")
        match word(told, "status"):
            case "scaned":
                return Scan("scanned")
            case "scaned_but_redirect":
                self._base = self._checked(f"{urlsplit(self._base).scheme}://{word(told, 'redirect_host')}")
                return Scan("scanned")
            case "need_verifycode":
                return Scan("code")
            case "expired" | "verify_code_blocked":
                if self._left < 1:
                    raise Refused("nobody scanned the QR code in time", hint="begin again")
                self._left -= 1
                return await self.begin()
            case "confirmed":
                token, owner = word(told, "bot_token"), word(told, "ilink_user_id")
                if not token or not owner:
                    raise Unavailable("WeChat confirmed, but gave no token", retry_after=5.0)
                base = self._checked(word(told, "baseurl") or self._base)
                return Scan("done", settings={"token": token, "owner": owner, "base": base, "allow": [owner]})
            case "binded_redirect":
                raise Refused("this WeChat already has a bot here", hint="remove the bot in WeChat, and scan again")
            case _:
                return Scan("waiting")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _wire(self) -> Wire:
        return Wire(self._client, self._base, self._settings.cdn, "")

    def _checked(self, address: str) -> str:
        """An address that WeChat sends us to: within its own domain, or where we were."""
        found, home = urlsplit(address), urlsplit(self._settings.base)
        inside = found.scheme == "https" and (found.hostname or "").endswith(".weixin.qq.com")
        if not inside and (found.scheme, found.netloc) != (home.scheme, home.netloc):
            raise Refused("WeChat sends us to an address that is not its own")
        return f"{found.scheme}://{found.netloc}"
