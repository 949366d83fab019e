"""Who calls from where: proxies that are declared and those that only say so, lists, limits, encryption."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from websockets.asyncio.client import connect

from kith.core.clock import FrozenClock, SystemClock
from kith.core.errors import Invalid, Refused
from kith.gateway import GatewaySettings
from kith.gateway.certificate import obtain
from kith.runtime.buckets import Buckets


async def ask(house: Any, peer: str, path: str = "/health/live", **headers: str) -> httpx.Response:
    """One request from `peer`, as the server would see it."""
    transport = httpx.ASGITransport(house.gateway.app, client=(peer, 5))
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787", headers=given) as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("peer", "forwarded", "welcome"),
    [
        ("127.0.0.1", "", True),  # this machine is always let in
        ("10.0.0.7", "", True),
        ("10.0.0.8", "", False),  # denied although its network is allowed
        ("::ffff:10.0.0.8", "", False),
        ("192.0.2.1", "", False),
        ("192.0.2.1", "10.0.0.7", False),  # anybody can say so
        ("10.0.9.9", "10.0.0.7", True),
        ("10.0.9.9", "192.0.2.1", False),
        ("10.0.9.9", "10.0.0.7, 192.0.2.1", False),  # what stands before the last stranger is hearsay
        ("10.0.9.9", "192.0.2.1, 10.0.0.7", True),
        ("10.0.9.9", "192.0.2.1, 10.0.9.8", False),
        ("10.0.9.9", "nonsense", True),
        ("2001:db8::1", "", False),
    ],
)
def test_addresses(build: Any, peer: str, forwarded: str, welcome: bool) -> None:
    async def story() -> None:
        house = build(allow=["10.0.0.0/16"], deny=["10.0.0.8"], proxies=["10.0.9.0/24"])
        more = {"X_Forwarded_For": forwarded} if forwarded else {}
        answer = await ask(house, peer, **more)
        assert answer.status_code == (200 if welcome else 403)
        if not welcome:
            assert answer.json()["error"]["code"] == "address_refused"
            assert answer.headers["x-content-type-options"] == "nosniff"

    asyncio.run(story())


def test_only_a_declared_proxy_says_that_the_way_was_encrypted(build: Any) -> None:
    async def story() -> None:
        house = build(proxies=["10.0.9.9"])
        for peer, strict in (("10.0.9.9", True), ("10.0.9.8", False)):
            answer = await ask(house, peer, X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https")
            assert ("strict-transport-security" in answer.headers) is strict

    asyncio.run(story())


def test_a_flood_from_elsewhere_is_slowed_down_and_this_machine_is_not(build: Any) -> None:
    async def story() -> None:
        house = build(requests_per_minute=60, request_burst=3)
        found = [(await ask(house, "192.0.2.1")).status_code for _ in range(5)]
        assert found == [200, 200, 200, 429, 429]
        assert (await ask(house, "192.0.2.2")).status_code == 200
        answer = await ask(house, "192.0.2.1")
        assert answer.headers["retry-after"] == "1"
        house.clock.advance(1)
        assert (await ask(house, "192.0.2.1")).status_code == 200
        assert [(await ask(house, "127.0.0.1")).status_code for _ in range(9)] == [200] * 9

    asyncio.run(story())


def test_a_route_can_have_a_limit_of_its_own(build: Any) -> None:
    async def story() -> None:
        house = build(route_limits={"/v1/": 2})
        async with house.client() as client:
            found = [(await client.get("/v1/models")).status_code for _ in range(3)]
            assert found == [200, 200, 429]
            assert (await client.get("/api/flow")).status_code == 200

    asyncio.run(story())


def test_buckets_forget_whom_they_have_not_seen_for_long() -> None:
    buckets = Buckets(1, 1, FrozenClock())
    for number in range(10_001):
        buckets.take(number)
    buckets.take(0)
    with pytest.raises(Refused):
        buckets.take(10_000)


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "0.0.0.0", "tls": {"automatic": True}},
        {"host": "0.0.0.0", "origins": ["https://kith.home"]},
        {"host": "192.168.1.2", "tls": {"automatic": True}, "origins": ["http://kith.home"]},
        {"tls": {"automatic": True, "certificate": "a", "key": "b"}},
        {"tls": {"certificate": "a"}},
        {"origins": ["kith.home"]},
        {"origins": ["https://kith.home/path"]},
        {"origins": ["*"]},
        {"proxies": ["everybody"]},
        {"allow": ["10.0.0.0/99"]},
    ],
)
def test_an_open_door_without_its_locks_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(settings)


def test_a_public_door_with_its_locks_is_taken() -> None:
    settings = GatewaySettings.model_validate(
        {"host": "0.0.0.0", "tls": {"automatic": True}, "origins": ["https://kith.home:8787"]}
    )
    assert not settings.loopback


def test_a_certificate_is_made_once_and_again_before_it_ends(tmp_path: Path) -> None:
    settings, clock = GatewaySettings.model_validate({"tls": {"automatic": True}}), FrozenClock()
    first = obtain(settings, tmp_path, clock)
    assert first is not None and len(first.fingerprint) == 95
    assert (tmp_path / "gateway.key").stat().st_mode & 0o777 == 0o600
    again = obtain(settings, tmp_path, clock)
    assert again == first
    named = settings.model_copy(update={"origins": ["https://kith.home"]})
    other = obtain(named, tmp_path, clock)
    assert other is not None and other.fingerprint != first.fingerprint
    clock.advance(5 * 365 * 86400 - 86400)
    renewed = obtain(named, tmp_path, clock)
    assert renewed is not None and renewed.fingerprint != other.fingerprint


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"\xff" * 100])
def test_a_wrong_certificate_is_told(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(raw)
    tls = {"certificate": tmp_path / "a.pem", "key": tmp_path / "a.pem"}
    with pytest.raises(Invalid) as caught:
        obtain(GatewaySettings.model_validate({"tls": tls}), tmp_path, FrozenClock())
    assert caught.value.code == "bad_certificate"


def test_a_certificate_that_ran_out_is_refused(tmp_path: Path) -> None:
    clock = FrozenClock()
    made = obtain(GatewaySettings.model_validate({"tls": {"automatic": True}}), tmp_path, clock)
    assert made is not None
    clock.advance(6 * 365 * 86400)
    own = {"tls": {"certificate": made.certificate, "key": made.key}}
    with pytest.raises(Invalid, match="ran out"):
        obtain(GatewaySettings.model_validate(own), tmp_path, clock)


@pytest.mark.server
def test_the_door_speaks_tls_and_nothing_older_than_1_2(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))

    async def story() -> None:
        house = build(tls={"automatic": True})
        house.gateway._clock = SystemClock()
        async with house.serving() as (address, token):
            assert address.startswith("https://127.0.0.1:")
            trust = ssl.create_default_context(cafile=house.gateway.note()["certificate"])
            bearer = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(verify=trust, headers=bearer) as client:
                answer = await client.get(f"{address}/v1/models")
                assert answer.status_code == 200 and "strict-transport-security" in answer.headers
            live = f"wss{address.removeprefix('https')}/api/channels/live/live"
            async with connect(live, additional_headers=bearer, ssl=trust) as socket:
                await socket.send("hello")
                assert await socket.recv() == "hello"
            port = int(address.rsplit(":", 1)[1])
            for version, welcome in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
                assert await shake(port, version) is welcome
            async with httpx.AsyncClient() as stranger:
                with pytest.raises(httpx.ConnectError):
                    await stranger.get(f"{address}/health/live")

    asyncio.run(story())


async def shake(port: int, version: ssl.TLSVersion) -> bool:
    """Whether a client that knows no newer `version` is served."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.minimum_version = context.maximum_version = version
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, OSError):
        return False
    writer.close()
    return True
