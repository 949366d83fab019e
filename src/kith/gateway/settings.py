"""Settings of the gateway."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from kith.runtime.settings import Section


class AcmeSettings(Section):
    """A certificate from an authority, for the https names of `origins`, renewed by itself."""

    directory: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="The authority's directory; empty: off."
    )
    agreed: bool = Field(default=False, description="You agree to the authority's terms of service.")
    contact: str = Field(default="", description="A mail address for the authority's warnings.")
    port: int = Field(
        default=80,
        ge=1,
        le=65535,
        description="Port on which the authority's question is answered; it asks at port 80.",
    )
    authority: Path | None = Field(default=None, description="A certificate to trust for a directory of your own, PEM.")


class TlsSettings(Section):
    """Encryption of the door: a certificate of your own, of an authority, or one that Kith makes and signs itself."""

    automatic: bool = Field(default=False, description="Make and sign a certificate; clients check its fingerprint.")
    certificate: Path | None = Field(default=None, description="A certificate of your own with its chain, as PEM.")
    key: Path | None = Field(default=None, description="The certificate's private key, as PEM without a passphrase.")

    acme: AcmeSettings = Field(default_factory=AcmeSettings)

    @property
    def on(self) -> bool:
        """Whether the door is encrypted."""
        return self.automatic or self.certificate is not None or bool(self.acme.directory)

    @model_validator(mode="after")
    def _whole(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.automatic + (self.certificate is not None) + bool(self.acme.directory) > 1:
            raise ValueError("automatic, acme and a certificate of your own exclude each other")
        if self.acme.directory and not self.acme.agreed:
            raise ValueError("acme needs agreed: true, which says that you agree to the authority's terms")
        return self


class GrpcSettings(Section):
    """The door for gRPC, on a port of its own with the same host, TLS, lists and limits."""

    enabled: bool = Field(default=False, description="Whether it is open; needs the extra grpc.")
    port: int = Field(default=8788, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")


class GatewaySettings(Section):
    """The door for programs and browsers. Times are in seconds, sizes in bytes."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; beyond loopback only with TLS.")
    port: int = Field(default=8787, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    tls: TlsSettings = Field(default_factory=TlsSettings)
    grpc: GrpcSettings = Field(default_factory=GrpcSettings)
    origins: list[str] = Field(
        default_factory=list[str], description="Addresses under which people reach it, such as https://kith.home:8787."
    )
    proxies: list[str] = Field(
        default_factory=list[str], description="Reverse proxies whose forwarded addresses are believed."
    )
    allow: list[str] = Field(
        default_factory=list[str], description="Networks that may connect; when empty, all that are not denied."
    )
    deny: list[str] = Field(default_factory=list[str], description="Networks that may not connect.")
    requests_per_minute: float = Field(
        default=1200, gt=0, description="Requests of one address, and of one caller, from elsewhere in the long run."
    )
    request_burst: int = Field(default=300, ge=1, description="The same at once.")
    route_limits: dict[str, float] = Field(
        default_factory=dict[str, float], description="Requests a minute of one caller, by the beginning of the path."
    )
    max_body: int = Field(default=8 * 1024 * 1024, ge=1024, description="Largest request body.")
    max_card: int = Field(
        default=12 * 1024 * 1024, ge=1024, description="Largest request that adds a persona: a card with its picture."
    )
    max_head: int = Field(default=32 * 1024, ge=1024, description="Largest request line with headers.")
    max_frame: int = Field(default=64 * 1024, ge=1024, description="Largest WebSocket message from a client.")
    max_connections: int = Field(default=1000, ge=1, description="Connections open at once.")
    read_timeout: float = Field(default=30, gt=0, description="Longest silence of a client that is sending a request.")
    request_timeout: float = Field(default=300, gt=0, description="Longest time a client may take to send one request.")
    write_timeout: float = Field(default=60, gt=0, description="Longest time a client may leave an answer unread.")
    keep_alive: float = Field(default=15, gt=0, description="How long an idle connection is kept open.")
    heartbeat: float = Field(default=15, gt=0, description="Pause after which a quiet event stream says it is alive.")
    grace: float = Field(default=5, ge=0, description="How long running answers may go on when the server stops.")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the door."""
        return ipaddress.ip_address(self.host).is_loopback

    @field_validator("host")
    @classmethod
    def _address(cls, host: str) -> str:
        if host == "localhost":
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(host.strip("[]")))
        except ValueError:
            raise ValueError("has to be an IP address: a loopback address such as 127.0.0.1, or 0.0.0.0") from None

    @field_validator("origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is not an origin such as https://kith.home:8787")
        return [origin.lower() for origin in origins]

    @field_validator("proxies", "allow", "deny")
    @classmethod
    def _networks(cls, names: list[str]) -> list[str]:
        for name in names:
            try:
                ipaddress.ip_network(name, strict=False)
            except ValueError:
                raise ValueError(f"{name!r} is not an address or a network such as 192.168.1.0/24") from None
        return names

    @model_validator(mode="after")
    def _closed(self) -> GatewaySettings:
        """A door that others can reach is refused unless it is encrypted and knows under which names it is reached."""
        if self.loopback:
            return self
        lacking = [] if self.tls.on else ["gateway.tls (a certificate, or automatic: true)"]
        if not any(origin.startswith("https:") for origin in self.origins):
            lacking.append("gateway.origins (such as https://192.168.1.5:8787)")
        if lacking:
            raise ValueError(
                "only a loopback address may be listened on without TLS and origins, because others would reach this "
                f"server over the network; set {' and '.join(lacking)}, or use 127.0.0.1"
            )
        return self
