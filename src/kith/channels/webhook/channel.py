"""The webhook channel: idempotent, because every post carries a key that stays the same when it is tried again."""

from __future__ import annotations

import hmac
from typing import Any

import httpx
import msgspec

from kith.channels.kit import Arrival, Hook, HookReply, Kit, Replay, deliver
from kith.channels.webhook.parse import parse
from kith.channels.webhook.render import render, signature
from kith.channels.webhook.settings import WebhookSettings
from kith.core.errors import Invalid, Refused, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent

_JSON = {"content-type": "application/json"}


class WebhookChannel:
    """Implements `Channel` and `Hooked`."""

    def __init__(self, settings: WebhookSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._replay = Replay(kit.clock)
        self._accept: Accept | None = None
        self._client: httpx.AsyncClient | None = None

    async def start(self, accept: Accept) -> None:
        """Ask the receiver whether it is there. Raises `Unavailable`, or `Refused` when it does not know our secret."""
        self._client = self._kit.http(timeout=15.0)
        await self.probe()
        self._accept = accept

    async def probe(self) -> None:
        """A signed ``{"type": "ping"}``. Raises as `start`."""
        await self._post(msgspec.json.encode({"type": "ping"}), "ping")

    async def send(self, parcel: Parcel) -> Sent:
        """Post every piece of a reply. Raises `Unavailable` to be tried again, `Invalid` for what is not wanted."""
        if self._accept is None:
            raise Unavailable("the webhook channel is not started")
        bodies = render(parcel)
        return await deliver(self._kit, parcel, bodies, lambda index, body: self._post(body, f"{parcel.id}-{index}"))

    async def stop(self) -> None:
        """No call is accepted afterwards."""
        self._accept = None
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def hook(self, request: Hook) -> HookReply:
        """Hear what was posted, if its signature is good and new. Raises `Refused`, `Invalid` and as the inbox."""
        if self._accept is None:
            raise Unavailable("the webhook channel is not started")
        if request.method != "POST":
            return HookReply(405, {"allow": "POST"})
        mark = self._checked(request)
        with self._replay.until_kept(mark):
            arrival = Arrival(self._settings.account, self._kit.clock.now())
            accepted = await self._accept(parse(request.body, arrival))
        told: dict[str, Any] = {"accepted": True, "duplicate": accepted.duplicate, "turn": accepted.id}
        return HookReply(202, _JSON, msgspec.json.encode(told))

    def _checked(self, request: Hook) -> str:
        """The signature of a call that is good and new."""
        stamp = request.headers.get("x-kith-timestamp", "")
        shown = request.headers.get("x-kith-signature", "")
        at = int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 else 0
        wanted = signature(self._settings.secret, at, request.body)
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), wanted.encode()):
            raise Refused("the signature of this call is not good", code="bad_signature")
        self._replay.check(at, wanted)
        return wanted

    async def _post(self, body: bytes, key: str) -> str:
        """Post a body; the receiver's own id for it, if it gives one."""
        if self._client is None:
            raise Unavailable("the webhook channel is not started")
        at = int(self._kit.clock.now())
        headers = {
            **_JSON,
            "idempotency-key": key,
            "x-kith-timestamp": str(at),
            "x-kith-signature": signature(self._settings.secret, at, body),
        }
        try:
            answer = await self._client.post(self._settings.url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"the receiver cannot be reached ({type(error).__name__})", retry_after=1.0) from None
        self._judge(answer)
        self._kit.alive()
        return answer.headers.get("x-message-id", "")[:200]

    def _judge(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        wait = answer.headers.get("retry-after", "")
        after = min(float(wait), 3600.0) if wait.isdecimal() and len(wait) < 6 else self._settings.retry_after
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            raise Unavailable(f"the receiver says {answer.status_code}", retry_after=after)
        if answer.status_code in (401, 403):
            raise Refused(f"the receiver refuses us ({answer.status_code}): is the secret the same on both sides?")
        raise Invalid(f"the receiver does not want this ({answer.status_code})", code="not_wanted")
