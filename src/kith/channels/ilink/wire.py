"""Calls of iLink's API, and its CDN; their answers as Kith's errors.

A failure is told in ``ret`` or in ``errcode``, whatever the HTTP status.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx
import msgspec
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from kith.channels.kit import decoded, gathered, seconds_of, word
from kith.core.errors import Invalid, Refused, Unavailable

PATIENCE = 15.0
BIGGEST = 20 * 1024 * 1024
EXPIRED, LIMITED = -14, -2
_VERSION = (2, 4, 6)  # of the protocol as Tencent's client speaks it
_HINT = "scan again: kith channels add ilink"


class Stale(Unavailable):
    """The conversation's token is not good any more: the person has to write first."""


class Wire:
    """The API at `base` and the CDN at `cdn`, with one bot's token."""

    def __init__(self, client: httpx.AsyncClient, base: str, cdn: str, token: str) -> None:
        self._client, self._token = client, token
        self._base, self._cdn = base.rstrip("/"), cdn.rstrip("/")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, path: str, body: Mapping[str, Any], patience: float = PATIENCE) -> Mapping[str, Any]:
        """What ``ilink/bot/PATH`` answers. Raises as `judge`."""
        version = ".".join(map(str, _VERSION))
        told = {**body, "base_info": {"channel_version": version, "bot_agent": "Kith/0.1"}}
        headers = {"AuthorizationType": "ilink_bot_token", "X-WECHAT-UIN": _uin(), **app()}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        url = f"{self._base}/ilink/bot/{path}"
        answer = await self._ask("POST", url, patience, headers=headers, content=msgspec.json.encode(told))
        return judge(read(answer))

    async def get(self, path: str, query: Mapping[str, str], patience: float = PATIENCE) -> Mapping[str, Any]:
        """As `post`, for the calls before there is a token."""
        url = f"{self._base}/ilink/bot/{path}"
        return judge(read(await self._ask("GET", url, patience, headers=app(), params=dict(query))))

    async def fetch(self, key: str, name: str) -> bytes:
        """A file's bytes. Raises `Unavailable`, and `Invalid` for one that is gone, too big or sealed otherwise."""
        url = f"{self._cdn}/download?encrypted_query_param={quote(name, safe='')}"
        try:
            async with self._client.stream("GET", url, timeout=30.0) as answer:
                _status(answer)
                data = await gathered(answer, BIGGEST + 16)
        except httpx.HTTPError as error:
            raise Unavailable(f"WeChat cannot be reached ({type(error).__name__})") from None
        return opened(data, bytes.fromhex(key)) if key else data

    async def store(self, data: bytes, kind: int, target: str) -> tuple[str, bytes, int]:
        """Upload a file for somebody: what names it, its key, and its size encrypted. Raises as `post`."""
        key, name = secrets.token_bytes(16), secrets.token_hex(16)
        whole = sealed(data, key)
        told = await self.post("getuploadurl", {
            "filekey": name, "media_type": kind, "to_user_id": target, "rawsize": len(data), "filesize": len(whole),
            "rawfilemd5": hashlib.md5(data).hexdigest(), "no_need_thumb": True, "aeskey": key.hex(),  # noqa: S324
        })  # fmt: skip
        url = word(told, "upload_full_url")
        if urlsplit(url).netloc != urlsplit(self._cdn).netloc:
            param = word(told, "upload_param")
            url = f"{self._cdn}/upload?encrypted_query_param={quote(param, safe='')}&filekey={name}"
        headers = {"content-type": "application/octet-stream"}
        answer = await self._ask("POST", url, 60.0, headers=headers, content=whole)
        _status(answer)
        if not (param := answer.headers.get("x-encrypted-param", "")):
            raise Unavailable("WeChat did not take the file", retry_after=5.0)
        return param, key, len(whole)

    async def _ask(self, method: str, url: str, patience: float, **more: Any) -> httpx.Response:
        try:
            return await self._client.request(method, url, timeout=httpx.Timeout(patience, connect=10.0), **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"WeChat cannot be reached ({type(error).__name__})") from None


def app() -> dict[str, str]:
    """The headers of every call."""
    major, minor, patch = _VERSION
    version = str(major << 16 | minor << 8 | patch)
    return {"Content-Type": "application/json", "iLink-App-Id": "bot", "iLink-App-ClientVersion": version}


def read(answer: httpx.Response) -> Mapping[str, Any]:
    """The object that was answered. Raises as `_status`, `Unavailable` for what makes no sense."""
    told: Any = decoded(answer.content)
    if isinstance(told, dict) and (answer.is_success or "ret" in told or "errcode" in told):
        return cast("Mapping[str, Any]", told)
    _status(answer)
    raise Unavailable("WeChat's answer makes no sense", retry_after=5.0)


def judge(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer, if it tells of no failure.

    Raises `Refused` when the session has expired, `Stale` for a token of a conversation that is dead, `Unavailable`
    with the seconds to wait, `Invalid` for what is not wanted.
    """
    code = next((found for key in ("ret", "errcode") if isinstance(found := told.get(key), int) and found), 0)
    if not code:
        return told
    said = (word(told, "errmsg") or word(told, "message"))[:200]
    if code == EXPIRED:
        raise Refused("WeChat's session has expired", hint=_HINT)
    if code == LIMITED and said.lower() in ("", "unknown error"):
        raise Stale("WeChat takes no message to somebody who has not written lately", retry_after=60.0)
    if code == LIMITED or code == -12:
        raise Unavailable(f"WeChat asks us to wait ({code})", retry_after=60.0)
    if code in (-1, -3):
        raise Unavailable(f"WeChat says {code}: {said}", retry_after=5.0)
    raise Invalid(f"WeChat does not want this ({code}: {said})", code="not_wanted")


def _status(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in (401, 403):
        raise Refused(f"WeChat does not know this token ({status})", hint=_HINT)
    if status == 429 or status >= 500:
        after = seconds_of(answer.headers.get("retry-after", ""), 5.0)
        raise Unavailable(f"WeChat answers {status}", retry_after=after)
    if not answer.is_success:
        raise Invalid(f"WeChat does not want this ({status})", code="not_wanted")


def sealed(data: bytes, key: bytes) -> bytes:
    """AES-128-ECB with PKCS#7, which is what the CDN keeps."""
    pad = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # the platform's choice
    return cipher.update(pad.update(data) + pad.finalize()) + cipher.finalize()


def opened(data: bytes, key: bytes) -> bytes:
    """What was sealed. Raises `Invalid`."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305  # the platform's choice
    pad = padding.PKCS7(128).unpadder()
    try:
        return pad.update(cipher.update(data) + cipher.finalize()) + pad.finalize()
    except ValueError:
        raise Invalid("a file cannot be opened with its key", code="bad_frame") from None


def _uin() -> str:
    return base64.b64encode(str(secrets.randbits(32)).encode()).decode()
