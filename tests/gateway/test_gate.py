"""The gate: hosts, origins, credentials; closed by default."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from kith.gateway import GatewaySettings


def test_the_description_covers_every_route_and_its_references_resolve(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client() as client:
            answer = await client.get("/openapi.json")
        document = answer.json()
        registered = {route.path for route in house.gateway.app._app.routes}
        described = {path.replace("{name}", "{name:path}").replace("}", ":str}") for path in document["paths"]}
        described = {path.replace(":path:str", ":path") for path in described}
        described |= {path.replace(":path}", ":str}") for path in described if path.startswith("/api/personas/")}
        pages = {"/app", "/app/{path:path}"}
        assert registered - {"/api/channels/{name:str}/live"} - pages - described == set()
        assert document["openapi"] == "3.1.0"
        schemas = document["components"]["schemas"]
        for name in [piece.split('"')[0] for piece in answer.text.split("#/components/schemas/")[1:]]:
            assert name in schemas
        operation = document["paths"]["/v1/chat/completions"]["post"]
        assert {"400", "401", "404", "413", "429", "503"} <= set(operation["responses"])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("host", "welcome"),
    [
        ("127.0.0.1", True),
        ("localhost:8787", True),
        ("LOCALHOST", True),
        ("[::1]:8787", True),
        ("evil.example", False),
        ("evil.example:8787", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
        ("[::1", False),
        ("127.0.0.1:80@evil", False),
        ("0.0.0.0", False),
    ],
)
def test_a_rebound_name_is_refused(build: Any, host: str, welcome: bool) -> None:
    async def story() -> None:
        async with build().client() as client:
            for path in ("/health/live", "/v1/models"):
                answer = await client.get(path, headers={"Host": host})
                assert answer.status_code == (200 if welcome else 403)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://127.0.0.1:8787", True),
        ("http://evil.example", False),
        ("null", False),
        ("http://127.0.0.1:3000", False),
        ("http://127.0.0.1:8787.evil.example", False),
    ],
)
def test_pages_of_other_sites_are_refused(build: Any, origin: str, welcome: bool) -> None:
    async def story() -> None:
        async with build().client() as client:
            answer = await client.get("/v1/models", headers={"Origin": origin})
            assert answer.status_code == (200 if welcome else 403)
            assert "access-control-allow-origin" not in answer.headers

    asyncio.run(story())


def test_answers_carry_headers_that_keep_browsers_careful(build: Any) -> None:
    async def story() -> None:
        async with build().client() as client:
            for path in ("/", "/v1/models", "/none"):
                headers = (await client.get(path)).headers
                assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"

    asyncio.run(story())


def test_a_bug_of_the_authenticator_is_not_shown(build: Any) -> None:
    class Bug:
        async def authenticate(self, credential: str) -> Any:
            raise RuntimeError("secret")

    async def story() -> None:
        house = build()
        house.gateway.app._auth = Bug()
        async with house.client() as client:
            answer: httpx.Response = await client.get("/v1/models")
        assert answer.status_code == 500 and "secret" not in answer.text

    asyncio.run(story())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "", "127.0.0.1/8"])
def test_an_address_that_others_reach_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="loopback"):
        GatewaySettings(host=host)


@pytest.mark.parametrize(("given", "used"), [("localhost", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")])
def test_a_loopback_address_is_taken(given: str, used: str) -> None:
    assert GatewaySettings(host=given).host == used
