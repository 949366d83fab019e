"""What carries requests: every framing of HTTP/1.1, TLS that believes nobody without reason, and servers that lie."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kith.runtime import carrier, http
from kith.runtime.http import http_client

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def served(work: Serve, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """A server that does `work` for each connection; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await work(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(answer: bytes, heard: list[bytes] | None = None) -> Serve:
    """Answers every request of a connection with the same bytes, and closes when they end with ``!``."""

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
            body = await reader.readexactly(int(length)) if length else b""
            if heard is not None:
                heard.append(head + body)
            writer.write(answer.removesuffix(b"!"))
            await writer.drain()
            if answer.endswith(b"!"):
                return

    return work


def ask(answer: bytes, method: str = "GET", heard: list[bytes] | None = None) -> httpx.Response:
    async def story() -> httpx.Response:
        async with served(saying(answer, heard)) as port, http_client(timeout=60) as client:
            return await client.request(method, f"http://127.0.0.1:{port}/a?b=c")

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (HELLO, "hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n", "hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello!", "hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello!", "hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HELLO, "hello"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(gzip.compress(b"hello", mtime=0)), gzip.compress(b"hello", mtime=0)),
            "hello",
        ),
    ],
)
def test_every_framing(answer: bytes, body: str) -> None:
    found = ask(answer)
    assert found.text == body and found.status_code == int(answer.split(b"HTTP/1.")[-1].split()[1])


def test_a_head_has_no_body_whatever_it_announces() -> None:
    found = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD")
    assert found.text == "" and found.headers["content-length"] == "5"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n!",
        b"!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad\0Name: 1\r\n\r\n",
    ],
)
def test_a_broken_answer_is_an_error_and_never_half_an_answer(answer: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(answer)


def test_what_was_not_asked_is_not_taken_for_the_next_answer() -> None:
    """A server that sends two answers to one request (response splitting, desynchronisation) loses its connection."""

    async def story() -> None:
        heard: list[bytes] = []
        async with served(saying(HELLO + HELLO.replace(b"hello", b"wrong"), heard)) as port, http_client() as client:
            for _ in range(3):
                try:
                    assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
                except httpx.RemoteProtocolError:
                    continue

    asyncio.run(story())


def test_connections_are_kept_and_one_that_was_closed_is_not_used() -> None:
    async def story() -> None:
        made: list[int] = []
        over = asyncio.Event()

        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            made.append(1)
            for _ in range(3):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(HELLO)
            writer.close()
            over.set()

        async with served(work) as port, http_client() as client:
            for _ in range(3):
                assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
            await over.wait()
            await asyncio.sleep(0.02)  # its end is on the way
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
        assert len(made) == 2

    asyncio.run(story())


@pytest.mark.parametrize(("kept", "more"), [(10, 0), (1, 2), (0, 3)])
def test_no_more_unused_connections_are_kept_to_a_host_than_was_said(kept: int, more: int) -> None:
    async def story() -> None:
        made, together = [0], asyncio.Barrier(3)

        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            made[0] += 1
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    await together.wait()  # all three are on their way at once
                    writer.write(HELLO)
            writer.close()

        async with served(work) as port, http_client(kept=kept) as client:
            for _ in range(2):
                asked = (client.get(f"http://127.0.0.1:{port}/") for _ in range(3))
                assert [one.text for one in await asyncio.gather(*asked)] == ["hello"] * 3
            assert made[0] == 3 + more

    asyncio.run(story())


def test_a_request_goes_out_as_it_was_meant() -> None:
    heard: list[bytes] = []
    ask(HELLO, "POST", heard)
    assert heard[0].startswith(b"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "headers", [{"x": "a\r\nHost: other"}, {"x": "a\nb"}, {"x": "a\0b"}, {"x y": "a"}, {"x:": "a"}, {"": "a"}]
)
def test_a_header_cannot_begin_another_one(headers: dict[str, str]) -> None:
    async def story() -> None:
        heard: list[bytes] = []
        async with served(saying(HELLO, heard)) as port, http_client() as client:
            with pytest.raises(httpx.LocalProtocolError):
                await client.get(f"http://127.0.0.1:{port}/", headers=headers)
            assert not heard and (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"

    asyncio.run(story())


def test_a_body_in_pieces_goes_out_in_chunks() -> None:
    async def story() -> None:
        heard = bytearray()

        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.extend(await reader.readuntil(b"\r\n0\r\n\r\n"))
            writer.write(HELLO)

        async def pieces() -> AsyncGenerator[bytes]:
            for piece in (b"one", b"", b"three"):
                yield piece

        async with served(work) as port, http_client() as client:
            assert (await client.post(f"http://127.0.0.1:{port}/", content=pieces())).text == "hello"
        assert heard.endswith(b"\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")

    asyncio.run(story())


def test_a_stream_is_read_while_it_comes_and_a_slow_reader_holds_its_server_back() -> None:
    async def story() -> None:
        sent = 0

        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(1000):
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        async with (
            served(work) as port,
            http_client() as client,
            client.stream("GET", f"http://127.0.0.1:{port}/") as response,
        ):
            before = -1
            while sent != before:  # until the server cannot send more
                before = sent
                await asyncio.sleep(0.05)
            assert sent < 30_000_000
            assert sum([len(piece) async for piece in response.aiter_raw()]) == 65_536_000

    asyncio.run(story())


def test_patience_ends() -> None:
    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
            await reader.read()

        async with served(silent) as port, http_client(timeout=0.05) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://127.0.0.1:{port}/")
        async with http_client(timeout=60) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/")
            with pytest.raises(httpx.ConnectError):
                await client.get("http://nowhere.invalid/")
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("ftp://127.0.0.1/")

    asyncio.run(story())


def test_no_more_than_so_many_at_once_and_who_gives_up_leaves_room() -> None:
    async def story() -> None:
        come, gone = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            come.set()
            await reader.read()
            gone.set()

        async with served(silent) as port:
            narrow = carrier.Carrier(most=1)
            request = httpx.Request("GET", f"http://127.0.0.1:{port}/", extensions={"timeout": {"pool": 0.02}})
            first = asyncio.create_task(narrow.handle_async_request(request))
            await come.wait()
            with pytest.raises(httpx.PoolTimeout):
                await narrow.handle_async_request(request)
            first.cancel()
            await gone.wait()  # the server is told
            again = asyncio.create_task(narrow.handle_async_request(request))
            await asyncio.sleep(0.05)
            assert not again.done()
            again.cancel()
            await narrow.aclose()

    asyncio.run(story())


def test_no_cookie_is_remembered() -> None:
    async def story() -> None:
        heard: list[bytes] = []
        answer = HELLO.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=you\r\n\r\n")
        async with served(saying(answer, heard)) as port, http_client() as client:
            await client.get(f"http://127.0.0.1:{port}/")
            await client.get(f"http://127.0.0.1:{port}/")
        assert len(heard) == 2 and b"cookie" not in heard[1].lower()

    asyncio.run(story())


# Encrypted


def certificate(
    folder: Path, name: str, *, days: int = 1, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for `name`, good for `days` from yesterday, kept in `folder` with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(serial_number=x509.random_serial_number(), public_key=key.public_key())
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    found = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.pem").write_bytes(found.public_bytes(serialization.Encoding.PEM) + private)
    return found, key


def trust(folder: Path, name: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / f"{name}.pem"))


async def secure(folder: Path, name: str, asked: str, trusted: ssl.SSLContext | None) -> str:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / f"{name}.pem")
    async with served(saying(HELLO), tls) as port, http_client(trust=trusted, timeout=5) as client:
        extensions = {"sni_hostname": asked}
        return (await client.get(f"https://127.0.0.1:{port}/", extensions=extensions)).text


def test_a_certificate_of_the_own_authority_is_believed(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "kith.test", issuer=authority)
    assert asyncio.run(secure(tmp_path, "kith.test", "kith.test", trust(tmp_path, "authority"))) == "hello"


@pytest.mark.parametrize(
    ("asked", "days", "trusted", "reason"),
    [
        ("other.test", 1, "authority", "Hostname mismatch"),
        ("127.0.0.1", 1, "authority", "IP address mismatch"),
        ("kith.test", -1, "authority", "certificate has expired"),
        ("kith.test", 1, "stranger", "unable to get local issuer"),
        ("kith.test", 1, "", "unable to get local issuer"),
    ],
)
def test_any_other_is_not(tmp_path: Path, asked: str, days: int, trusted: str, reason: str) -> None:
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "stranger")
    certificate(tmp_path, "kith.test", days=days, issuer=authority)
    with pytest.raises(httpx.ConnectError, match=reason):
        asyncio.run(secure(tmp_path, "kith.test", asked, trust(tmp_path, trusted) if trusted else None))


def test_the_public_client_shows_the_name_to_the_address_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned to an address, the connection is still only good for the name that was asked."""
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "kith.test", issuer=authority)
    monkeypatch.setattr(http, "outside", lambda _: True)

    async def here(_: str) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(http, "addresses", here)

    async def story() -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "kith.test.pem")
        async with (
            served(saying(HELLO), tls) as port,
            http_client(trust=trust(tmp_path, "authority"), public=True) as client,
        ):
            assert (await client.get(f"https://kith.test:{port}/")).text == "hello"
            with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
                await client.get(f"https://other.test:{port}/")

    asyncio.run(story())


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async def both(*_: object) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]  # nothing listens at the first

        monkeypatch.setattr(carrier, "_named", both)
        async with served(saying(HELLO)) as port, http_client() as client:
            assert (await client.get(f"http://name.test:{port}/")).text == "hello"

    asyncio.run(story())
