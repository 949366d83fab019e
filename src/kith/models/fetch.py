"""Getting a model file from elsewhere: resumable, checked, and never half there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

import httpx

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.models.gguf import read_gguf

_TRIES = 5
_REDIRECTS = 8
_MARGIN = 256 << 20  # bytes that a download leaves free on the disk
_HUB = re.compile(r"^(hf|ms):([\w.-]+)/([\w.-]+?)(?:@([\w.-]+))?/(.+)$")
_HUBS = {
    "hf": ("HF_ENDPOINT", "https://huggingface.co", "{base}/{owner}/{repo}/resolve/{revision}/{file}", "main"),
    "ms": (
        "MODELSCOPE_ENDPOINT",
        "https://modelscope.cn",
        "{base}/models/{owner}/{repo}/resolve/{revision}/{file}",
        "master",
    ),
}
_DIGEST = re.compile(r'^"?([0-9a-f]{64})"?$')

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: a `path` on this machine or a `url`, and the `name` that it gets unless told."""

    name: str
    path: Path | None = None
    url: str = ""


def parse_source(text: str, environment: Mapping[str, str] | None = None) -> Source:
    """Read a path, a URL, ``hf:owner/repo/file`` or ``ms:owner/repo/file``, both with an optional ``@revision``.

    ``HF_ENDPOINT`` and ``MODELSCOPE_ENDPOINT`` in the environment name mirrors. Raises `Invalid`.
    """
    variables = os.environ if environment is None else environment
    if match := _HUB.match(text):
        hub, owner, repo, revision, file = match.groups()
        variable, default, form, trunk = _HUBS[hub]
        base = (variables.get(variable) or default).rstrip("/")
        url = form.format(base=base, owner=owner, repo=repo, revision=revision or trunk, file=quote(file))
        return Source(_stem(file), url=url)
    if text.startswith(("http://", "https://")):
        file = unquote(PurePosixPath(urlsplit(text).path).name)
        if not file.lower().endswith(".gguf"):
            raise Invalid(f"{text} does not name a .gguf file", code="bad_source")
        return Source(_stem(file), url=text)
    if re.match(r"^(hf|ms|\w+://)", text) and not Path(text).exists():
        hint = "a path, an http(s) URL, hf:owner/repo/file.gguf or ms:owner/repo/file.gguf"
        raise Invalid(f"{text!r} is not a place of a model", code="bad_source", hint=hint)
    path = Path(text).expanduser()
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    return Source(_stem(path.name), path=path)


def _stem(file: str) -> str:
    name = re.sub(r"\.gguf$", "", PurePosixPath(file).name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "model"


async def download(
    client: httpx.AsyncClient, url: str, folder: Path, *, sha256: str = "", progress: Progress | None = None
) -> tuple[Path, str]:
    """Fetch `url` into `folder` as a hidden part file; returns it with its SHA-256 once it is a whole, valid model.

    Goes on where an earlier try stopped, as long as the server still has the same file. `progress` gets (bytes so
    far, bytes in all or 0). Raises `Invalid` (the file is not what it should be; it is removed), `NotFound`, `Refused`,
    `Unavailable` (what has arrived is kept).
    """
    part = _part(folder, url)
    wanted = sha256.lower()
    for attempt in range(_TRIES):
        before = _size(part)
        try:
            wanted = await _once(client, url, part, progress) or wanted
            break
        except Unavailable:
            if attempt == _TRIES - 1 and _size(part) <= before:
                raise
            await asyncio.sleep(0)
    else:
        raise Unavailable(
            f"the download of {url} breaks off again and again; what has arrived is kept", code="broken_off"
        )
    found = await asyncio.to_thread(_digest, part)
    try:
        if (sha256 or wanted) and found != (sha256.lower() or wanted):
            text = f"the file from {url} has the SHA-256 {found}, not {sha256.lower() or wanted}"
            raise Invalid(text, code="broken_model")
        await asyncio.to_thread(read_gguf, part)
    except Invalid:
        _drop(part, _tag(part))
        raise
    _drop(_tag(part))
    return part, found


async def _once(client: httpx.AsyncClient, url: str, part: Path, progress: Progress | None) -> str:
    """One try. Returns the SHA-256 that the server announces, if it does."""
    have = _size(part)
    tag = _tag(part).read_text("utf-8") if have and _tag(part).exists() else ""
    headers = {"Range": f"bytes={have}-", "If-Range": tag, "Accept-Encoding": "identity"} if tag else {}
    async with _answer(client, url, {"Accept-Encoding": "identity", **headers}) as (response, announced):
        if response.status_code == 416:
            _drop(part)
            raise Unavailable(f"{url} has changed", code="broken_off")
        begin = have if response.status_code == 206 and _begins(response, have) else 0
        total = begin + int(response.headers.get("content-length") or 0)
        _room(part.parent, total - begin)
        _tag(part).write_text(response.headers.get("etag", ""), "utf-8")
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
        return announced


@asynccontextmanager
async def _answer(
    client: httpx.AsyncClient, url: str, headers: dict[str, str]
) -> AsyncGenerator[tuple[httpx.Response, str]]:
    """The final answer behind redirects, and the SHA-256 that a hub announces on the way."""
    request = client.build_request("GET", url, headers=headers)
    announced = ""
    try:
        for _ in range(_REDIRECTS):
            response = await client.send(request, stream=True)
            try:
                if match := _DIGEST.match(response.headers.get("x-linked-etag", "")):
                    announced = match[1]
                following = response.next_request
                if following is None:
                    _check(response, url)
                    yield response, announced
                    return
                if request.url.scheme == "https" and following.url.scheme != "https":
                    raise Refused(f"{url} leads to an unencrypted address", code="downgrade")
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


def _room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need + _MARGIN > free:
        text = f"the file needs {need >> 20} MiB, the disk of {folder} has {free >> 20} left"
        raise Refused(text, code="disk_full", hint="make room, or set KITH_HOME to a larger disk")


def _part(folder: Path, url: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"


def _drop(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _tag(part: Path) -> Path:
    return part.with_suffix(".etag")


def _digest(part: Path) -> str:
    with part.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
