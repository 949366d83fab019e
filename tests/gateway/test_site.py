"""The web app's files, and what it asks for."""

from __future__ import annotations

import asyncio
import gzip
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from kith.core.message import Message, Text
from kith.core.people import Conversation
from kith.gateway.site import Site, built

PAGE = b"<!doctype html><title>Kith</title>" + b" " * 2000


def app(pages: Path) -> Any:
    return Litestar([*Site(pages).routes()], openapi_config=None)


def client(pages: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app(pages)), base_url="http://127.0.0.1")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    place = tmp_path / "pages"
    (place / "assets").mkdir(parents=True)
    (place / "index.html").write_bytes(PAGE)
    (place / "index.html.gz").write_bytes(gzip.compress(PAGE))
    (place / "assets" / "index-abc.js").write_text("export {};")
    (place / "manifest.webmanifest").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    return place


def test_pages_are_served_with_a_policy_that_lets_no_foreign_script_in(pages: Path) -> None:
    async def story() -> None:
        async with client(pages) as http:
            page = await http.get("/app/")
            deep = await http.get("/app/c/main")
        assert page.content == deep.content == PAGE
        assert page.headers["content-encoding"] == "gzip"
        assert page.headers["cache-control"] == "no-cache"
        policy = page.headers["content-security-policy"]
        scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
        assert scripts == "script-src 'self'"
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["referrer-policy"] == "no-referrer"

    asyncio.run(story())


def test_assets_last_and_pages_are_asked_again(pages: Path) -> None:
    async def story() -> None:
        async with client(pages) as http:
            asset = await http.get("/app/assets/index-abc.js")
            assert asset.headers["content-type"] == "text/javascript; charset=utf-8"
            assert "immutable" in asset.headers["cache-control"]
            manifest = await http.get("/app/manifest.webmanifest")
            assert manifest.headers["content-type"].startswith("application/manifest+json")
            tag = (await http.get("/app/")).headers["etag"]
            again = await http.get("/app/", headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b"")
            plain = await http.get("/app/", headers={"Accept-Encoding": "identity"})
            assert "content-encoding" not in plain.headers
            assert plain.content == PAGE

    asyncio.run(story())


@pytest.mark.parametrize(
    "path",
    [
        "/app/../secret.txt",
        "/app/..%2fsecret.txt",
        "/app/%2e%2e/secret.txt",
        "/app/assets/../../secret.txt",
        "/app//etc/passwd.txt",
        "/app/index.html.gz",
        "/app/nothing.js",
        "/app/%00.txt",
        "/app/" + "a/" * 500 + "x.txt",
    ],
)
def test_nothing_else_is_served(pages: Path, path: str) -> None:
    async def story() -> None:
        async with client(pages) as http:
            answer = await http.get(httpx.URL("http://127.0.0.1", raw_path=path.encode()))
        assert answer.status_code == 404
        assert b"secret" not in answer.content

    asyncio.run(story())


def test_a_page_that_is_not_built_yet_says_so_and_appears_when_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        place = tmp_path / "pages"
        async with client(place) as http:
            absent = await http.get("/app/")
            assert absent.status_code == 503
            assert "make web" in absent.text
            assert not built(place)
            place.mkdir()
            (place / "index.html").write_bytes(PAGE)
            assert (await http.get("/app/")).content == PAGE
            assert built(place)
            (place / "index.html").write_bytes(b"newer")
            os.utime(place / "index.html", ns=(1, 1))
            assert (await http.get("/app/")).content == b"newer"

    asyncio.run(story())


def test_a_browser_is_led_to_the_app_without_a_token_and_a_program_is_not(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client(Authorization="") as http:
            led = await http.get("/", headers={"Accept": "text/html,*/*"})
            assert (led.status_code, led.headers["location"]) == (307, "/app/")
            assert (await http.get("/")).json()["name"] == "Kith"
            assert (await http.get("/app")).headers["location"] == "/app/"
            assert (await http.get("/app/")).status_code in (200, 503)
            assert (await http.get("/api/me")).status_code == 401
            assert (await http.get("/application")).status_code == 401

    asyncio.run(story())


def test_who_one_is_and_which_models_there_are(build: Any) -> None:
    async def story() -> None:
        house = build()
        house.health.report("model:small", "ready", "warm", required=False)
        async with house.client("member") as http:
            me = (await http.get("/api/me")).json()
            models = (await http.get("/api/models")).json()["models"]
        assert (me["role"], me["name"]) == ("member", "test")
        small = next(model for model in models if model["name"] == "small")
        assert (small["condition"], small["detail"]) == ("ready", "warm")
        assert "path" not in small

    asyncio.run(story())


def test_history_shows_last_words_and_finds_what_was_said(build: Any) -> None:
    async def story() -> None:
        house = build()
        kept = house.store.known["c_1"]
        house.store.known["c_1"] = Conversation(kept.id, "live", "local", "owner:home", members=kept.members)
        said = Message("m_2", "assistant", (Text("The Eiffel tower is in Paris, 巴黎。"),), 2.0)
        house.store.said = [replace(turn, spoke=(said,)) if turn.id == "turn_2" else turn for turn in house.store.said]
        async with house.client() as http:
            rows = (await http.get("/api/history")).json()["conversations"]
            assert next((row["id"], row["name"], row["title"]) for row in rows) == ("c_1", "home", "hello")
            assert next(row for row in rows if row["id"] == "c_2")["name"] == ""
            found = (await http.get("/api/history", params={"q": "eiffel"})).json()["conversations"]
            assert {row["turn"] for row in found} == {"turn_2"}
            assert "Eiffel" in found[0]["excerpt"]
            assert (await http.get("/api/history", params={"q": "巴黎"})).json()["conversations"]
            assert (await http.get("/api/history", params={"q": "nowhere"})).json()["conversations"] == []
            assert (await http.get("/api/history", params={"q": "x" * 201})).status_code == 400
            assert (await http.get("/api/history", params={"limit": "0"})).status_code == 400

    asyncio.run(story())


def test_others_conversations_are_not_in_a_members_history(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("member") as http:
            assert (await http.get("/api/history")).json()["conversations"] == []
            assert (await http.get("/api/history", params={"q": "hello"})).json()["conversations"] == []

    asyncio.run(story())
