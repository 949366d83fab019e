"""Finding the server that runs in this home, and speaking with it as its owner."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from kith.core.errors import Fault, Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Delta, Usage
from kith.runtime.http import http_client
from kith.runtime.locale import language
from kith.runtime.settings import home

_ALIVE = 8.0  # a busy one may take its time; where nobody listens, that is known at once
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of this home."""

    url: str
    token: str = field(repr=False)
    pid: int
    certificate: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates its owner."""
        return {"Authorization": f"Bearer {self.token}"}

    def trust(self) -> ssl.SSLContext | None:
        """Trust in the one certificate that the server wrote down; whom it names does not matter then.

        Raises `Unavailable` when it cannot be read.
        """
        if not self.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cafile=self.certificate)
        except (OSError, ssl.SSLError):
            raise Unavailable("the running server's certificate cannot be read") from None
        return context

    def client(self) -> httpx.AsyncClient:
        """An HTTP client that speaks as the owner. A model may think for minutes before its first word."""
        client = http_client(timeout=600.0, trust=self.trust())
        client.base_url = httpx.URL(self.url)
        client.headers.update({**self.headers, "Accept-Language": language()})
        return client

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request of Kith's REST and its JSON answer. Raises what the server says, or `Unavailable`."""
        async with self.client() as client:
            try:
                answer = await client.request(method, path, json=body)
            except httpx.HTTPError as error:
                raise Unavailable(f"the connection to the server broke ({type(error).__name__})") from None
        if answer.is_error:
            raise failure(answer.status_code, answer.content)
        return cast("dict[str, Any]", answer.json())


async def find_server() -> Server | None:
    """The server whose address stands in ``KITH_HOME/run/server.json``, if it lives and answers."""
    server = await asyncio.to_thread(_noted)
    if server is None:
        return None
    async with http_client(timeout=_ALIVE, trust=server.trust()) as client:
        try:
            answer = await client.get(f"{server.url}/health/live")
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
    return server if answer.is_success else None


def _noted() -> Server | None:
    """What the server wrote down; None unless the file is this person's own and the process is there."""
    path = home() / "run" / "server.json"
    try:
        with path.open("rb") as stream:
            about = os.fstat(stream.fileno())
            note = cast("dict[str, Any]", json.loads(stream.read(4096)))
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            return None
        url, certificate = str(note["url"]).rstrip("/"), str(note.get("certificate") or "")
        server = Server(url, str(note["token"]), int(note["pid"]), certificate)
        parts = urlsplit(url)
        pinned = parts.scheme == "https" and certificate
        if server.pid <= 0 or not (pinned or (parts.scheme == "http" and parts.hostname in _LOCAL)):
            return None
        os.kill(server.pid, 0)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return server


async def ask_server(server: Server, text: str, model: str, locale: str) -> AsyncGenerator[Delta]:
    """Ask for one answer and stream it. Closing the generator stops the model. Raises what the server refuses."""
    body = {"text": text, "conversation": "ask", "locale": locale, "persona": model}
    headers = {"Accept": "text/event-stream"}
    async with server.client() as client:
        try:
            async with client.stream("POST", "/api/ask", json=body, headers=headers) as answer:
                if answer.is_error:
                    raise failure(answer.status_code, await answer.aread())
                async with aclosing(_deltas(answer)) as deltas:
                    async for delta in deltas:
                        yield delta
        except httpx.HTTPError as error:
            raise Unavailable(f"the connection to the server broke ({type(error).__name__})") from None


async def model_names(server: Server) -> list[str]:
    """The models that the server can be asked for by name."""
    async with server.client() as client:
        try:
            answer = await client.get("/v1/models")
        except httpx.HTTPError as error:
            raise Unavailable(f"the connection to the server broke ({type(error).__name__})") from None
        if answer.is_error:
            raise failure(answer.status_code, answer.content)
        return [str(model["id"]) for model in answer.json()["data"]]


async def _deltas(answer: httpx.Response) -> AsyncGenerator[Delta]:
    kind, done = "", False
    async for line in answer.aiter_lines():
        if line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data = cast("dict[str, Any]", json.loads(line[5:]))
            if kind == "error":
                raise failure(500, line[5:].encode())
            if kind == "delta":
                yield Delta(str(data["text"]))
            elif kind == "done":
                done = True
                usage = Usage(**data.get("usage", {}))
                sources, turn = tuple(data.get("sources") or ()), str(data.get("turn") or "")
                finish = data.get("finish", "stop")
                yield Delta(finish=finish, usage=usage, model=data["model"], sources=sources, turn=turn)
    if not done:
        raise Unavailable("the server stopped before the answer was complete", hint="ask again")


def failure(status: int, body: bytes) -> KithError:
    """The error that a server's answer tells of."""
    faults: tuple[Fault, ...] = ()
    try:
        told = cast("Mapping[str, Any]", json.loads(body)["error"])
        message, code, hint = str(told["message"]), str(told.get("code") or ""), str(told.get("hint") or "")
        faults = _faults(told)
    except (ValueError, KeyError, TypeError):
        message, code, hint = f"the server answered with status {status}", "", ""
    kinds: dict[int, type[KithError]] = {400: Invalid, 401: Refused, 403: Refused, 404: NotFound, 422: Invalid}
    kind = kinds.get(status, Unavailable if status in (429, 503) else KithError)
    if kind is Invalid:
        return Invalid(message, code=code, hint=hint, faults=faults)
    return kind(message, code=code, hint=hint)


def _faults(told: Mapping[str, Any]) -> tuple[Fault, ...]:
    """The mistakes that an answer names."""
    rows = told.get("faults")
    found = cast("list[object]", rows) if isinstance(rows, list) else []
    named = [cast("Mapping[str, Any]", row) for row in found if isinstance(row, Mapping)]
    return tuple(Fault(str(row.get("path") or ""), str(row.get("reason") or "")) for row in named)
