"""The one HTTP client: pooled, kept alive, with time-outs."""

from __future__ import annotations

import ssl

import httpx

PER_HOST = 10


def http_client(*, timeout: float = 30.0, trust: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client for everything that goes out; `timeout` is in seconds for each read, not for the whole answer.
    `trust` replaces the trust in the usual certificate authorities.

    Proxies and netrc of the environment are ignored: where bytes go is decided by the settings alone.
    """
    return httpx.AsyncClient(
        verify=trust if trust is not None else True,
        timeout=httpx.Timeout(timeout, connect=10.0),
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=PER_HOST),
        follow_redirects=False,
        trust_env=False,
    )
