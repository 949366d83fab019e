"""Passkeys, second factors that have to be there, and single sign-on: each with a real other side, written here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pyotp
import pytest

from kith.core.audit import By
from kith.security import Identity, SecuritySettings
from tests.gateway.authenticator import Device
from tests.gateway.provider import SECRET, Provider

HERE = "http://localhost:8787"
PASSWORD = "four words of mine"


@asynccontextmanager
async def browser(house: Any, origin: str = HERE) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(house.gateway.app)
    async with httpx.AsyncClient(transport=transport, base_url=HERE, headers={"Origin": origin}) as client:
        yield client


async def enter(house: Any, client: httpx.AsyncClient, name: str, role: str) -> Any:
    _, code = await house.auth.users.add(name, role, 1, By())
    return await client.post("/api/session", json={"code": code, "password": PASSWORD})


async def register(client: httpx.AsyncClient, device: Device, name: str = "phone") -> httpx.Response:
    options = (await client.post("/api/passkeys/new")).json()
    return await client.post("/api/passkeys", json={"name": name, "credential": device.create(options)})


async def sign_in(client: httpx.AsyncClient, device: Device) -> httpx.Response:
    options = (await client.post("/api/session/passkey")).json()
    return await client.post("/api/session", json={"passkey": device.get(options)})


def test_a_passkey_signs_in_and_is_taken_away(housed: Any) -> None:
    async def story() -> None:
        house, device = housed(), Device(HERE)
        async with browser(house) as client:
            await enter(house, client, "Ann", "member")
            made = await register(client, device)
            assert made.status_code == 201, made.text
            listed = (await client.get("/api/passkeys")).json()["passkeys"]
            assert [one["name"] for one in listed] == ["phone"]
        assert "public" in repr(house.shelf.kept) and str(device.key.private_numbers().private_value) not in repr(house)
        async with browser(house) as fresh:
            entered = await sign_in(fresh, device)
            assert (entered.status_code, entered.json()["name"]) == (201, "Ann")
            assert (await fresh.get("/api/me")).json()["role"] == "member"
            assert (await fresh.delete(f"/api/passkeys/{listed[0]['id']}")).status_code == 200
            assert (await fresh.delete(f"/api/passkeys/{listed[0]['id']}")).status_code == 404
            assert (await sign_in(fresh, device)).status_code == 401
        names = [act.name for act in house.log.acts]
        assert {"passkey.new", "passkey.used", "passkey.remove"} <= set(names)

    asyncio.run(story())


def test_passkeys_that_are_not_what_they_seem_are_refused(housed: Any) -> None:
    async def story() -> None:
        house, device = housed(), Device(HERE)
        async with browser(house) as client:
            await enter(house, client, "Ann", "member")
            for wrong in (Device("https://evil.example"), Device(HERE, flags=1), Device(HERE, flags=4)):
                assert (await register(client, wrong)).status_code == 401
            assert (await register(client, device)).status_code == 201
            options = (await client.post("/api/passkeys/new")).json()
            assert (await client.post("/api/passkeys", json={"name": "x", "credential": {}})).status_code == 401
            other = Device(HERE)
            answer = {"name": "\x07", "credential": other.create(options)}
            assert (await client.post("/api/passkeys", json=answer)).status_code == 400
            house.clock.advance(301)
            late = {"name": "late", "credential": other.create(options)}
            assert (await client.post("/api/passkeys", json=late)).status_code == 401
        async with browser(house) as client:
            options = (await client.post("/api/session/passkey")).json()
            good = device.get(options)
            for change in (
                {"id": "AAAA", "rawId": "AAAA"},
                {"response": {**good["response"], "signature": "AAAA"}},
                {"response": {**good["response"], "authenticatorData": "!!"}},
                {"response": None},
                {"type": "other"},
                {"rawId": 5},
            ):
                house.clock.advance(10)
                answer = await client.post("/api/session", json={"passkey": {**good, **change}})
                assert answer.status_code == 401, change
            house.clock.advance(60)
            assert (await client.post("/api/session", json={"passkey": good})).status_code == 401  # used
            assert (await sign_in(client, device)).status_code == 201
            device.count = 0  # a copy of the key has counted less
            assert (await sign_in(client, device)).status_code == 401
            client.headers.pop("origin")
            assert (await client.post("/api/session/passkey")).json()["error"]["code"] == "passkey_needs_name"
        async with browser(house, "http://127.0.0.1:8787") as client:
            client.base_url = httpx.URL("http://127.0.0.1:8787")
            assert (await client.post("/api/session/passkey")).json()["error"]["code"] == "passkey_needs_name"
        async with house.client("member") as program:
            made = await program.post("/api/passkeys/new", headers={"Origin": HERE, "Host": "localhost:8787"})
            assert made.status_code == 404  # tokens are not people

    asyncio.run(story())


def test_an_admin_without_a_second_factor_has_the_rights_of_a_guest(housed: Any) -> None:
    async def story() -> None:
        house = housed()
        async with browser(house) as client:
            entered = await enter(house, client, "Ann", "admin")
            assert entered.json()["role"] == "guest"
            me = (await client.get("/api/me")).json()
            assert (me["role"], me["needs"]) == ("guest", "second_factor")
            assert (await client.get("/api/users")).status_code == 403
            weak = (await client.post("/api/passes")).json()["access_token"]
            made = (await client.post("/api/authenticator/new")).json()
            code = pyotp.TOTP(made["secret"]).at(int(house.clock.now()))
            secured = await client.post("/api/authenticator", json={"secret": made["secret"], "code": code})
            assert secured.status_code == 200
            me = (await client.get("/api/me")).json()
            assert (me["role"], me["needs"]) == ("admin", "")
            assert (await client.get("/api/users")).status_code == 200
            house.clock.advance(3)
            bearer = {"Authorization": f"Bearer {weak}"}
            assert (await client.get("/api/users", headers=bearer)).status_code == 403  # given in the weak hour
            strong = (await client.post("/api/passes")).json()["access_token"]
            assert (await client.get("/api/users", headers={"Authorization": f"Bearer {strong}"})).status_code == 200
        async with browser(house) as client:
            await enter(house, client, "Bob", "member")
            assert (await client.get("/api/me")).json()["role"] == "member"  # asked of admins only

    asyncio.run(story())


def test_a_password_alone_sets_no_second_factor_up_where_there_is_one(housed: Any) -> None:
    async def story() -> None:
        house, device = housed(), Device(HERE)
        async with browser(house) as client:
            await enter(house, client, "Ann", "admin")
            assert (await register(client, device)).status_code == 201
            assert (await client.get("/api/me")).json()["role"] == "admin"
        async with browser(house) as thief:
            entered = await thief.post("/api/session", json={"name": "Ann", "password": PASSWORD})
            assert entered.json()["role"] == "guest"
            made = (await thief.post("/api/authenticator/new")).json()
            code = pyotp.TOTP(made["secret"]).at(int(house.clock.now()))
            tried = await thief.post("/api/authenticator", json={"secret": made["secret"], "code": code})
            assert tried.json()["error"]["code"] == "second_factor_needed"
            assert (await thief.post("/api/passkeys/new")).json()["error"]["code"] == "second_factor_needed"
            listed = (await thief.get("/api/passkeys")).json()["passkeys"]
            assert (await thief.delete(f"/api/passkeys/{listed[0]['id']}")).status_code == 403
        user = (await house.auth.users.named("Ann"))["id"]
        code = await house.auth.users.invite(user, 1, By())  # the way back for whoever lost the device
        async with browser(house) as client:
            await client.post("/api/session", json={"code": code, "password": PASSWORD})
            assert (await client.get("/api/passkeys")).json()["passkeys"] == []
            assert (await register(client, Device(HERE))).status_code == 201

    asyncio.run(story())


def test_where_others_can_reach_the_door_a_second_factor_is_asked_for_by_itself(build: Any) -> None:
    async def story() -> None:
        house = build()
        for reachable, role in ((False, "owner"), (True, "guest")):
            settings = SecuritySettings()
            auth = Identity(house.shelf, house.log, settings, house.clock, house.ids, reachable=reachable)
            house.shelf.kept.clear()
            _, principal = await auth.enter({"code": await auth.claim(), "password": PASSWORD}, By())
            assert principal.role == role

    asyncio.run(story())


def test_a_changed_role_ends_what_was_opened_before(housed: Any) -> None:
    async def story() -> None:
        house = housed()
        async with browser(house) as client:
            entered = await enter(house, client, "Ann", "member")
            async with house.client("owner") as owner:
                changed = await owner.post(f"/api/users/{entered.json()['id']}", json={"role": "guest"})
                assert changed.json()["role"] == "guest"
            house.clock.advance(3)
            assert (await client.get("/api/me")).status_code == 401
        assert {"user.change", "session.end_all"} <= {act.name for act in house.log.acts}

    asyncio.run(story())


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


def federated(provider: Provider, **more: Any) -> SecuritySettings:
    oidc = {"issuer": provider.issuer, "client_id": "kith", "client_secret": SECRET, "roles": {"family": "member"}}
    return SecuritySettings.model_validate({"oidc": {**oidc, **more}})


async def journey(client: httpx.AsyncClient) -> httpx.Response:
    """As a browser goes: to the provider, which asks nobody anything here, and back."""
    start = await client.get("/api/oidc/start")
    assert start.status_code == 303, start.text
    cookie = start.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/api/oidc" in cookie
    async with httpx.AsyncClient() as outside:
        back = await outside.get(start.headers["location"])
    return await client.get(back.headers["location"])


def test_single_sign_on_lets_in_whom_the_settings_name(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client:
            assert (await client.get("/api/oidc")).json() == {"available": True}
            arrived = await journey(client)
            assert (arrived.status_code, arrived.headers.get("location")) == (303, "/app/"), arrived.text
            me = (await client.get("/api/me")).json()
            assert (me["name"], me["role"]) == ("Mia", "member")
            again = await journey(client)
            assert again.status_code == 303
            assert len(await house.auth.users.all()) == 1
            provider.claims = {**provider.claims, "sub": "8"}  # another one of the same name
            await journey(client)
            assert (await client.get("/api/me")).json()["name"] == "Mia 2"
            user = (await client.get("/api/me")).json()["id"]
            await house.auth.users.change(user, By(), disabled=True)
            assert (await journey(client)).status_code == 401
            provider.claims = {"sub": "9", "preferred_username": "Eve", "groups": ["strangers"]}
            refused = await journey(client)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_admitted")
            assert len(await house.auth.users.all()) == 2
        assert ("session.open", "refused") in [(act.name, act.outcome) for act in house.log.acts]

    asyncio.run(story())


def test_claims_may_come_from_the_userinfo_and_roles_follow_them(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider, roles={"family": "member", "heads": "admin"}, role_claim="teams"))
        provider.now = house.clock.now
        provider.claims = {"sub": "7", "name": "Mia", "amr": ["pwd", "otp"]}
        provider.userinfo = {"sub": "7", "teams": ["heads", "family"]}
        async with browser(house) as client:
            assert (await journey(client)).status_code == 303
            assert (await client.get("/api/me")).json()["role"] == "admin"
            provider.userinfo = {"sub": "7", "teams": "family"}
            assert (await journey(client)).status_code == 303
            house.clock.advance(3)
            assert (await client.get("/api/me")).json()["role"] == "member"
            provider.userinfo = {"sub": "somebody else", "teams": ["heads"]}
            provider.claims["sub"] = "10"
            assert (await journey(client)).status_code == 403

    asyncio.run(story())


def sign(claims: dict[str, Any], algorithm: str, key: Any) -> str:
    return jwt.encode(claims, key, algorithm, {"kid": "k1"})


TWISTS: dict[str, Any] = {
    "another nonce": lambda claims: {**claims, "nonce": "n"},
    "no nonce": lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
    "another issuer": lambda claims: {**claims, "iss": "https://evil.example"},
    "another audience": lambda claims: {**claims, "aud": "another"},
    "several audiences": lambda claims: {**claims, "aud": ["kith", "another"]},
    "another party": lambda claims: {**claims, "azp": "another"},
    "run out": lambda claims: {**claims, "exp": claims["iat"] - 61},
    "of the future": lambda claims: {**claims, "iat": claims["iat"] + 61},
    "no subject": lambda claims: {**claims, "sub": ""},
    "no expiry": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "unsigned": lambda claims: sign(claims, "none", None),
    "symmetric": lambda claims: sign(claims, "HS256", SECRET * 2),
    "nonsense": lambda claims: "eyJ.x.y",
    "empty": lambda claims: "",
    "deep": lambda claims: "[" * 3000,
}


@pytest.mark.parametrize("twist", TWISTS)
def test_tokens_that_are_not_as_they_have_to_be_open_nothing(housed: Any, provider: Provider, twist: str) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now, provider.twist = house.clock.now, TWISTS[twist]
        async with browser(house) as client:
            refused = await journey(client)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthenticated")
            assert not await house.auth.users.all()

    asyncio.run(story())


def test_the_way_back_is_good_once_and_in_the_same_browser(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client, browser(house) as other, httpx.AsyncClient() as outside:
            start = await client.get("/api/oidc/start")
            back = (await outside.get(start.headers["location"])).headers["location"]
            assert (await other.get(back)).status_code == 401  # a sign-in that somebody else began
            assert (await client.get(back)).status_code == 401  # and it is used up
            for query in ("", "?code=x&state=y", "?error=access_denied", f"{'?state=' + 'x' * 5000}"):
                assert (await client.get(f"/api/oidc/return{query}")).status_code == 401
            start = await client.get("/api/oidc/start")
            back = (await outside.get(start.headers["location"])).headers["location"]
            house.clock.advance(601)
            assert (await client.get(back)).status_code == 401
            assert (await client.get(f"{back}&iss=https://evil.example")).status_code == 401

    asyncio.run(story())


def test_a_provider_that_changes_its_key_is_asked_again(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client:
            assert (await journey(client)).status_code == 303
            provider.kid = "k2"
            assert (await journey(client)).status_code == 401  # not at once: anybody could make us ask
            house.clock.advance(61)
            assert (await journey(client)).status_code == 303
            assert provider.fetched.count("/keys") == 2

    asyncio.run(story())


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": None},
        {"jwks_uri": 5},
    ],
)
def test_a_provider_that_describes_another_is_not_believed(housed: Any, provider: Provider, description: Any) -> None:
    async def story() -> None:
        provider.description = description
        async with browser(housed(federated(provider))) as client:
            assert (await client.get("/api/oidc/start")).json()["error"]["code"] == "bad_answer"

    asyncio.run(story())


def test_without_a_provider_there_is_no_single_sign_on(housed: Any) -> None:
    async def story() -> None:
        async with browser(housed()) as client:
            assert (await client.get("/api/oidc")).json() == {"available": False}
            for path in ("start", "return"):
                assert (await client.get(f"/api/oidc/{path}")).status_code == 404

    asyncio.run(story())
