"""``/app``: the web app, as files that were built beforehand. No Node runs here.

The files lie in ``pages/`` beside this module: packed into the wheel, or put there by ``make web`` in a checkout, also
while the server runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from kith.core.errors import NotFound
from kith.gateway.body import Call
from kith.gateway.failures import Refusal, translate

PAGES = Path(__file__).parent / "pages"
PREFIX = "/app"
_INDEX = "index.html"
# Scripts come from this server only, and none stands inside a page. Style attributes are allowed: formulas and charts
# place their parts with them. Pictures of other sites are not loaded, for an address can carry words out of the house.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; media-src 'self' blob:; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), payment=(), usb=(), microphone=(self)"),
    (b"vary", b"accept-encoding"),
)
_TYPES = {".webmanifest": "application/manifest+json", ".js": "text/javascript", ".woff2": "font/woff2"}
_ABSENT = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="4">
<meta name="viewport" content="width=device-width"><title>Kith</title>
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:34em;margin:18vh auto;padding:0 1.5em;color-scheme:light dark}
code{font-size:.95em}</style>
<h1>Kith</h1><p>The web app has not been built yet. In a checkout, <code>make run</code> and <code>make web</code> build
it (Node 20.19 or later is needed). This page looks again by itself.</p>
<p lang="zh">网页应用尚未构建。在源码目录中运行 <code>make run</code> 或 <code>make web</code> 即可构建（需要 Node 20.19
或更新版本）。本页会自动刷新。</p></html>"""


def built(pages: Path = PAGES) -> bool:
    """Whether the web app is there."""
    return (pages / _INDEX).is_file()


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it goes out. `packed` is its gzip, empty when there is none."""

    body: bytes
    packed: bytes
    media: str
    tag: bytes
    lasting: bool


class Site:
    """The route ``/app``. Only names found when the folder was read are served, so no path leads out of it."""

    def __init__(self, pages: Path = PAGES) -> None:
        self._pages = pages
        self._files: dict[str, _File] = {}
        self._seen = 0

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        opt = {"answer": "Page", "open": True}
        return (
            get(PREFIX, opt=opt)(self.page),
            get(f"{PREFIX}/{{path:path}}", opt=opt)(self.file),
        )

    async def page(self, request: Call) -> ASGIApp:
        """The web app's first page, under the address that is the scope of its service worker."""
        if not request.scope["raw_path"].partition(b"?")[0].endswith(b"/"):
            return moved(f"{PREFIX}/")
        return await self._answer(request, "")

    async def file(self, request: Call, path: FromPath[str]) -> ASGIApp:
        """A file of the web app; any address without an ending is one of its pages."""
        return await self._answer(request, path.strip("/"))

    async def _answer(self, request: Call, name: str) -> ASGIApp:
        files = await asyncio.to_thread(self._read)
        if not files:
            return _Reply(
                503, _ABSENT.encode(), [(b"content-type", b"text/html; charset=utf-8"), (b"retry-after", b"4")]
            )
        found = files.get(name if "." in name.rpartition("/")[2] else _INDEX)
        if found is None:
            return Refusal(translate(NotFound("the web app has no such file")))
        keep = b"public, max-age=31536000, immutable" if found.lasting else b"no-cache"
        headers = [(b"etag", found.tag), (b"cache-control", keep)]
        if request.headers.get("if-none-match", "").encode("latin-1") == found.tag:
            return _Reply(304, b"", headers)
        headers.append((b"content-type", found.media.encode()))
        if found.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return _Reply(200, found.packed, [*headers, (b"content-encoding", b"gzip")])
        return _Reply(200, found.body, headers)

    def _read(self) -> dict[str, _File]:
        """The folder's files by name; read again when its first page has changed."""
        try:
            seen = (self._pages / _INDEX).stat().st_mtime_ns
        except OSError:
            self._seen, self._files = 0, {}
            return self._files
        if seen != self._seen:
            every = {path.relative_to(self._pages).as_posix(): path for path in self._pages.rglob("*")}
            whole = {name: path for name, path in every.items() if path.is_file() and path.suffix != ".gz"}
            self._files = {name: _load(name, path, every.get(f"{name}.gz")) for name, path in whole.items()}
            self._seen = seen
        return self._files


def _load(name: str, path: Path, packed: Path | None) -> _File:
    body = path.read_bytes()
    media = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media.startswith("text/") or media.endswith("json"):
        media += "; charset=utf-8"
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'.encode()
    return _File(body, packed.read_bytes() if packed else b"", media, tag, name.startswith("assets/"))


def moved(place: str) -> ASGIApp:
    """An answer that leads elsewhere on this server."""
    return _Reply(307, b"", [(b"location", place.encode()), (b"cache-control", b"no-store")])


class _Reply:
    """An ASGI application: one whole answer."""

    def __init__(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._status, self._body, self._headers = status, body, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        length = (b"content-length", str(len(self._body)).encode())
        headers = [*self._headers, *_HEADERS, *([] if self._status == 304 else [length])]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
