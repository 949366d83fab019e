"""Getting a model file from object storage that speaks S3, through `obstore`: resumable like any other download."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kith.core.errors import Invalid, Missing, NotFound, Refused, Unavailable
from kith.models.fetch import Digests, Progress, drop, part_of, room, settle, size_of, tag_of

_TRIES = 5
_URL = re.compile(r"^s3://([^/]+)/(.+)$")
_CHUNK = 8 << 20  # bytes of one range: bounds memory, and what is lost when a transfer breaks off


async def download_bucket(
    url: str,
    folder: Path,
    *,
    digests: Digests | None = None,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Path, str]:
    """Fetch ``s3://bucket/key`` as `kith.models.fetch.download` does.

    The keys and the address are those of ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` and
    ``AWS_ENDPOINT_URL``; without a key the bucket is read as everybody may. Raises as `download`, and `Missing`.
    """
    store, key, part = _open(url, environment), _split(url)[1], part_of(folder, url)
    for attempt in range(_TRIES):
        try:
            await _once(store, key, url, part, progress)
            break
        except Unavailable:
            if attempt == _TRIES - 1:
                raise
            await asyncio.sleep(0)
    return part, await asyncio.to_thread(settle, part, url, digests or Digests())


async def _once(store: Any, key: str, url: str, part: Path, progress: Progress | None) -> None:
    about = await _ask(url, store.head_async(key))
    total, tag = int(about["size"]), str(about.get("e_tag") or "")
    known = tag_of(part).read_text("utf-8") if tag_of(part).exists() else ""
    done = size_of(part) if tag and tag == known else 0
    done = done if done <= total else 0
    room(part.parent, total - done)
    tag_of(part).write_text(tag, "utf-8")
    with part.open("r+b" if done else "wb") as stream:
        stream.seek(done)
        while done < total:
            piece = await _ask(url, store.get_range_async(key, start=done, end=min(total, done + _CHUNK)))
            stream.write(piece)
            done += len(piece)
            if progress is not None:
                progress(done, total)
        stream.truncate()
    after = await _ask(url, store.head_async(key))
    if str(after.get("e_tag") or "") != tag or int(after["size"]) != total:
        drop(part, tag_of(part))
        raise Unavailable(f"{url} was replaced while it was read", code="broken_off")


async def _ask(url: str, call: Any) -> Any:
    errors: Any = importlib.import_module("obstore.exceptions")
    try:
        return await call
    except (FileNotFoundError, errors.NotFoundError, errors.InvalidPathError):
        raise NotFound(f"{url} is not there") from None
    except (PermissionError, errors.PermissionDeniedError, errors.UnauthenticatedError):
        raise Refused(f"{url} may not be read with these keys", code="upstream_key") from None
    except (OSError, errors.BaseError) as error:
        raise Unavailable(f"the download of {url} broke off: {type(error).__name__}", code="broken_off") from None


def _open(url: str, environment: Mapping[str, str] | None) -> Any:
    try:
        stores: Any = importlib.import_module("obstore.store")
    except ImportError:
        raise Missing("object storage needs the library obstore", extra="s3") from None
    variables = os.environ if environment is None else environment
    bucket, _ = _split(url)
    endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL") or ""
    key, secret = variables.get("AWS_ACCESS_KEY_ID", ""), variables.get("AWS_SECRET_ACCESS_KEY", "")
    given: dict[str, Any] = {
        "endpoint": endpoint,
        "region": variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or "us-east-1",
        "access_key_id": key,
        "secret_access_key": secret,
        "session_token": variables.get("AWS_SESSION_TOKEN", ""),
    }
    return stores.S3Store(
        bucket,
        **{name: value for name, value in given.items() if value},
        **({} if key and secret else {"skip_signature": True}),
        client_options={"allow_http": endpoint.startswith("http://"), "timeout": "60s"},
        retry_config={"max_retries": 2},
    )


def _split(url: str) -> tuple[str, str]:
    match = _URL.match(url)
    if match is None:
        raise Invalid(f"{url!r} is not s3://bucket/key", code="bad_source")
    return match[1], match[2]
