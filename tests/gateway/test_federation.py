"""The provider's account joined to one that is there, by its person or by a verified address; and never taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pyotp
import pytest

from kith.core.audit import By
from kith.runtime.buckets import Buckets
from tests.gateway.authenticator import Device
from tests.gateway.provider import Provider
from tests.gateway.test_factors import HERE, PASSWORD, browser, enter, federated, journey, register

PAGE = {"Accept": "text/html,*/*"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        found.claims = {"sub": "7", "preferred_username": "mia@work"}
        yield found


@pytest.fixture
def house(housed: Any, provider: Provider) -> Any:
    made = housed(federated(provider))
    provider.now = made.clock.now
    return made


async def begin(client: httpx.AsyncClient) -> str:
    """Begin to connect; the address to which the provider then sends the browser."""
    begun = await client.post("/api/oidc/links")
    assert begun.status_code == 201, begun.text
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/api/oidc" in cookie
    async with httpx.AsyncClient() as outside:
        return (await outside.get(begun.json()["address"])).headers["location"]


async def connect(client: httpx.AsyncClient, headers: Mapping[str, str] = PAGE) -> httpx.Response:
    return await client.get(await begin(client), headers=headers)


def where(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def links(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await client.get("/api/oidc/links")).json()["links"]


def acts(house: Any) -> list[tuple[str, str]]:
    return [(act.name, act.outcome) for act in house.log.acts]


def test_whoever_is_signed_in_connects_and_disconnects(house: Any) -> None:
    async def story() -> None:
        async with browser(house) as client:
            user = (await enter(house, client, "Ann", "admin")).json()["id"]
            assert (await client.get("/api/oidc/links")).json() == {"available": True, "links": []}
            assert where(await connect(client)) == "/app/settings?connected"
            assert where(await connect(client)) == "/app/settings?connected"  # once more is nothing new
            mine = await links(client)
            assert [(one["name"], one["issuer"], one["way"]) for one in mine] == [
                ("mia@work", house.auth._settings.oidc.issuer, "hand")
            ]
        async with browser(house) as other:
            assert where(await journey(other)) == "/app/"
            me = (await other.get("/api/me")).json()
            assert (me["id"], me["name"], me["role"]) == (user, "Ann", "admin")  # the role that the house gave
            async with browser(house) as client:
                await client.post("/api/session", json={"name": "Ann", "password": PASSWORD})
                assert (await client.delete("/api/oidc/links/nothing")).json()["error"]["code"] == "link_not_found"
                assert (await client.delete(f"/api/oidc/links/{mine[0]['id']}")).status_code == 200
                assert await links(client) == []
                assert (await client.get("/api/me")).status_code == 200
            assert (await other.get("/api/me")).status_code == 401  # what it had opened is over
            assert (await journey(other)).json()["error"]["code"] == "not_admitted"
        assert ("federated.connect", "done") in acts(house) and ("federated.disconnect", "done") in acts(house)
        joined = next(act for act in house.log.acts if act.name == "federated.connect")
        assert (joined.actor, joined.subject, joined.detail["way"]) == (user, user, "hand")

    asyncio.run(story())


def test_what_a_connection_opened_ends_with_it_access_tokens_too(house: Any) -> None:
    async def story() -> None:
        async with browser(house) as ann, browser(house) as other, browser(house) as program:
            await enter(house, ann, "Ann", "admin")
            assert where(await connect(ann)) == "/app/settings?connected"
            link = (await links(ann))[0]["id"]
            own = (await ann.post("/api/passes")).json()
            await journey(other)
            first = (await other.post("/api/passes")).json()

            async def me(token: str) -> int:
                return (await program.get("/api/me", headers={"Authorization": f"Bearer {token}"})).status_code

            bearer = {"Authorization": f"Bearer {first['access_token']}"}
            second = (await program.post("/api/passes", headers=bearer)).json()  # opened by what it had opened
            renewed = (await program.post("/api/passes/renew", json={"refresh": second["refresh_token"]})).json()
            tokens = [one["access_token"] for one in (first, second, renewed)]
            assert [await me(token) for token in (*tokens, own["access_token"])] == [200] * 4
            assert (await ann.delete(f"/api/oidc/links/{link}")).status_code == 200
            assert [await me(token) for token in tokens] == [401] * 3
            assert await me(own["access_token"]) == 200  # her password opened this one
            again = await program.post("/api/passes/renew", json={"refresh": renewed["refresh_token"]})
            assert again.status_code == 401
        ended = next(act for act in house.log.acts if act.name == "federated.disconnect")
        assert ended.detail == {"ended": "3"}  # a session and two grants

    asyncio.run(story())


def test_an_account_of_the_provider_opens_one_account_only(house: Any) -> None:
    async def story() -> None:
        async with browser(house) as ann, browser(house) as bob:
            await enter(house, ann, "Ann", "member")
            await enter(house, bob, "Bob", "member")
            assert where(await connect(ann)) == "/app/settings?connected"
            assert where(await connect(bob)) == "/app/settings?refused=link_taken"
            told = await connect(bob, {})
            assert (told.status_code, told.json()["error"]["code"]) == (403, "link_taken")
            assert await links(bob) == []
            mine = (await links(ann))[0]["id"]
            assert (await bob.delete(f"/api/oidc/links/{mine}")).status_code == 404  # not Bob's to take away
        assert ("federated.connect", "refused") in acts(house)

    asyncio.run(story())


def test_what_was_begun_ends_once_in_the_same_browser_and_session(house: Any) -> None:
    async def story() -> None:
        async with browser(house) as ann, browser(house) as eve:
            await enter(house, ann, "Ann", "member")
            await enter(house, eve, "Eve", "member")
            back = await begin(eve)
            assert (await ann.get(back)).status_code == 401  # Eve's journey does not end in Ann's browser
            assert (await eve.get(back)).status_code == 401  # and it is used up
            back = await begin(ann)
            assert where(await ann.get(back)) == "/app/settings?connected"
            assert (await ann.get(back)).status_code == 401  # a second time
            back = await begin(eve)
            await eve.delete("/api/session")
            assert where(await eve.get(back, headers=PAGE)) == "/app/settings?refused=unauthenticated"
            back = await begin(ann)
            house.clock.advance(601)
            assert (await ann.get(back)).status_code == 401
            start = await ann.get("/api/oidc/start")  # begun to sign in: connects nothing
            async with httpx.AsyncClient() as outside:
                back = (await outside.get(start.headers["location"])).headers["location"]
            assert where(await ann.get(back)) == "/app/"
            assert len(await links(ann)) == 1

    asyncio.run(story())


def test_only_a_signed_in_person_connects(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client:
            assert (await client.post("/api/oidc/links")).status_code == 401
            await enter(house, client, "Ann", "member")
            forged = await client.post("/api/oidc/links", headers={"Origin": "https://evil.example"})
            assert forged.status_code == 403  # another page makes nobody connect
            pass_ = (await client.post("/api/passes")).json()["access_token"]
        async with browser(house) as program:
            told = await program.post("/api/oidc/links", headers={"Authorization": f"Bearer {pass_}"})
            assert told.json()["error"]["code"] == "browser_needed"

    asyncio.run(story())


def test_one_factor_connects_nothing_where_there_are_two(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider).model_copy(update={"second_factor": "admins"}))
        provider.now = house.clock.now
        async with browser(house) as client:
            await enter(house, client, "Ann", "admin")
            assert where(await connect(client)) == "/app/settings?connected"
            mine = (await links(client))[0]["id"]
            assert (await register(client, Device(HERE))).status_code == 201
        async with browser(house) as thief:
            await thief.post("/api/session", json={"name": "Ann", "password": PASSWORD})
            assert (await thief.post("/api/oidc/links")).json()["error"]["code"] == "second_factor_needed"
            told = await thief.delete(f"/api/oidc/links/{mine}")
            assert told.json()["error"]["code"] == "second_factor_needed"

    asyncio.run(story())


async def secured(house: Any, client: httpx.AsyncClient) -> pyotp.TOTP:
    """Set up an authenticator, as who is signed in."""
    made = (await client.post("/api/authenticator/new")).json()
    totp = pyotp.TOTP(made["secret"])
    shown = {"secret": made["secret"], "code": totp.at(int(house.clock.now()))}
    assert (await client.post("/api/authenticator", json=shown)).status_code == 200
    house.clock.advance(60)
    return totp


def test_an_authenticator_set_up_later_is_asked_for_after_single_sign_on(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client:
            await enter(house, client, "Ann", "member")
            assert where(await connect(client)) == "/app/settings?connected"
            assert where(await journey(client)) == "/app/"  # nothing is lacking yet
            totp = await secured(house, client)
        async with browser(house) as client:
            back = await journey(client)
            assert where(back) == "/app/?refused=second_factor_needed"
            cookie = next(one for one in back.headers.get_list("set-cookie") if one.startswith("kith-half="))
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/api/session" in cookie
            assert (await client.get("/api/me")).status_code == 401
            assert (await client.post("/api/session", json={"totp": "000000"})).status_code == 403
            code = {"totp": totp.at(int(house.clock.now()))}
            entered = await client.post("/api/session", json=code)
            assert (entered.status_code, entered.json()["name"]) == (201, "Ann")
            assert (await client.get("/api/me")).json()["name"] == "Ann"
            house.clock.advance(60)
            again = {"totp": totp.at(int(house.clock.now()))}
            assert (await client.post("/api/session", json=again)).status_code == 401  # good once
        for ways, goal in (
            (["pwd", "otp"], "/app/"), (["mfa"], "/app/"), (["hwk"], "/app/"),
            (["pwd"], "/app/?refused=second_factor_needed"), ([], "/app/?refused=second_factor_needed"),
        ):  # fmt: skip
            provider.claims = {"sub": "7", "preferred_username": "mia@work", "amr": ways}
            async with browser(house) as client:
                assert where(await journey(client)) == goal

    asyncio.run(story())


def test_the_second_half_is_bound_to_its_browser_its_tries_and_its_time(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client:
            await enter(house, client, "Ann", "member")
            assert where(await connect(client)) == "/app/settings?connected"
            totp, mine = await secured(house, client), (await links(client))[0]["id"]

            async def tried(other: httpx.AsyncClient, code: str = "") -> int:
                house.clock.advance(60)
                shown = {"totp": code or totp.at(int(house.clock.now()))}
                return (await other.post("/api/session", json=shown)).status_code

            async with browser(house) as stranger:
                await journey(stranger)
                async with browser(house) as thief:
                    assert await tried(thief) == 401
                    thief.cookies.set("kith-half", "half_nothing")
                    assert await tried(thief) == 401
                for _ in range(5):
                    assert await tried(stranger, "000000") == 403
                assert await tried(stranger) == 401
            async with browser(house) as late:
                await journey(late)
                house.clock.advance(300)
                assert await tried(late) == 401
            async with browser(house) as parted:
                await journey(parted)
                assert (await client.delete(f"/api/oidc/links/{mine}")).status_code == 200
                assert await tried(parted) == 401

    asyncio.run(story())


def test_codes_are_not_guessed_by_many_journeys_from_many_addresses(
    housed: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now = house.clock.now
        async with browser(house) as client:
            await enter(house, client, "Ann", "member")
            assert where(await connect(client)) == "/app/settings?connected"
            await secured(house, client)
        take, told = Buckets.take, list[int]()

        def elsewhere(self: Buckets, key: Any, code: str = "rate_limited") -> None:
            if key[0] not in ("origin", "journey"):
                take(self, key, code)

        monkeypatch.setattr(Buckets, "take", elsewhere)
        for _ in range(3):
            async with browser(house) as guesser:
                await journey(guesser)
                told += [(await guesser.post("/api/session", json={"totp": "000000"})).status_code for _ in range(5)]
        assert told == [403] * 10 + [429] * 5

    asyncio.run(story())


def test_nobody_locks_themselves_out_and_a_new_code_ends_what_was_connected(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now, provider.claims = house.clock.now, {"sub": "7", "name": "Mia", "groups": ["family"]}
        async with browser(house) as client:
            await journey(client)  # an account that single sign-on makes
            mine = (await links(client))[0]["id"]
            told = await client.delete(f"/api/oidc/links/{mine}")
            assert told.json()["error"]["code"] == "last_way_in"
            assert (await register(client, Device(HERE))).status_code == 201
            assert (await client.delete(f"/api/oidc/links/{mine}")).status_code == 200
            assert (await client.get("/api/me")).status_code == 200  # the session that did it goes on
        async with browser(house) as client:
            provider.claims = {"sub": "8"}
            user = (await enter(house, client, "Ann", "member")).json()["id"]
            assert where(await connect(client)) == "/app/settings?connected"
            old, lent = dict(client.cookies), (await client.post("/api/passes")).json()["access_token"]
            code = await house.auth.users.invite(user, 1, By())
            await client.post("/api/session", json={"code": code, "password": PASSWORD})
            assert await links(client) == []
        async with browser(house) as other:  # whoever was in by what was lost
            assert (await other.get("/api/me", headers={"Authorization": f"Bearer {lent}"})).status_code == 401
            other.cookies.update(old)
            assert (await other.get("/api/me")).status_code == 401

    asyncio.run(story())


def test_whoever_leaves_the_group_is_not_let_in_any_more(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider))
        provider.now, provider.claims = house.clock.now, {"sub": "7", "name": "Mia", "groups": ["family"]}
        async with browser(house) as client:
            assert where(await journey(client)) == "/app/"
            provider.claims = {"sub": "7", "name": "Mia", "groups": ["strangers"]}
            refused = await journey(client)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_admitted")

    asyncio.run(story())


MAIL = {"sub": "7", "email": "Ann@Home.example", "email_verified": True}


async def arrived(house: Any, claims: Mapping[str, Any], provider: Provider) -> str:
    """Whose account a sign-in with these claims opens; empty for nobody's."""
    provider.claims = dict(claims)
    async with browser(house) as client:
        house.clock.advance(20)
        answer = await journey(client)
        return (await client.get("/api/me")).json()["name"] if answer.status_code == 303 else ""


def test_a_verified_address_opens_the_account_of_that_name_where_settings_say_so(
    housed: Any, provider: Provider
) -> None:
    async def story() -> None:
        for allowed in (False, True):
            house = housed(federated(provider, link_by_mail=allowed))
            provider.now = house.clock.now
            await house.auth.users.add("ann@home.example", "member", 1, By())
            assert await arrived(house, MAIL, provider) == ("ann@home.example" if allowed else "")
        assert await arrived(house, {"sub": "7"}, provider) == "ann@home.example"  # from now on by its subject
        assert await arrived(house, {**MAIL, "sub": "8"}, provider) == ""  # and by no other
        link = next(act for act in house.log.acts if act.name == "federated.connect")
        assert link.detail["way"] == "mail"

    asyncio.run(story())


UNPROVEN: dict[str, dict[str, Any]] = {
    "not verified": {"email_verified": False},
    "verified in words": {"email_verified": "true"},
    "a number": {"email_verified": 1},
    "nothing said of it": {"email_verified": None},
    "another address": {"email": "bob@home.example"},
    "no text": {"email": ["ann@home.example"]},
    "letters that look alike": {"email": "ann@home.e\u0445ample"},
    "letters that fold alike": {"email": "\u212aate@home.example"},
    "blanks": {"email": " ann@home.example"},
    "two": {"email": "ann@home.example@evil.example"},
    "a name": {"email": None, "preferred_username": "ann@home.example"},
}


def test_an_address_that_is_not_proven_opens_nothing(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider, link_by_mail=True))
        provider.now, provider.userinfo = house.clock.now, {"sub": "nobody"}
        for name in ("ann@home.example", "kate@home.example"):
            await house.auth.users.add(name, "member", 1, By())
        for case, change in UNPROVEN.items():
            assert await arrived(house, {**MAIL, **change}, provider) == "", case
        provider.userinfo = {"sub": "7", "email_verified": True}  # the mark of another answer counts for nothing
        assert await arrived(house, {"sub": "7", "email": "ann@home.example"}, provider) == ""
        provider.userinfo = {"sub": "9", "email": "ann@home.example", "email_verified": True}
        assert await arrived(house, {"sub": "7"}, provider) == ""
        provider.userinfo = {**MAIL, "sub": "7"}
        assert await arrived(house, {"sub": "7"}, provider) == "ann@home.example"

    asyncio.run(story())


def test_an_address_opens_no_account_that_has_more_to_lose(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider, link_by_mail=True))
        provider.now, users = house.clock.now, house.auth.users
        for role, name in (("admin", "chief@home.example"), ("member", "keyed@home.example")):
            async with browser(house) as client:
                await enter(house, client, name, role)
                if role == "member":
                    assert (await register(client, Device(HERE))).status_code == 201
            assert await arrived(house, {**MAIL, "email": name}, provider) == ""
        # An account that single sign-on named after its own word is not Ann's, even when it is disconnected again.
        false = {"sub": "5", "preferred_username": "ann@home.example", "groups": ["family"]}
        assert await arrived(house, false, provider) == "ann@home.example"
        assert await arrived(house, MAIL, provider) == ""
        user = (await users.named("ann@home.example"))["id"]
        for link in await house.auth.federation.of(user):
            record = {**await users.record(user), "password": "x"}
            house.shelf.kept["user", user] = record
            await house.auth.federation.disconnect(user, link["id"], "", By())
        assert await arrived(house, MAIL, provider) == ""
        shut, _ = await users.add("bob@home.example", "member", 1, By())
        await users.change(shut.id, By(), disabled=True)
        assert await arrived(house, {**MAIL, "email": "bob@home.example"}, provider) == ""

    asyncio.run(story())


def test_the_same_subject_of_another_issuer_is_somebody_else(housed: Any, house: Any, provider: Provider) -> None:
    async def story() -> None:
        async with browser(house) as client:
            await enter(house, client, "Ann", "member")
            assert where(await connect(client)) == "/app/settings?connected"
        with Provider() as other:
            moved = housed(federated(other))
            moved.shelf.kept.update(house.shelf.kept)
            other.now, other.claims = moved.clock.now, {"sub": "7"}
            assert await arrived(moved, {"sub": "7"}, other) == ""
            other.twist = lambda claims: {**claims, "iss": provider.issuer}
            assert await arrived(moved, {"sub": "7"}, other) == ""

    asyncio.run(story())


def test_the_owner_comes_in_this_way_only_after_connecting(housed: Any, provider: Provider) -> None:
    async def story() -> None:
        house = housed(federated(provider, link_by_mail=True, roles={"family": "admin"}))
        provider.now = house.clock.now
        async with browser(house) as client:
            code = await house.auth.claim()
            await client.post("/api/session", json={"code": code, "password": PASSWORD})
            assert await arrived(house, {"sub": "7", "email": "owner", "email_verified": True}, provider) == ""
            assert where(await connect(client)) == "/app/settings?connected"
        assert await arrived(house, {"sub": "7", "groups": ["family"]}, provider) == "owner"
        async with browser(house) as client:
            await journey(client)
            assert (await client.get("/api/me")).json()["role"] == "owner"

    asyncio.run(story())
