"""Calls of the Graph API, and what its errors mean ("Cloud API Error Codes")."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

import httpx

from kith.channels.kit import decoded, download, inner, reaching, seconds_of, word
from kith.channels.whatsapp.settings import WhatsappSettings
from kith.core.errors import Invalid, KithError, Refused, Unavailable

_OWN = (".fbsbx.com", ".facebook.com", ".whatsapp.net")  # where files lie
_MEDIA = re.compile(r"[\w.-]{1,200}", re.ASCII)
# Seconds until the next try, for what passes. 4 ** tries, where the documentation asks for that, is 0 here.
_PASSING = {
    1: 2.0, 2: 5.0, 4: 60.0, 80007: 60.0, 130429: 0.0, 131056: 0.0, 131048: 3600.0, 131000: 5.0, 131016: 10.0,
    131049: 3600.0, 131057: 300.0, 133004: 10.0, 130472: 3600.0,
}  # fmt: skip
_TOKEN = frozenset({0, 190})
_FORBIDDEN = {
    3: "the app lacks a permission: give the system user whatsapp_business_messaging",
    10: "the app lacks a permission: give the system user whatsapp_business_messaging",
    33: "there is no such phone number id: look at channels.whatsapp.number",
    368: "the business account is restricted for breaking a rule: see Account Quality in WhatsApp Manager",
    131005: "the app lacks a permission: give the system user whatsapp_business_messaging",
    131031: "the business account is locked: see WhatsApp Manager",
    131042: "the business account has no way of payment: see WhatsApp Manager",
    131045: "the phone number is not registered with its certificate: register it in WhatsApp Manager",
    133010: "the phone number is not registered: register it in WhatsApp Manager",
}
_UNWANTED = {
    131026: "it cannot be delivered to this number: it is not on WhatsApp, or has an old version",
    131030: "this number is not on the list of the test number's recipients",
    131050: "this person does not want such messages",
}


class Wire:
    """One number's calls."""

    def __init__(self, settings: WhatsappSettings, client: httpx.AsyncClient) -> None:
        self._settings, self._client = settings, client
        self._base = f"{settings.api}/v{settings.version}.0"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def about(self) -> Mapping[str, Any]:
        """What WhatsApp says of our number. Raises as `say`."""
        return await self._ask("GET", f"/{self._settings.number}", params={"fields": "id,display_phone_number"})

    async def say(self, body: Mapping[str, Any], tries: int = 1) -> str:
        """Send a message, in the try number `tries`; its id. Raises as `judge` says."""
        told = await self._ask("POST", f"/{self._settings.number}/messages", tries, json=body)
        found: Any = told.get("messages")
        first: Any = cast("list[Any]", found)[0] if isinstance(found, list) and found else None
        return str(cast("Mapping[str, Any]", first).get("id", ""))[:500] if isinstance(first, Mapping) else ""

    async def upload(self, data: bytes, mime: str, name: str) -> str:
        """Put a file there, to be sent; its id. Raises as `say`."""
        files = {"file": (name or "file", data, mime)}
        form = {"messaging_product": "whatsapp", "type": mime}
        told = await self._ask("POST", f"/{self._settings.number}/media", data=form, files=files)
        if not (found := str(told.get("id", ""))):
            raise Unavailable("WhatsApp gave the file no id", retry_after=5.0)
        return found

    async def fetch(self, name: str, most: int) -> bytes:
        """The bytes of a file that somebody sent: first where it lies, then the file. Raises as `say`, `NotFound`, and
        `Invalid` for one that is larger than `most` (code ``too_large``) or lies where our token must not be shown."""
        if not _MEDIA.fullmatch(name):
            raise Invalid("WhatsApp has no such file", code="not_wanted")
        told = await self._ask("GET", f"/{name}", params={"phone_number_id": self._settings.number})
        size: Any = told.get("file_size")
        if isinstance(size, int) and size > most:
            raise Invalid("the file is too large", code="too_large")
        digest = word(told, "sha256")
        data, _ = await download(self._client, self._trusted(word(told, "url")), most, self._shown())
        if re.fullmatch(r"[0-9a-f]{64}", digest) and hashlib.sha256(data).hexdigest() != digest:
            raise Unavailable("a file did not arrive whole", retry_after=2.0)
        return data

    def _trusted(self, url: str) -> str:
        """An address that may see our token."""
        try:
            there, api = httpx.URL(url), httpx.URL(self._settings.api)
        except httpx.InvalidURL:
            raise Invalid("WhatsApp gives no such file", code="not_wanted") from None
        home = (there.scheme, there.host, there.port) == (api.scheme, api.host, api.port)
        if not home and not (there.scheme == "https" and there.host.endswith(_OWN)):
            raise Invalid("the file lies somewhere that is not WhatsApp's", code="not_wanted")
        return url

    def _shown(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._settings.token.get_secret_value()}"}

    async def _ask(self, method: str, path: str, tries: int = 1, **more: Any) -> Mapping[str, Any]:
        with reaching("WhatsApp"):
            answer = await self._client.request(method, self._base + path, headers=self._shown(), **more)
        told: Any = decoded(answer.content)
        if answer.is_success and isinstance(told, dict):
            return cast("dict[str, Any]", told)
        error = inner(inner({"told": told}, "told"), "error")
        if isinstance(code := error.get("code"), int):
            detail = inner(error, "error_data").get("details", "") or error.get("message", "")
            raise judge(code, str(detail), tries, _wait(answer))
        raise _status(answer)


def judge(code: int, detail: str, tries: int = 1, wait: float = 0.0) -> KithError:
    """What an error means: `Refused` where somebody has to do something, `Unavailable` where waiting helps, `Invalid`
    where nothing does. `tries` is how often it has been tried; `wait` the seconds that WhatsApp asks for."""
    detail = detail[:200]
    if code in _TOKEN:
        return Refused(
            f"WhatsApp does not take our token ({code}): it is wrong, or has expired; make one of a system user, "
            "which does not expire, and put it into channels.whatsapp.token",
            code="unauthenticated",
            hint="business.facebook.com: Settings, System users",
        )
    if code == 131047:
        return Refused(
            "more than 24 hours have passed since this person last wrote, and then WhatsApp lets only an approved "
            "template through (131047): send one from WhatsApp Manager, or wait until they write, "
            "and then send this again with `kith outbox retry`",
            code="window_closed",
            hint="developers.facebook.com: WhatsApp, Message templates",
        )
    if code in _PASSING:
        after = _PASSING[code] or min(4.0 ** min(max(tries, 1), 5), 300.0)
        return Unavailable(f"WhatsApp asks us to wait ({code})", retry_after=max(after, wait))
    if code in _FORBIDDEN or 200 <= code < 300:
        reason = _FORBIDDEN.get(code, _FORBIDDEN[10])
        return Refused(f"WhatsApp does not let us ({code}): {reason}", hint=reason)
    return Invalid(f"WhatsApp does not want this ({code}): {_UNWANTED.get(code, detail)}", code="not_wanted")


def _status(answer: httpx.Response) -> KithError:
    """An answer without an error of the Graph API in it."""
    status = answer.status_code
    if status == 401:
        return judge(190, "")
    if answer.is_success or status in (408, 425, 429) or status >= 500:
        return Unavailable(f"WhatsApp does not answer as it should ({status})", retry_after=max(_wait(answer), 2.0))
    return Invalid(f"WhatsApp does not want this ({status})", code="not_wanted")


def _wait(answer: httpx.Response) -> float:
    return seconds_of(answer.headers.get("retry-after", ""), 0.0)
