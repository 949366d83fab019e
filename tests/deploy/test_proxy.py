"""A real nginx, with the file that is shipped, before a real `kith serve`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.channels.servers import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
STRANGER = "203.0.113.9"

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("nginx") is None and not os.environ.get("CI"), reason="needs nginx"),
]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Door:
    """The house behind nginx: `front` is nginx's address, `back` Kith's own."""

    front: str
    back: str
    token: str

    def ask(self, url: str, **headers: str) -> httpx.Response:
        told = {"Authorization": f"Bearer {self.token}", **headers}
        return httpx.get(f"{url}/api/state", headers=told, verify=False, timeout=90)  # its own


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder, port = tmp_path_factory.mktemp("proxied"), free_port()
    (folder / "home").mkdir()
    settings = {
        "gateway": {
            "port": 0,
            "tls": {"automatic": True},
            "origins": [f"https://127.0.0.1:{port}"],
            "proxies": ["127.0.0.1"],
            "deny": [f"{STRANGER}/32"],
        },
        "models": [{"name": "echo", "backend": "echo", "options": {"delay": 0.02}}],
    }
    (folder / "home" / "kith.yaml").write_text(json.dumps(settings))
    environment = {**os.environ, "KITH_HOME": str(folder / "home"), "KITH_LANG": "en"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    kith = subprocess.Popen([sys.executable, "-m", "kith", "serve"], env=environment, **quiet)
    note = folder / "home" / "run" / "server.json"
    nginx: subprocess.Popen[bytes] | None = None
    try:
        until(lambda: note.exists() and json.loads(note.read_text())["pid"] == kith.pid)
        told = json.loads(note.read_text())
        nginx = subprocess.Popen([*_nginx(folder, port, told["url"].rpartition(":")[2])], **quiet)
        until(lambda: _answers(port))
        yield Door(f"https://127.0.0.1:{port}", told["url"], told["token"])
    finally:
        for process in filter(None, (nginx, kith)):
            process.terminate()
            process.wait(90)


def _nginx(folder: Path, port: int, kith: str) -> list[str]:
    """nginx in the foreground, with the site as it is shipped but for its addresses and certificate."""
    names = [str(folder / name) for name in ("tls.key", "tls.crt")]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*made, "-keyout", names[0], "-out", names[1], "-subj", "/CN=localhost"], check=True, capture_output=True
    )
    site = (DEPLOY / "nginx" / "kith.conf").read_text("utf-8").replace("kith:8787", f"127.0.0.1:{kith}")
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    site = re.sub(r"/etc/nginx/certs/(tls\.\w+)", rf"{folder}/\1", site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = (
        f"pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; {temporary}\n{site}\n}}"
    )
    (folder / "nginx.conf").write_text(text, "utf-8")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"https://127.0.0.1:{port}/health/live", verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_stream_comes_piece_by_piece(door: Door) -> None:
    """Each word is a piece of its own on the wire."""
    body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "word " * 100}]}
    headers = {"Authorization": f"Bearer {door.token}"}
    with (
        httpx.Client(verify=False, timeout=90) as client,
        client.stream("POST", f"{door.front}/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        pieces = list(answer.iter_raw())
    # Kith asks proxies not to hold streams back, and Debian's nginx passed pieces on even with buffering on: this shows
    # that a stream gets through in pieces, not that `proxy_buffering off` is what does it.
    assert len(pieces) >= 50


def test_a_websocket_passes(door: Door) -> None:
    async def scene() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        headers = {"Authorization": f"Bearer {door.token}"}
        url = door.front.replace("https", "wss") + "/api/channels/web/live"
        async with connect(url, ssl=context, additional_headers=headers, origin=door.front) as peer:
            async with asyncio.timeout(90):
                await peer.send(json.dumps({"type": "hello"}))
                assert json.loads(await peer.recv())["type"]

    asyncio.run(scene())


def test_what_a_client_says_of_its_address_ends_at_the_proxy(door: Door) -> None:
    assert door.ask(door.front, **{"X-Forwarded-For": STRANGER, "Forwarded": f"for={STRANGER}"}).status_code == 200


def test_what_the_declared_proxy_says_is_believed(door: Door) -> None:
    """Kith sees 127.0.0.1 itself, which is declared: the address it is told is denied."""
    assert door.ask(door.back).status_code == 200
    assert door.ask(door.back, **{"X-Forwarded-For": STRANGER}).status_code == 403
