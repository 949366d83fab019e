"""The content repository (client-server API, "Content repository"), with attachments encrypted where the room is.

matrix-nio has the cipher (AES-CTR with a SHA-256, "Sending encrypted attachments"); the bytes go over Kith's own
client, which stops behind a limit. nio is an optional library and imported when something is opened or closed.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from kith.channels.kit import download
from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable

_MXC = re.compile(r"mxc://([\w.:\[\]-]{1,255})/([\w-]{1,255})", re.ASCII)


class Files:
    """Of one homeserver. `token` is the session's, shown only to the homeserver."""

    def __init__(self, client: httpx.AsyncClient, homeserver: str) -> None:
        self._client, self._base = client, homeserver.rstrip("/")

    async def get(self, place: str, most: int, token: str) -> tuple[bytes, str]:
        """The bytes at ``mxc://…``; with three words behind it (key, vector, hash) they are deciphered.

        Raises `Invalid`, `NotFound`, `Refused`, `Unavailable`.
        """
        address, *sealed = place.split(" ")
        found = _MXC.fullmatch(address)
        if found is None or len(sealed) not in (0, 3):
            raise Invalid("this is no address of a file", code="not_wanted")
        name = f"{quote(found[1], safe='')}/{found[2]}"
        headers = {"Authorization": f"Bearer {token}"}
        try:
            data, kind = await download(
                self._client, f"{self._base}/_matrix/client/v1/media/download/{name}", most, headers
            )
        except NotFound:  # homeservers before 1.11 of the specification
            data, kind = await download(self._client, f"{self._base}/_matrix/media/v3/download/{name}", most)
        return (await asyncio.to_thread(_opened, data, *sealed), "") if sealed else (data, kind)

    async def put(self, data: bytes, mime: str, name: str, token: str, *, encrypted: bool) -> dict[str, Any]:
        """Store bytes; what an event's content says of them: ``url``, or ``file`` with the key. Raises as `get`."""
        about: Mapping[str, Any] = {}
        if encrypted:
            crypto: Any = importlib.import_module("nio.crypto.attachments")
            data, about = await asyncio.to_thread(crypto.encrypt_attachment, data)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/octet-stream" if encrypted else mime,
        }
        query = {} if encrypted else {"filename": name}
        try:
            answer = await self._client.post(
                f"{self._base}/_matrix/media/v3/upload", params=query, content=data, headers=headers
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"the Matrix server does not answer ({type(error).__name__})", retry_after=2.0) from None
        if answer.status_code != 200:
            raise _no(answer.status_code)
        try:
            url = str(msgspec.json.decode(answer.content)["content_uri"])
        except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
            raise Unavailable("the Matrix server's answer makes no sense") from None
        return {"file": {**about, "url": url}} if encrypted else {"url": url}


def _opened(data: bytes, key: str, vector: str, digest: str) -> bytes:
    crypto: Any = importlib.import_module("nio.crypto.attachments")
    errors: Any = importlib.import_module("nio.exceptions")
    try:
        return bytes(crypto.decrypt_attachment(data, key, digest, vector))
    except (errors.EncryptionError, ValueError, TypeError):
        raise Invalid("the file is not what its key was made for", code="not_wanted") from None


def _no(status: int) -> KithError:
    if status == 413:
        return Invalid("the file is larger than the Matrix server takes", code="too_large")
    if status in (401, 403):
        return Refused("the Matrix server takes no files of ours")
    return Unavailable(f"the Matrix server does not take the file ({status})", retry_after=5.0)
