"""Every route x every kind of caller x every owner of an object: each cell as the routes declare it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from kith.core.audit import By
from kith.core.people import Principal
from kith.gateway.access import ROLES

STRANGERS = ("none", "garbage", "basic", "expired", "wrong audience", "wrong issuer", "foreign key", "no signature")
STRANGERS += ("revoked token", "revoked grant", "ended session", "disabled user", "session as a bearer")


def handlers(house: Any) -> Iterator[tuple[str, str, BaseRouteHandler]]:
    """Every (path, method, handler) that is registered, whether described or not."""
    for route in house.gateway.app._app.routes:
        if hasattr(route, "route_handlers"):
            for handler in route.route_handlers:
                methods = handler.http_methods if isinstance(handler, HTTPRouteHandler) else ()
                yield from ((route.path_format, method, handler) for method in methods if method != "OPTIONS")
        else:
            yield route.path_format, "GET", route.route_handler


def test_every_route_says_whom_it_is_for(build: Any) -> None:
    async def story() -> None:
        silent = [
            f"{method} {path}"
            for path, method, handler in handlers(build())
            if (handler.opt.get("role") in ROLES) is bool(handler.opt.get("open"))
        ]
        assert not silent, "give these routes a role or open=True in their opt"

    asyncio.run(story())


async def credentials(house: Any) -> dict[str, str]:
    """What each kind of stranger shows, as the header that it sends."""
    auth, by = house.auth, By("owner", "test")
    await auth.new("keep", "member")
    token = await auth.new("old", "member")
    await auth.revoke(next(t.id for t in await auth.list() if t.name == "old"))
    good = await auth.passes.issue(Principal("owner", "owner"), by)
    gone = await auth.passes.issue(Principal("owner", "owner"), by)
    await auth.passes.end(jwt.decode(gone.access, options={"verify_signature": False})["sid"], "grant.end", by)
    user, code = await auth.users.add("Ann", "member", 1, by)
    session, _ = await auth.enter({"code": code, "password": "correct horse"}, by)
    _, code = await auth.users.add("Bob", "admin", 1, by)
    shut, bob = await auth.enter({"code": code, "password": "correct horse"}, by)
    await auth.users.change(bob.id, by, disabled=True)
    other, _ = await auth.enter({"name": "ann", "password": "correct horse"}, by)
    await auth.sign_out(other, by)
    assert user.name == "Ann"
    return {
        "none": "",
        "garbage": "Bearer kith_" + "A" * 43,
        "basic": "Basic b3duZXI6b3duZXI=",
        **{name: f"Bearer {text}" for name, text in (await forged(house, good.access)).items()},
        "revoked token": f"Bearer {token}",
        "revoked grant": f"Bearer {gone.access}",
        "ended session": f"cookie kith={other}",
        "disabled user": f"cookie kith={shut}",
        "session as a bearer": f"Bearer {session}",
    }


async def forged(house: Any, access: str) -> dict[str, str]:
    kid, key = await house.auth.passes._signer()
    claims = jwt.decode(access, options={"verify_signature": False})
    foreign = Ed25519PrivateKey.generate()

    def sign(signer: Any = key, algorithm: str = "EdDSA", **changed: Any) -> str:
        return jwt.encode({**claims, **changed}, signer, algorithm, {"kid": kid})

    return {
        "expired": sign(exp=int(house.clock.now()) - 1),
        "wrong audience": sign(aud="another household"),
        "wrong issuer": sign(iss="somebody"),
        "foreign key": sign(foreign),
        "no signature": sign(None, "none"),
    }


def headers(shown: str) -> dict[str, str]:
    if shown.startswith("cookie "):
        return {"Cookie": shown.removeprefix("cookie "), "Origin": "http://127.0.0.1:8787"}
    return {"Authorization": shown} if shown else {}


async def ask(client: httpx.AsyncClient, method: str, path: str, shown: str) -> httpx.Response:
    address = path.replace("{", "").replace("}", "")
    return await client.request(method, address, headers=headers(shown))


async def knock(house: Any, handler: BaseRouteHandler, path: str, shown: str) -> tuple[int, str]:
    """The status with which a stream or a WebSocket begins, 101 for one that is accepted; then the client leaves."""
    kind = "http" if isinstance(handler, HTTPRouteHandler) else "websocket"
    given = {"host": "127.0.0.1:8787", **{name.lower(): value for name, value in headers(shown).items()}}
    about = {"type": kind, "path": path.replace("{", "").replace("}", ""), "query_string": b"", "root_path": ""}
    about |= {"headers": [(name.encode(), value.encode()) for name, value in given.items()], "http_version": "1.1"}
    about |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8787), "asgi": {"version": "3.0"}}
    about |= {"method": "GET", "scheme": "http"} if kind == "http" else {"scheme": "ws", "subprotocols": []}
    arriving = [{"type": f"{kind}.{'request' if kind == 'http' else 'connect'}", "body": b"", "more_body": False}]
    found, said, leaving = [0], bytearray(), asyncio.Event()

    async def receive() -> Any:
        if arriving:
            return arriving.pop()
        await leaving.wait()
        return {"type": f"{kind}.disconnect", "code": 1001}

    async def send(event: Any) -> None:
        if event["type"] in ("websocket.accept", "websocket.close"):
            found[0] = found[0] or (101 if event["type"] == "websocket.accept" else event["code"])
        found[0] = found[0] or event.get("status", 0)
        said.extend(event.get("body", b""))
        leaving.set()

    async with asyncio.timeout(90):
        await house.gateway.app(about, receive, send)
    return found[0], said.decode()


def refusal(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"].get("code") or answer.json()["error"].get("type"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def test_nobody_gets_in_with_a_credential_that_is_not_good(build: Any) -> None:
    async def story() -> None:
        house = build()
        shown = await credentials(house)
        assert set(shown) == set(STRANGERS)
        house.clock.advance(3)  # what other processes remember for two seconds
        transport = httpx.ASGITransport(house.gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787") as client:
            for path, method, handler in handlers(house):
                for kind, credential in shown.items():
                    answer = await ask(client, method, path, credential)
                    if handler.opt.get("open"):
                        assert answer.status_code not in (403, 500), (path, method, kind)
                    else:
                        assert answer.status_code == 401, (path, method, kind, answer.text)
                        assert answer.headers["www-authenticate"] == 'Bearer realm="kith"'

    asyncio.run(story())


@pytest.mark.parametrize("way", ["token", "pass", "session"])
@pytest.mark.parametrize("role", ROLES)
def test_each_role_reaches_what_is_declared_for_it_and_no_more(build: Any, role: str, way: str) -> None:
    async def story() -> None:
        house = build()
        transport = httpx.ASGITransport(house.gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787") as client:
            for path, method, handler in handlers(house):
                if handler.opt.get("open"):
                    continue
                shown = await credential(house, role, way)  # anew: some routes end it
                if "events" in path or "live" in path:
                    status, text = await knock(house, handler, path, shown)
                else:
                    answer = await ask(client, method, path, shown)
                    status, text = answer.status_code, answer.text
                allowed = ROLES.index(role) >= ROLES.index(handler.opt["role"])
                assert status != 401, (path, method, text)
                refused = status == 403 and "role" in text
                assert refused is not allowed, (path, method, role, status, text)

    asyncio.run(story())


def test_streams_and_sockets_are_among_the_routes_that_are_tried(build: Any) -> None:
    """A guest is let in where guests may be, and an accepted WebSocket is more than the absence of a refusal."""

    async def story() -> None:
        house = build()
        tried = {path: handler for path, _, handler in handlers(house) if "events" in path or "live" in path}
        assert {type(handler).__name__ for handler in tried.values()} >= {"get", "WebsocketRouteHandler"}
        live = tried["/api/channels/{name}/live"]
        shown = await credential(house, "guest", "token")
        assert (await knock(house, live, "/api/channels/live/live", shown))[0] == 101
        assert (await knock(house, live, "/api/channels/live/live", ""))[0] == 401
        object.__setattr__(live, "opt", {**live.opt, "role": "admin"})
        status, text = await knock(house, live, "/api/channels/live/live", shown)
        assert status == 403 and "role_refused" in text

    asyncio.run(story())


async def credential(house: Any, role: str, way: str) -> str:
    auth, by = house.auth, By("owner", "test")
    if way == "token":
        return f"Bearer {await auth.new('test', role)}"
    token = await auth.new("test", role)
    principal = await auth.authenticate(token)
    if way == "pass":
        return f"Bearer {(await auth.passes.issue(principal, by)).access}"
    house.clock.advance(60)  # signing in has a limit
    secret, _ = await auth.enter({"token": token}, by)
    return f"cookie kith={secret}"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", ["/api/conversations/c_2/turns", "/api/conversations/none/turns"])
def test_conversations_of_others_are_hidden_as_if_they_were_not(build: Any, role: str, path: str) -> None:
    async def story() -> None:
        house = build()
        async with house.client(role) as client:
            answer = await client.get(path)
            there = "c_2" in path and role in ("owner", "admin")
            assert answer.status_code == (200 if there else 404)
            looked = [act for act in house.log.acts if act.name == "conversation.read"]
            assert bool(looked) is there  # whoever looks into what others said leaves a trace
            mine = (await house.auth.list())[0].id if role != "owner" else "owner"
            house.store.join("c_2", mine)
            house.log.acts.clear()
            assert (await client.get("/api/conversations/c_2/turns")).status_code == 200
            assert not house.log.acts

    asyncio.run(story())


def test_admins_decide_neither_about_admins_nor_about_the_owner(build: Any) -> None:
    async def story() -> None:
        house = build()
        await house.auth.claim()
        peer, _ = await house.auth.users.add("Peer", "admin", 1, By())
        kid, _ = await house.auth.users.add("Kid", "guest", 1, By())
        async with house.client("admin") as client:
            for user, good in ((peer.id, 403), ("owner", 403), (kid.id, 200), ("u_none", 404)):
                assert (await client.post(f"/api/users/{user}", json={"disabled": False})).status_code == good
            for user, good in ((peer.id, 403), ("owner", 403), (kid.id, 201)):
                assert (await client.post(f"/api/users/{user}/code")).status_code == good
            assert (await client.post(f"/api/users/{kid.id}", json={"role": "admin"})).status_code == 403
            assert (await client.post("/api/users", json={"name": "X", "role": "admin"})).status_code == 403
            assert (await client.delete(f"/api/users/{peer.id}")).status_code == 403
            assert (await client.delete(f"/api/users/{kid.id}")).status_code == 200
        async with house.client("owner") as client:
            assert (await client.delete("/api/users/owner")).status_code == 403
            assert (await client.delete(f"/api/users/{peer.id}")).status_code == 200
            listed = (await client.get("/api/users")).json()["users"]
            assert [user["id"] for user in listed] == ["owner"]
            assert set(listed[0]) == {"id", "name", "role", "created", "disabled", "secured"}

    asyncio.run(story())


def test_a_principal_has_no_room_for_a_second_role() -> None:
    assert [field.name for field in dataclasses.fields(Principal)] == ["id", "name", "role"]
