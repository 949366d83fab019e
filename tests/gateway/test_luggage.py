"""Files that are brought along, and branches of conversations."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from kith.core.people import Conversation

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 32


@pytest.mark.parametrize(
    ("data", "given", "mime"),
    [
        (PNG, "text/html", "image/png"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "", "audio/wav"),
        (b"<script>alert(1)</script>", "image/png", "image/png"),
        (b"hello", "text/plain; charset=utf-8", "text/plain"),
        ("你好".encode(), "", "application/octet-stream"),
    ],
)
def test_a_file_is_kept_and_given_back_as_what_it_is(build: Any, data: bytes, given: str, mime: str) -> None:
    async def story() -> None:
        house = build()
        async with house.client("guest") as client:
            kept = await client.post("/api/blobs?name=a%00.x", content=data, headers={"Content-Type": given})
            told = kept.json()
            assert (kept.status_code, told["mime"], told["name"]) == (201, mime, "a.x")
            assert (told["blob"], told["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
            back = await client.get(f"/api/blobs/{told['blob']}")
            assert back.content == data
            assert "sandbox" in back.headers["content-security-policy"]
            shown = back.headers["content-disposition"] == "inline"
            assert shown is (back.headers["content-type"] != "application/octet-stream")
            assert shown is not (b"script" in data or b"hello" in data or data == "你好".encode())

    asyncio.run(story())


def test_files_that_are_none_too_large_or_gone(build: Any) -> None:
    async def story() -> None:
        house = build(max_body=2048)
        async with house.client("guest") as client:
            assert (await client.post("/api/blobs", content=b"")).json()["error"]["code"] == "empty_file"
            assert (await client.post("/api/blobs", content=b"x" * 4096)).status_code == 413
            assert (await client.get(f"/api/blobs/{'0' * 64}")).json()["error"]["code"] == "blob_gone"

    asyncio.run(story())


def test_a_conversation_is_branched_by_whom_it_belongs_to(build: Any) -> None:
    asked: list[tuple[str, str, str, bool]] = []

    async def branch(conversation: str, turn: str, handle: str, *, whole: bool) -> str:
        asked.append((conversation, turn, handle, whole))
        return "c_new"

    async def story() -> None:
        house = build()
        house.store.branch = branch
        house.store.known["c_3"] = Conversation("c_3", "live", "local", "owner:main", members=("p_x",))
        async with house.client() as client:
            made = await client.post("/api/conversations/c_3/branch", json={"turn": "turn_2", "name": "b-1"})
            assert (made.status_code, made.json()) == (201, {"id": "c_new", "name": "b-1"})
            for conversation, code in (("c_1", "not_branchable"), ("none", "conversation_not_found")):
                answer = await client.post(f"/api/conversations/{conversation}/branch", json={"turn": "t", "name": "b"})
                assert answer.json()["error"]["code"] == code
            for name in ("", "a b", "x" * 65, "../x"):
                answer = await client.post("/api/conversations/c_3/branch", json={"turn": "t", "name": name})
                assert answer.status_code == 400
        async with house.client("guest") as client:
            answer = await client.post("/api/conversations/c_3/branch", json={"turn": "turn_2", "name": "b"})
            assert answer.status_code == 404
        assert asked == [("c_3", "turn_2", "owner:b-1", True)]

    asyncio.run(story())
