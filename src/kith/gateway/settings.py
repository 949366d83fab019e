"""Settings of the gateway."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from kith.runtime.settings import Section


class GatewaySettings(Section):
    """The door for programs and browsers. Times are in seconds, sizes in bytes."""

    host: str = Field(default="127.0.0.1", description="Address to listen on: a loopback address.")
    port: int = Field(default=8787, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    max_body: int = Field(default=8 * 1024 * 1024, ge=1024, description="Largest request body.")
    max_head: int = Field(default=32 * 1024, ge=1024, description="Largest request line with headers.")
    max_frame: int = Field(default=64 * 1024, ge=1024, description="Largest WebSocket message from a client.")
    max_connections: int = Field(default=1000, ge=1, description="Connections open at once.")
    read_timeout: float = Field(default=30, gt=0, description="Longest silence of a client that is sending a request.")
    request_timeout: float = Field(default=300, gt=0, description="Longest time a client may take to send one request.")
    write_timeout: float = Field(default=60, gt=0, description="Longest time a client may leave an answer unread.")
    keep_alive: float = Field(default=15, gt=0, description="How long an idle connection is kept open.")
    heartbeat: float = Field(default=15, gt=0, description="Pause after which a quiet event stream says it is alive.")
    grace: float = Field(default=5, ge=0, description="How long running answers may go on when the server stops.")

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        if host == "localhost":
            return "127.0.0.1"
        try:
            if ipaddress.ip_address(host.strip("[]")).is_loopback:
                return host.strip("[]")
        except ValueError:
            pass
        raise ValueError(
            "has to be a loopback address such as 127.0.0.1: others would reach this server over the network in clear "
            "text, and this version has no TLS; use an SSH tunnel or a reverse proxy on this machine"
        )
