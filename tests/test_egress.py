"""Bytes leave by few doors, and each is in this list with its reason."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "kith"
CLIENTS = {
    "httpx.AsyncClient", "httpx.Client", "httpx2.AsyncClient", "httpx2.Client", "aiohttp.ClientSession",
    "httpx.get", "httpx.post", "httpx.request", "httpx.stream", "requests.get", "requests.post", "requests.Session",
    "urllib.request.urlopen", "request.urlopen", "urlopen", "http.client.HTTPConnection", "http.client.HTTPSConnection",
}  # fmt: skip

# place: why it makes a client of its own
ALLOWED = {
    "runtime/http.py": "this is the one client",
    "plugins/host.py": "the MCP library takes only a client of its own make; it ignores proxies and follows nothing",
    "cli/mcp.py": "the same library, to the Kith that runs on this machine",
    "models/llama_cpp/worker.py": "to its own child, over loopback",
}


def test_nobody_makes_a_client_of_their_own() -> None:
    found = [
        f"{place}:{node.lineno} {ast.unparse(node.func)}"
        for path in sorted(SOURCE.rglob("*.py"))
        if (place := path.relative_to(SOURCE).as_posix()) not in ALLOWED
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CLIENTS
    ]
    assert not found, "\n".join(found)


def test_the_list_names_only_what_is_there() -> None:
    assert not [place for place in ALLOWED if not (SOURCE / place).exists()]
