"""What goes with a conversation in the web app: files that are brought along, and branches of what was said."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.errors import Invalid, NotFound
from kith.core.message import Media
from kith.gateway.acting import acting
from kith.gateway.body import Call, read_body, read_json
from kith.gateway.ports import Branching, GatewayPorts
from kith.gateway.rest import visible
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

_SHOWN = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"OggS": "audio/ogg",
    b"\x1aE\xdf\xa3": "audio/webm",
    b"ID3": "audio/mpeg",
}
"""The beginnings of what a browser may show or play itself; everything else is only handed over as a file."""


class BranchBody(msgspec.Struct, frozen=True):
    """The turn at which to branch off, with it or `before` it, and the new conversation's name."""

    turn: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    name: Annotated[str, msgspec.Meta(pattern=r"^[\w-]{1,64}$")]
    before: bool = False


class Luggage:
    """The routes ``/api/blobs`` and ``/api/conversations/{conversation}/branch``."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        kept = {"answer": "Blob", "status": 201, "query": ("name",), "role": "guest"}
        made = {"body": BranchBody, "answer": "Branch", "status": 201, "role": "guest"}
        given = {"answer": "Bytes", "stream": "application/octet-stream", "only": True, "role": "guest"}
        return (
            post("/api/blobs", opt=kept)(self.put),
            get("/api/blobs/{blob:str}", opt=given)(self.fetch),
            post("/api/conversations/{conversation:str}/branch", opt=made)(self.branch),
        )

    async def put(self, request: Call) -> ASGIApp:
        """Keep the bytes of the body for a while, so that a message can name them."""
        name = request.query_params.get("name", "").replace("\x00", "").strip()[:200]
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        data = await read_body(request, self._settings)
        if not data:
            raise Invalid("the body is empty", code="empty_file")
        mime = _mime(data) or given or mimetypes.guess_type(name)[0] or "application/octet-stream"

        async def work() -> tuple[int, Any]:
            return 201, {"blob": self._ports.blobs.put(data), "mime": mime[:100], "name": name, "size": len(data)}

        return Whole(work)

    async def fetch(self, blob: FromPath[str]) -> ASGIApp:
        """The bytes under this SHA-256: pictures and sounds to be shown, anything else as a file to be saved."""
        return Bytes(await self._ports.blobs.fetch(Media(blob, "this file")), blob)

    async def branch(self, request: Call, conversation: FromPath[str]) -> ASGIApp:
        """Begin a new conversation with what was said in this one up to a turn; this one stays as it is."""
        body = await read_json(request, BranchBody, self._settings)

        async def work() -> tuple[int, Any]:
            store = self._ports.store
            await visible(self._ports, request.user, conversation, acting(request))
            found = await store.conversation(conversation)
            owner, _, _ = found.handle.partition(":")
            if not isinstance(store, Branching) or found.channel not in self._ports.lines or owner != request.user.id:
                raise NotFound("only your own conversations of the web app can be branched", code="not_branchable")
            handle = f"{request.user.id}:{body.name}"
            made = await store.branch(conversation, body.turn, handle, whole=not body.before)
            return 201, {"id": made, "name": body.name}

        return Whole(work)


def _mime(data: bytes) -> str:
    """What the bytes themselves say that they are; empty when they do not."""
    if data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"WAVE"):
        return "image/webp" if data[8:12] == b"WEBP" else "audio/wav"
    if data[4:8] == b"ftyp":
        return "audio/mp4"
    return next((mime for head, mime in _SHOWN.items() if data.startswith(head)), "")


class Bytes:
    """An ASGI application: bytes that no browser takes for a page."""

    def __init__(self, data: bytes, name: str, keep: str = "private, max-age=3600, immutable") -> None:
        self._data, self._name, self._keep = data, name, keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        mime = _mime(self._data)
        place = "inline" if mime else f"attachment; filename*=UTF-8''{quote(self._name)}"
        headers = {
            "content-type": mime or "application/octet-stream",
            "content-length": str(len(self._data)),
            "content-disposition": place,
            "content-security-policy": "default-src 'none'; sandbox",
            "cache-control": self._keep,
        }
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        await send({"type": "http.response.body", "body": self._data, "more_body": False})
