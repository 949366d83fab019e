"""Certificates by ACME against an authority written for these tests, since no real one can be reached from here."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from pydantic import ValidationError

from kith.core.clock import FrozenClock
from kith.core.errors import Invalid, Missing, Unavailable
from kith.gateway import GatewaySettings
from kith.gateway.certificate import obtain
from tests.channels.servers import free_port
from tests.gateway.authority import Authority

pytestmark = pytest.mark.server
DAY = 86400.0


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def authority(clock: FrozenClock) -> Iterator[Authority]:
    with Authority(free_port(), clock.now()) as found:
        yield found


@pytest.fixture
def wanted(authority: Authority) -> Callable[..., GatewaySettings]:
    def make(*names: str, **more: Any) -> GatewaySettings:
        acme = {"directory": f"{authority.url}/directory", "agreed": True, "port": authority.port, **more}
        origins = [f"https://{name}" for name in names or ("kith.example",)]
        return GatewaySettings.model_validate({"port": 0, "origins": origins, "tls": {"acme": acme}})

    return make


def test_a_certificate_is_ordered_once_and_kept_private(
    wanted: Any, authority: Authority, tmp_path: Path, clock: FrozenClock
) -> None:
    settings = wanted("kith.example", "chat.kith.example:8443", contact="me@kith.example")
    made = obtain(settings, tmp_path, clock)
    assert made is not None
    names = x509.load_pem_x509_certificate(made.certificate.read_bytes()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["kith.example", "chat.kith.example"]
    assert {path.name for path in tmp_path.iterdir()} == {"acme.crt", "acme.key", "acme-account.key"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    made.context()
    assert obtain(settings, tmp_path, clock) == made
    assert len(authority.issued) == 1 and sorted(authority.asked) == ["chat.kith.example", "kith.example"]


def test_it_is_renewed_in_time_with_the_same_account(
    wanted: Any, authority: Authority, tmp_path: Path, clock: FrozenClock
) -> None:
    first = obtain(wanted(), tmp_path, clock)
    clock.advance(59 * DAY)
    assert obtain(wanted(), tmp_path, clock) == first
    clock.advance(2 * DAY)
    authority.now = clock.now()
    second = obtain(wanted(), tmp_path, clock)
    assert second != first and len(authority.issued) == 2 and len(authority.accounts) == 1
    assert obtain(wanted("other.example"), tmp_path, clock) != second  # other names
    authority.days = 6
    obtain(wanted(), tmp_path, clock)
    clock.advance(3 * DAY)
    obtain(wanted(), tmp_path, clock)
    assert len(authority.issued) == 4  # one that lives for six days is not renewed all the time
    (tmp_path / "acme.key").write_bytes((tmp_path / "acme-account.key").read_bytes())
    authority.now = clock.now()
    obtain(wanted(), tmp_path, clock)
    assert len(authority.issued) == 5  # a key that is not the certificate's


def test_while_the_old_one_is_good_a_failure_is_only_told(
    wanted: Any, authority: Authority, tmp_path: Path, clock: FrozenClock
) -> None:
    first = obtain(wanted(), tmp_path, clock)
    authority.refuse = "rateLimited"
    clock.advance(70 * DAY)
    assert obtain(wanted(), tmp_path, clock) == first
    clock.advance(21 * DAY)
    with pytest.raises(Unavailable, match="refused: rateLimited second line") as caught:
        obtain(wanted(), tmp_path, clock)
    assert caught.value.code == "acme_failed"


def test_a_name_that_cannot_be_proved_gets_nothing(wanted: Any, authority: Authority, tmp_path: Path) -> None:
    settings = wanted()
    authority.port += 1  # it asks where nobody answers
    with pytest.raises(Unavailable):
        obtain(settings, tmp_path, FrozenClock())
    assert not (tmp_path / "acme.crt").exists() and not authority.issued


def test_an_authority_that_is_away_or_answers_nonsense(wanted: Any, tmp_path: Path, authority: Authority) -> None:
    away = f"http://127.0.0.1:{free_port()}/directory"
    with pytest.raises(Unavailable) as caught:
        obtain(wanted(directory=away), tmp_path, FrozenClock())
    assert caught.value.code == "acme_failed"
    authority.directory = list
    with pytest.raises(Unavailable):
        obtain(wanted(), tmp_path, FrozenClock())


def test_a_challenge_port_that_is_taken_is_named(wanted: Any, authority: Authority, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", authority.port)),
        pytest.raises(Unavailable, match=f"port {authority.port}"),
    ):
        obtain(wanted(), tmp_path, FrozenClock())


def test_what_cannot_work_is_said_before_anybody_is_asked(tmp_path: Path, monkeypatch: Any, wanted: Any) -> None:
    directory = {"directory": "https://acme.example/directory"}
    for tls in ({"acme": directory}, {"acme": {**directory, "agreed": True}, "automatic": True}):
        with pytest.raises(ValidationError):
            GatewaySettings.model_validate({"tls": tls})
    nameless = GatewaySettings.model_validate({"tls": {"acme": {**directory, "agreed": True}}})
    with pytest.raises(Invalid, match="vouches for names"):
        obtain(nameless, tmp_path, FrozenClock())
    monkeypatch.setitem(sys.modules, "acme", None)
    with pytest.raises((Missing, ValueError)):
        obtain(wanted(), tmp_path, FrozenClock())


def test_a_running_door_shows_the_new_certificate_to_new_connections(
    build: Any, wanted: Any, authority: Authority, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("KITH_HOME", str(tmp_path))
    monkeypatch.setattr("kith.gateway.server._TENDED", 0.05)

    async def shown(port: int) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return found

    async def story() -> None:
        settings = wanted()
        house = build(**settings.model_dump(exclude_unset=True))
        authority.now = house.clock.now()
        async with house.serving() as (address, _):
            port = int(address.rpartition(":")[2])
            before = await shown(port)
            authority.now += 61 * DAY
            house.clock.advance(61 * DAY)
            async with asyncio.timeout(90):
                while await shown(port) == before:
                    await asyncio.sleep(0.02)
            assert len(authority.issued) == 2

    asyncio.run(story())
