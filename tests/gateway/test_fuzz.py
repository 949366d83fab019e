"""Bytes that nobody would send in earnest: whatever they are, the answer is a typed error and the server lives on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from kith.app import open_household
from kith.core.audit import By
from kith.core.people import Principal
from kith.settings import load_settings
from tests.gateway.conftest import House

CALM = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@pytest.fixture(scope="module")
def loop() -> Any:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def house(loop: Any) -> House:
    async def make() -> House:
        return House()

    return loop.run(make())


@pytest.fixture(scope="module")
def client(loop: Any, house: House) -> Any:
    async def make() -> httpx.AsyncClient:
        token = await house.auth.new("fuzz", "owner")
        transport = httpx.ASGITransport(house.gateway.app)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787", headers=headers)

    made = loop.run(make())
    yield made
    loop.run(made.aclose())


def typed(answer: httpx.Response) -> None:
    """An error in one of our dialects, with a code."""
    error = answer.json()["error"]
    assert error["code"] and error["message"], answer.text
    assert "Traceback" not in answer.text and answer.status_code != 500


@pytest.fixture(scope="module")
def access(loop: Any, house: House) -> str:
    return loop.run(house.auth.passes.issue(Principal("owner", "owner"), By("owner", "test"))).access


@CALM
@given(data=st.data())
def test_a_pass_that_was_tampered_with_is_worth_nothing(data: Any, loop: Any, client: Any, access: str) -> None:
    pieces = access.split(".")
    where = data.draw(st.integers(0, 2))
    way = data.draw(st.sampled_from(["cut", "byte", "claims", "header", "noise"]))
    piece = pieces[where]
    if way == "cut":
        piece = piece[: data.draw(st.integers(0, len(piece) - 1))]
    elif way == "byte":
        at = data.draw(st.integers(0, len(piece) - 2))  # the last letter has bits that mean nothing
        new = data.draw(st.sampled_from("ABCDEFGHabcdefgh0189-_=.~!"))
        piece = piece[:at] + new + piece[at + 1 :] if new != piece[at] else piece[:at] + piece[at + 1 :]
    elif way == "noise":
        piece = data.draw(HEADER).replace(" ", "")
    else:
        anything = st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=6)
        names = st.sampled_from(["alg", "kid", "typ", "jku", "jwk", "crit", "exp", "sub", "aud", "iss", "sid"])
        given_words = json.dumps(data.draw(st.dictionaries(names, anything, max_size=5)))
        piece = jwt.utils.base64url_encode(given_words.encode()).decode()
    pieces[where] = piece
    forged = ".".join(pieces)
    if forged == access:
        return
    answer = loop.run(client.get("/api/me", headers={"Authorization": f"Bearer {forged}".encode()}))
    assert answer.status_code == 401
    typed(answer)


@CALM
@given(last=HEADER, after=st.text(max_size=60), which=st.sampled_from(["c_9", "%00", "none%2fx", "ü"]))
@example(last="-", after="", which="c_9")
@example(last="e0000000-99999999999999999999", after="", which="c_9")
def test_ids_to_resume_from_are_data(loop: Any, client: Any, last: str, after: str, which: str) -> None:
    answer = loop.run(
        client.get(f"/api/conversations/{which}/events", headers={"Last-Event-ID": last}, params={"after": after})
    )
    assert answer.status_code == 404
    typed(answer)


@pytest.mark.parametrize("last", ["", "-", "x-1", "99999999999999999999", "e-" + "9" * 300, "\x7f", "-1-2-3"])
def test_a_follower_with_a_strange_id_gets_what_is_kept(last: str) -> None:
    async def story() -> None:
        house = House()
        async with house.gateway._feed.follow("c_1", last) as news:
            house.gateway._closing.set()
            kinds = [one.kind async for one in news]
            assert kinds == ([] if not last else ["turn"] * 3)

    asyncio.run(story())


@CALM
@given(
    body=st.binary(max_size=300),
    boundary=st.text("abc-'()+_,./:=? ", max_size=80),
    path=st.sampled_from(["/v1/audio/transcriptions", "/v1/images/edits", "/v1/chat/completions", "/api/session"]),
)
@example(body=b"--x\r\nContent-Disposition: form-data; name=file; filename=\xff\r\n\r\n", boundary="x", path="/api/ask")
def test_forms_that_are_none(loop: Any, client: Any, body: bytes, boundary: str, path: str) -> None:
    answer = loop.run(
        client.post(path, content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
    )
    assert answer.status_code in (400, 401, 413, 429, 501), answer.text
    typed(answer)


WORDS = st.text(max_size=40)
FRAMES = st.one_of(
    WORDS,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["message", "resume", "cancel", "ping", "nothing", ""])},
        optional={
            "id": WORDS | st.integers() | st.none(),
            "text": WORDS | st.lists(WORDS, max_size=2),
            "conversation": WORDS | st.floats(allow_nan=False),
            "after": WORDS | st.integers(),
            "turn": WORDS,
            "locale": WORDS,
            "model": WORDS,
        },
    ).map(json.dumps),
    st.binary(max_size=60),
)


@pytest.mark.server
def test_a_web_client_that_talks_nonsense_is_answered_and_keeps_its_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path / "home"))
    (tmp_path / "kith.yaml").write_text("gateway: {port: 0}\nlog: {level: error}\n")
    frames: list[Any] = []

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(FRAMES)
    def collect(frame: Any) -> None:
        frames.append(frame)

    collect()

    async def story() -> None:
        async with open_household(load_settings(tmp_path / "kith.yaml"), serve=True) as house:
            assert house.gateway is not None
            token = await house.auth.new("fuzz")
            address = house.gateway.address.replace("http", "ws") + "/api/channels/web/live"
            async with connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
                for frame in (*frames, '{"type": "ping"}', "[" * 5000, '{"type":"message","id":' + "9" * 400 + "}"):
                    await socket.send(frame)
                await socket.send('{"type": "ping", "last": true}')
                pongs = sum(json_type(frame) == "ping" for frame in frames) + 2
                codes: set[str] = set()
                async with asyncio.timeout(90):
                    while pongs:
                        heard = json.loads(await socket.recv())
                        pongs -= heard["type"] == "pong"
                        codes |= {str(heard.get("code"))} if heard["type"] == "error" else set()
                assert codes <= {"bad_frame", "bad_field", "not_found", "refused"}, codes

    asyncio.run(story())


def json_type(frame: Any) -> str:
    try:
        found = json.loads(frame)
    except ValueError:
        return ""
    return str(found.get("type")) if isinstance(found, dict) else ""


@pytest.mark.server
def test_bytes_that_are_no_frames_end_their_connection_only() -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=1, max_size=80))
    def collect(raw: bytes) -> None:
        noise.append(raw)

    noise: list[bytes] = []
    collect()

    async def story() -> None:
        house = House()
        async with house.serving() as (address, token):
            port = int(address.rpartition(":")[2])
            head = (
                "GET /api/channels/live/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                f"Authorization: Bearer {token}\r\n\r\n"
            )
            for raw in noise:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(head.encode())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
                writer.write(raw)
                writer.write_eof()
                async with asyncio.timeout(90):
                    await reader.read()
                writer.close()
            url = f"{address.replace('http', 'ws')}/api/channels/live/live"
            async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
                await socket.send("still here")
                assert await socket.recv() == "still here"

    asyncio.run(story())
