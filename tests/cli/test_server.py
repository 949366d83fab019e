"""Finding a server, and believing no file about it blindly."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kith.cli.server import Server, failure, find_server
from kith.core.errors import Fault, Invalid, KithError, NotFound, Refused, Unavailable


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    return tmp_path


def note(home: Path, mode: int = 0o600, **about: Any) -> None:
    path = home / "run" / "server.json"
    path.write_text(json.dumps({"url": "http://127.0.0.1:1", "token": "kith_x", "pid": os.getpid(), **about}))
    path.chmod(mode)


async def answering(status: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /health/live")
        assert b"kith_x" not in head  # the token is for whoever has proved to be the server, not for any port
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(("status", "found"), [(b"200 OK", True), (b"503 Busy", False), (b"garbage", False)])
def test_a_server_is_used_when_it_lives(home: Path, status: bytes, found: bool) -> None:
    async def story() -> Server | None:
        async with await answering(status) as server:
            note(home, url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            return await find_server()

    server = asyncio.run(story())
    assert (server is not None) is found
    if server is not None:
        assert server.headers == {"Authorization": "Bearer kith_x"}
        assert not server.url.endswith("/")
        assert "kith_x" not in repr(server)


def test_no_server_no_file(home: Path) -> None:
    assert asyncio.run(find_server()) is None
    note(home)  # nobody listens there
    assert asyncio.run(find_server()) is None


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"\xff", b'{"url": 1, "token": [], "pid": "x"}', b"[" * 4000, b"9" * 4000]
)
def test_a_broken_note_is_no_server(home: Path, raw: bytes) -> None:
    path = home / "run" / "server.json"
    path.write_bytes(raw)
    path.chmod(0o600)
    assert asyncio.run(find_server()) is None


@pytest.mark.parametrize(
    "about",
    [
        {"pid": 2**31 - 1},
        {"pid": -1},
        {"pid": 2**80},
        {"url": "http://example.org"},
        {"url": "nonsense"},
        {"url": "http://[x"},
    ],
)
def test_a_note_that_cannot_be_true_is_not_followed(home: Path, about: dict[str, Any]) -> None:
    note(home, **about)
    assert asyncio.run(find_server()) is None


def test_a_note_that_others_can_read_is_not_trusted(home: Path) -> None:
    note(home, mode=0o644)
    assert asyncio.run(find_server()) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (429, Unavailable),
        (503, Unavailable),
        (500, KithError),
    ],
)
def test_answers_become_errors(status: int, kind: type[KithError]) -> None:
    error = failure(status, json.dumps({"error": {"message": "No.", "code": "c", "hint": "h"}}).encode())
    assert type(error) is kind
    assert (str(error), error.code, error.hint) == ("No.", "c", "h")
    assert str(status) in str(failure(status, b"<html>"))


def test_what_a_server_finds_wrong_is_named() -> None:
    told = {"message": "no", "code": "c", "hint": "h", "faults": [{"path": "channels.x.y", "reason": "is empty"}, 3]}
    error = failure(400, json.dumps({"error": told}).encode())
    assert isinstance(error, Invalid) and error.faults == (Fault("channels.x.y", "is empty"),) and error.hint == "h"
    for odd in ({"error": "x"}, {"error": {"message": "no", "faults": "x"}}, {"error": [1]}, []):
        other = failure(400, json.dumps(odd).encode())
        assert isinstance(other, Invalid) and other.faults == ()
