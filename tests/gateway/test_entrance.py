"""Signing in from a browser, passes for programs, and the trace that both leave."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import jwt
import pyotp
import pytest

from kith.core.audit import By

HERE = "http://127.0.0.1:8787"


def browser(house: Any, scheme: str = "http") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(house.gateway.app)
    return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://127.0.0.1:8787", headers={"Origin": HERE})


def test_the_first_start_from_the_code_on_the_console_to_a_session(build: Any) -> None:
    async def story() -> None:
        house = build()
        code = await house.auth.claim()
        async with browser(house) as client:
            weak = await client.post("/api/session", json={"code": code, "password": "short"})
            assert weak.json()["error"]["faults"][0]["path"] == "password"
            entered = await client.post("/api/session", json={"code": code.lower(), "password": "four words of mine"})
            assert (entered.status_code, entered.json()["role"]) == (201, "owner")
            cookie = entered.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
            assert (await client.get("/api/flow")).status_code == 200
            again = await client.post("/api/session", json={"code": code, "password": "four words of mine"})
            assert again.status_code == 401  # once
            assert await house.auth.claim() is None
            assert (await client.delete("/api/session")).status_code == 200
            assert (await client.get("/api/flow")).status_code == 401
        names = [(act.name, act.outcome) for act in house.log.acts]
        assert ("session.open", "refused") in names and ("session.open", "done") in names
        assert "four words" not in repr(house.shelf.kept) + repr(house.log.acts) and code not in repr(house.shelf.kept)

    asyncio.run(story())


def test_a_cookie_is_used_from_our_own_pages_only(build: Any) -> None:
    async def story() -> None:
        house = build()
        secret, _ = await house.auth.enter({"token": await house.auth.new("x", "owner")}, By())
        body = {"name": "made by another site"}
        async with browser(house) as client:
            for origin, status in ((HERE, 201), ("http://evil.example", 403), ("null", 403), ("", 403)):
                client.headers = httpx.Headers({"Cookie": f"kith={secret}", **({"Origin": origin} if origin else {})})
                assert (await client.post("/api/tokens", json=body)).status_code == status
            client.headers = httpx.Headers({"Cookie": f"kith={secret}"})
            assert (await client.get("/api/flow")).status_code == 200
            for cookie in (f"__Host-kith={secret}", f"kith={secret}x", "kith=", "kith=;;==", "kith=kith_" + "A" * 43):
                client.headers = httpx.Headers({"Cookie": cookie, "Origin": HERE})
                assert (await client.get("/api/flow")).status_code == 401

    asyncio.run(story())


def test_over_tls_the_cookie_is_bound_to_this_host(build: Any) -> None:
    async def story() -> None:
        house = build()
        token = await house.auth.new("x", "owner")
        async with browser(house, "https") as client:
            client.headers["Origin"] = "https://127.0.0.1:8787"
            entered = await client.post("/api/session", json={"token": token})
            assert entered.headers["set-cookie"].startswith("__Host-kith=session_")
            assert "Secure" in entered.headers["set-cookie"]
            assert (await client.get("/api/flow")).status_code == 200

    asyncio.run(story())


def test_guessing_is_slow(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with browser(house) as client:
            wrong = {"code": "AAAA-BBBB-CCCC-DDDD", "password": "x" * 12}
            found = [(await client.post("/api/session", json=wrong)).status_code for _ in range(12)]
            assert found == [401] * 10 + [429] * 2
            assert len([act for act in house.log.acts if act.outcome == "refused"]) == 10

    asyncio.run(story())


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"code": 5}', b'{"name": "' + b"x" * 300 + b'"}'])
def test_nonsense_at_the_entrance_is_refused(build: Any, body: bytes) -> None:
    async def story() -> None:
        async with browser(build()) as client:
            for path in ("/api/session", "/api/passes/renew"):
                assert (await client.post(path, content=body)).status_code in (400, 401)

    asyncio.run(story())


def test_an_authenticator_is_asked_for_once_it_is_set_up_and_takes_no_code_twice(build: Any) -> None:
    async def story() -> None:
        house = build()
        _, code = await house.auth.users.add("Ann", "admin", 1, By())
        async with browser(house) as client:
            await client.post("/api/session", json={"code": code, "password": "four words of mine"})
            made = (await client.post("/api/authenticator/new")).json()
            assert made["address"].startswith("otpauth://totp/Kith:Ann?secret=")
            totp = pyotp.TOTP(made["secret"])

            def now() -> str:
                return totp.at(int(house.clock.now()))

            wrong = {"secret": made["secret"], "code": "000000"}
            assert (await client.post("/api/authenticator", json=wrong)).status_code == 403
            good = {"secret": made["secret"], "code": now()}
            assert (await client.get("/api/authenticator")).json() == {"on": False}
            assert (await client.post("/api/authenticator", json=good)).status_code == 200
            assert (await client.get("/api/authenticator")).json() == {"on": True}
            login = {"name": " ANN ", "password": "four words of mine"}
            needed = await client.post("/api/session", json=login)
            assert needed.json()["error"]["code"] == "second_factor_needed"
            assert (await client.post("/api/session", json={**login, "totp": now()})).status_code == 403  # used above
            house.clock.advance(30)
            assert (await client.post("/api/session", json={**login, "totp": now()})).status_code == 201
            house.clock.advance(30)
            off = {"secret": "", "code": now()}
            assert (await client.post("/api/authenticator", json=off)).status_code == 200
            assert (await client.post("/api/session", json=login)).status_code == 201

    asyncio.run(story())


def test_a_pass_is_renewed_and_a_copied_refresh_token_ends_it(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("member") as client:
            first = (await client.post("/api/passes")).json()
            keys = (await client.get("/.well-known/jwks.json")).json()
            public = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(first["access_token"])["kid"]]
            options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
            claims = jwt.decode(first["access_token"], public, ["EdDSA"], options=options)
            assert claims["sub"] == (await house.auth.list())[0].id and claims["exp"] - claims["iat"] == 900
            assert "d" not in keys["keys"][0] and "private" not in repr(keys)
            bearer = {"Authorization": f"Bearer {first['access_token']}"}
            assert (await client.get("/api/flow", headers=bearer)).status_code == 200
            renewed = await client.post("/api/passes/renew", json={"refresh": first["refresh_token"]})
            second = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
            assert (await client.get("/api/flow", headers=second)).status_code == 200
            stolen = await client.post("/api/passes/renew", json={"refresh": first["refresh_token"]})
            assert stolen.status_code == 401
            for headers in (bearer, second):
                assert (await client.get("/api/flow", headers=headers)).status_code == 401
            again = await client.post("/api/passes/renew", json={"refresh": renewed.json()["refresh_token"]})
            assert again.status_code == 401
        assert "grant.reused" in [act.name for act in house.log.acts]

    asyncio.run(story())


def test_signing_keys_change_and_old_tokens_stay_good_until_they_run_out(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("owner") as client:
            first = (await client.post("/api/passes")).json()["access_token"]
            house.clock.advance(7 * 86400 - 600)
            nearly = (await client.post("/api/passes")).json()["access_token"]
            house.clock.advance(601)
            later = (await client.post("/api/passes")).json()["access_token"]
            kids = [jwt.get_unverified_header(token)["kid"] for token in (first, nearly, later)]
            assert kids[0] == kids[1] != kids[2]
            for token, status in ((first, 401), (nearly, 200), (later, 200)):
                headers = {"Authorization": f"Bearer {token}"}
                assert (await client.get("/api/flow", headers=headers)).status_code == status
            house.clock.advance(8 * 86400)
            await client.post("/api/passes")
            assert len((await client.get("/.well-known/jwks.json")).json()["keys"]) == 1

    asyncio.run(story())


def test_signing_out_everywhere_ends_sessions_and_passes(build: Any) -> None:
    async def story() -> None:
        house = build()
        _, code = await house.auth.users.add("Ann", "member", 1, By())
        async with browser(house) as client:
            await client.post("/api/session", json={"code": code, "password": "four words of mine"})
            access = (await client.post("/api/passes")).json()["access_token"]
            assert (await client.delete("/api/sessions")).status_code == 200
            house.clock.advance(3)
            for headers in ({"Authorization": f"Bearer {access}"}, {}):
                assert (await client.get("/api/flow", headers=headers)).status_code == 401

    asyncio.run(story())


def test_the_audit_log_is_the_owners_to_read(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.client("owner") as client:
            await client.post("/api/tokens", json={"name": "phone", "role": "guest"})
            await client.post("/api/outbox/p_1/retry")
            await client.post("/api/flow/reload")
            entries = (await client.get("/api/audit", params={"limit": 2, "after": 1})).json()["entries"]
            assert [entry["act"]["name"] for entry in entries] == ["token.new", "flow.reload"]
            assert entries[0]["act"]["actor"] == "owner" and entries[0]["act"]["origin"] == "127.0.0.1"
            assert (await client.get("/api/audit/verify")).json() == {"last": 3, "fault": ""}
            assert (await client.get("/api/audit", params={"after": "x"})).status_code == 400

    asyncio.run(story())
