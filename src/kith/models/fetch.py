"""Getting a model file from elsewhere: resumable, checked, and never half there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.runtime.http import leads_inside

_TRIES = 5
_REDIRECTS = 8
_MARGIN = 256 << 20  # bytes that a download leaves free on the disk
_HASHES = re.compile(r"(sha-256|md5)=:?([A-Za-z0-9+/=]+?):?(?=,|$)", re.IGNORECASE)
_DIGEST = re.compile(r'^"?([0-9a-f]{64})"?$')

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Digests:
    """What a file's SHA-256 and MD5 have to be, in hex; empty where nobody said."""

    sha256: str = ""
    md5: str = ""

    def over(self, other: Digests) -> Digests:
        """These, and where they are silent the `other`."""
        return Digests(self.sha256.lower() or other.sha256, self.md5.lower() or other.md5)


async def download(
    client: httpx.AsyncClient,
    url: str,
    folder: Path,
    *,
    digests: Digests | None = None,
    progress: Progress | None = None,
) -> tuple[Path, str]:
    """Fetch `url` into `folder` as a hidden part file; returns it with its SHA-256 once it is whole.

    Goes on where an earlier try stopped, as long as the server still has the same file. `progress` gets (bytes so
    far, bytes in all or 0). The SHA-256 and MD5 that are given, or that the server announces, have to be right. Raises
    `Invalid` (the file is not what it should be; it is removed), `NotFound`, `Refused`, `Unavailable` (what has
    arrived is kept). What the file is has still to be checked.
    """
    part, wanted = part_of(folder, url), digests or Digests()
    announced = Digests()
    for attempt in range(_TRIES):
        before = size_of(part)
        try:
            announced = (await _once(client, url, part, progress)).over(announced)
            break
        except Unavailable:
            if attempt == _TRIES - 1 and size_of(part) <= before:
                raise
            await asyncio.sleep(0)
    else:
        raise Unavailable(
            f"the download of {url} breaks off again and again; what has arrived is kept", code="broken_off"
        )
    return part, await asyncio.to_thread(settle, part, url, wanted.over(announced))


def settle(part: Path, url: str, wanted: Digests) -> str:
    """Compare a whole download with what it has to be; returns its SHA-256. Raises `Invalid`; the part is then gone."""
    drop(tag_of(part))
    found = ""
    for name, expected in (("md5", wanted.md5), ("sha256", wanted.sha256)):
        if not expected and name == "md5":
            continue
        with part.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda kind=name: hashlib.new(kind, usedforsecurity=False)).hexdigest()
        if expected and found != expected:
            drop(part)
            title = {"md5": "MD5", "sha256": "SHA-256"}[name]
            raise Invalid(f"the file from {url} has the {title} {found}, not {expected}", code="broken_model")
    return found


async def _once(client: httpx.AsyncClient, url: str, part: Path, progress: Progress | None) -> Digests:
    """One try. Returns the digests that the server announces, if it does."""
    have = size_of(part)
    tag = tag_of(part).read_text("utf-8") if have and tag_of(part).exists() else ""
    headers = {"Range": f"bytes={have}-", "If-Range": tag, "Accept-Encoding": "identity"} if tag else {}
    async with _answer(client, url, {"Accept-Encoding": "identity", **headers}) as (response, announced):
        if response.status_code == 416:
            drop(part)
            raise Unavailable(f"{url} has changed", code="broken_off")
        begin = have if response.status_code == 206 and _begins(response, have) else 0
        total = begin + int(response.headers.get("content-length") or 0)
        room(part.parent, total - begin)
        tag_of(part).write_text(response.headers.get("etag", ""), "utf-8")
        done = begin
        with part.open("r+b" if begin else "wb") as stream:
            stream.seek(begin)
            async for piece in response.aiter_raw():
                stream.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, total)
            stream.truncate()
        if done < total:
            raise Unavailable(f"the download of {url} broke off", code="broken_off")
        return announced.over(_announced(response))


def _announced(response: httpx.Response) -> Digests:
    """What the headers of a whole file say of it; those of a range may mean the range."""
    if response.status_code != 200:
        return Digests()
    found = dict[str, str]()
    given = f"{response.headers.get('repr-digest', '')},{response.headers.get('x-goog-hash', '')}"
    for kind, value in _HASHES.findall(given):
        found[kind.lower()] = value
    found.setdefault("md5", response.headers.get("content-md5", ""))
    try:
        sha256, md5 = (base64.b64decode(found.get(kind, ""), validate=True) for kind in ("sha-256", "md5"))
    except ValueError:
        return Digests()
    return Digests(sha256.hex() if len(sha256) == 32 else "", md5.hex() if len(md5) == 16 else "")


@asynccontextmanager
async def _answer(
    client: httpx.AsyncClient, url: str, headers: dict[str, str]
) -> AsyncGenerator[tuple[httpx.Response, Digests]]:
    """The final answer behind redirects, and the SHA-256 that a hub announces on the way."""
    request = client.build_request("GET", url, headers=headers)
    announced = Digests()
    try:
        for _ in range(_REDIRECTS):
            response = await client.send(request, stream=True)
            try:
                if match := _DIGEST.match(response.headers.get("x-linked-etag", "")):
                    announced = Digests(match[1])
                following = response.next_request
                if following is None:
                    _check(response, url)
                    yield response, announced
                    return
                if request.url.scheme == "https" and following.url.scheme != "https":
                    raise Refused(f"{url} leads to an unencrypted address", code="downgrade")
                if await leads_inside(request.url.host, following.url.host):
                    raise Refused(f"{url} leads to an address inside this network", code="inner_address")
                request = following
            finally:
                await response.aclose()
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"the download of {url} broke off: {reason}", code="broken_off") from None
    raise Invalid(f"{url} leads in circles", code="bad_source")


def _check(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in {200, 206, 416}:
        return
    known: dict[int, KithError] = {
        401: Refused(f"{url} asks for a login", code="upstream_key"),
        403: Refused(f"{url} may not be read by everyone", code="upstream_key"),
        404: NotFound(f"{url} is not there"),
    }
    raise known.get(status) or Unavailable(f"{url} answers with status {status}", code="upstream_failed")


def _begins(response: httpx.Response, have: int) -> bool:
    return response.headers.get("content-range", "").startswith(f"bytes {have}-")


def room(folder: Path, need: int) -> None:
    """Raise `Refused` (code ``disk_full``) unless `need` more bytes have room in `folder`."""
    free = shutil.disk_usage(folder).free
    if need + _MARGIN > free:
        text = f"the file needs {need >> 20} MiB, the disk of {folder} has {free >> 20} left"
        raise Refused(text, code="disk_full", hint="make room, or set KITH_HOME to a larger disk")


def part_of(folder: Path, url: str) -> Path:
    """Where what has arrived from `url` is kept until it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"


def tag_of(part: Path) -> Path:
    """Where it is kept which state of the file the part is of."""
    return part.with_suffix(".etag")


def drop(*paths: Path) -> None:
    """Remove what is there of these."""
    for path in paths:
        path.unlink(missing_ok=True)


def size_of(part: Path) -> int:
    """The bytes that have arrived."""
    return part.stat().st_size if part.exists() else 0
