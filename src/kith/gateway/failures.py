"""Errors as HTTP: one translation for every route, in the dialect that the route speaks.

Under ``/v1`` an error has OpenAI's shape, under ``/v1/messages`` Anthropic's, elsewhere Kith's. What went wrong inside
is logged and never sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from kith.core.errors import Fault, Invalid, KithError
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)

# OpenAI's documented names of error types; every other client error is an invalid request.
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_KINDS = {**_TYPES, 413: "request_too_large", 503: "overloaded_error"}
_SPENT = "budget_spent"
_PLAIN = {
    400: ("invalid", "the request cannot be understood"),
    404: ("route_not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address does not take this method"),
    413: ("too_large", "the request is too large"),
}


class TooLarge(KithError):
    """The body, head or frame is larger than allowed."""

    status = 413
    code = "too_large"


class TooSlow(KithError):
    """The client did not send its request in time."""

    status = 408
    code = "too_slow"


class Absent(KithError):
    """Nothing here does this yet."""

    status = 501
    code = "not_served"


class Gone(Exception):  # the client went away: nothing is left to be answered
    """The client closed its connection."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it goes out: `status` and, in seconds, `retry_after` (0 for none)."""

    status: int
    code: str
    message: str
    hint: str = ""
    faults: tuple[Fault, ...] = ()
    retry_after: int = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that belong to this error."""
        found = [(b"content-type", b"application/json")]
        if self.retry_after:
            found.append((b"retry-after", str(self.retry_after).encode()))
        if self.code == _SPENT:
            found.append((b"x-should-retry", b"false"))  # their clients would try again at once
        if self.status == 401:
            found.append((b"www-authenticate", b'Bearer realm="kith"'))
        return found

    def body(self, path: str) -> bytes:
        """The error as JSON in the dialect of `path`."""
        if path.startswith("/v1/messages"):
            return msgspec.json.encode(self.anthropic())
        return msgspec.json.encode({"error": self.openai() if path.startswith("/v1") else self.kith()})

    def sentence(self) -> str:
        """The message with every fault and the hint."""
        reasons = "; ".join(f"{fault.path}: {fault.reason}" if fault.path else fault.reason for fault in self.faults)
        parts = [": ".join(part for part in (self.message, reasons) if part)]
        parts += [f"({self.hint})"] if self.hint else []
        return " ".join(parts)

    def anthropic(self) -> dict[str, Any]:
        """Anthropic's shape (https://docs.anthropic.com/en/api/errors), with Kith's code beside."""
        kind = _KINDS.get(self.status, "api_error" if self.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": self.sentence(), "code": self.code}}

    def openai(self) -> dict[str, Any]:
        """``message``, ``type``, ``param``, ``code``; the message names every fault, `param` the first."""
        other = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "message": self.sentence(),
            "type": "insufficient_quota" if self.code == _SPENT else _TYPES.get(self.status, other),
            "param": next((fault.path for fault in self.faults if fault.path), None),
            "code": self.code,
        }

    def kith(self) -> dict[str, Any]:
        """``code``, ``message``, ``hint``, ``faults``."""
        faults = [{"path": fault.path, "reason": fault.reason, "line": fault.line} for fault in self.faults]
        return {"code": self.code, "message": self.message, "hint": self.hint, "faults": faults}


def translate(error: BaseException) -> Failure:
    """What a client is told about `error`. An unexpected one is logged here."""
    if isinstance(error, KithError) and error.status != 500:
        wait = cast("float | None", getattr(error, "retry_after", None))
        faults = error.faults if isinstance(error, Invalid) else ()
        seconds = max(1, math.ceil(wait)) if wait is not None else 0
        status = 429 if error.code == _SPENT else error.status  # as both dialects say it
        return Failure(status, error.code, error.message, error.hint, faults, seconds)
    if isinstance(error, HTTPException) and error.status_code < 500:
        code, message = _PLAIN.get(error.status_code, ("invalid", "the request cannot be served"))
        return Failure(error.status_code, code, message)
    _log.error("request failed", error=type(error).__name__, exc_info=(type(error), error, error.__traceback__))
    return Failure(500, "broken", "something went wrong inside Kith", "the server's log says what")


class Refusal:
    """An ASGI application that answers with one error, over HTTP or in place of a WebSocket's handshake."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        prefix = "http.response" if scope["type"] == "http" else "websocket.http.response"
        body = self._failure.body(str(scope["path"]))
        headers = [*self._failure.headers(), (b"content-length", str(len(body)).encode())]
        for event in (
            {"type": f"{prefix}.start", "status": self._failure.status, "headers": headers},
            {"type": f"{prefix}.body", "body": body, "more_body": False},
        ):
            await send(cast("Any", event))  # the two forms of one event differ in their names only
