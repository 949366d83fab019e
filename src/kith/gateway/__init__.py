"""The door for programs and browsers: OpenAI's dialect, Kith's own REST, streams, WebSockets, health."""

from kith.gateway.ports import GatewayPorts
from kith.gateway.server import Gateway
from kith.gateway.settings import GatewaySettings

__all__ = ["Gateway", "GatewayPorts", "GatewaySettings"]
