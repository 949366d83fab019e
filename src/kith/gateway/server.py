"""The gateway itself: routes behind the gate, on a socket of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

from kith.core.errors import Invalid, KithError, Unavailable
from kith.gateway.access import openness, permit
from kith.gateway.catalogue import Catalogue
from kith.gateway.certificate import Certificate, obtain
from kith.gateway.completions import Completions
from kith.gateway.desk import Desk
from kith.gateway.diary import Diary
from kith.gateway.entrance import Entrance
from kith.gateway.events import Events
from kith.gateway.factors import Factors
from kith.gateway.failures import Gone, translate
from kith.gateway.federation import Federation
from kith.gateway.feed import Feed
from kith.gateway.gate import Gate
from kith.gateway.grpc import Rpc
from kith.gateway.lane import lanes
from kith.gateway.live import Live
from kith.gateway.luggage import Luggage
from kith.gateway.mail import Mail
from kith.gateway.masks import Masks
from kith.gateway.mcp import Mcp
from kith.gateway.pictures import Pictures
from kith.gateway.platforms import Platforms
from kith.gateway.ports import GatewayPorts
from kith.gateway.pulse import Pulse
from kith.gateway.reminders import Reminders
from kith.gateway.responses import Responses
from kith.gateway.rest import Rest
from kith.gateway.schema import Schema
from kith.gateway.settings import GatewaySettings
from kith.gateway.site import Site
from kith.gateway.talks import Talks
from kith.gateway.visits import Visits
from kith.gateway.wire import Server, make_server
from kith.gateway.workbench import Workbench
from kith.gateway.workshop import Workshop
from kith.runtime.meter import Meter
from kith.runtime.settings import home
from kith.runtime.telemetry import attach, get_logger

_log = get_logger(__name__)
_TENDED = 12 * 3600.0  # seconds between two looks at the certificate


class _Plain(Litestar):
    """Without the plugins for pydantic, whose first version they load too, and for attrs: 2 MB that no route here
    needs, because bodies are read by msgspec. Should Litestar rename the hook, they would come back and nothing else.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


class Gateway:
    """The door for programs and browsers. `app` is the whole of it as an ASGI application."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._settings, self._clock = settings, ports.clock
        self.certificate: Certificate | None = None
        self._closing = asyncio.Event()
        self._server: Server | None = None
        self._running: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._address = ""
        self._mcp, self._meter = Mcp(ports, settings), Meter()
        self._unplug = list[Callable[[], None]]()
        self._feed = Feed(ports.streams, ports.store, ports.ids, self._closing)
        gate = self._guarded(ports)
        self.app: ASGIApp = gate
        self._rpc = Rpc(ports, settings, gate, self._feed) if settings.grpc.enabled else None

    def _guarded(self, ports: GatewayPorts) -> Gate:
        settings = self._settings
        rooms = (
            Pulse(ports.health),
            Completions(ports, settings),
            Responses(ports, settings),
            Mail(ports, settings),
            Catalogue(ports, settings),
            Pictures(ports, settings),
            self._mcp,
            Rest(ports, settings),
            Workshop(ports, settings),
            Desk(ports),
            Talks(ports, settings),
            Platforms(ports, settings),
            Diary(ports, settings),
            Reminders(ports),
            Masks(ports, settings),
            Events(ports, settings, self._feed),
            Entrance(ports.accounts, ports.journal, settings),
            Factors(ports.accounts, settings),
            Federation(ports.accounts),
            Visits(ports.accounts),
            Luggage(ports, settings),
            Workbench(ports, settings, self._meter),
        )
        routes = [route for room in rooms for route in room.routes()]
        schema, site = Schema(routes), Site().routes()
        app = _Plain(
            [*routes, *site, *schema.routes(), *Live(ports.lines, settings, self._closing).routes()],
            exception_handlers={Exception: _answer},
            middleware=[permit],
            openapi_config=None,
            logging_config=None,
            debug=False,
        )
        return Gate(app, ports.auth, settings, openness([*routes, *site]), ports.clock, lanes(routes, _failed))

    @property
    def address(self) -> str:
        """Where this machine reaches the gateway, as ``http://host:port``; empty until it listens."""
        return self._address

    def note(self) -> dict[str, str]:
        """What a command on this machine needs in order to reach it: the address, and the certificate to expect."""
        told = {"url": self._address, "certificate": str(self.certificate.certificate) if self.certificate else ""}
        return told | ({"grpc": str(self._rpc.port)} if self._rpc else {})

    async def start(self) -> None:
        """Bind and serve. Raises `Unavailable` when the port is taken, `Invalid` for a wrong address or certificate."""
        self.certificate = await asyncio.to_thread(obtain, self._settings, home() / "keys", self._clock)
        tls = self.certificate.context() if self.certificate else None
        if self._rpc is not None:
            await self._rpc.start(lambda: self.certificate)
        try:
            port = await self._serve(tls)
        except KithError:
            await self.stop()
            raise
        if tls is not None:
            self._tending = asyncio.create_task(self._tend(tls))
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104
        scheme = "https" if tls else "http"
        self._address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def _serve(self, tls: ssl.SSLContext | None) -> int:
        """Begin to serve HTTP; the port."""
        listener = _bind(self._settings.host, self._settings.port)
        port = listener.getsockname()[1]
        self._unplug.append(attach(self._meter))
        self._server = make_server(self.app, self._settings, tls)
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))
        up = asyncio.ensure_future(self._server.up.wait())
        await asyncio.wait((up, self._running), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._running.done():
            listener.close()
            self._running.result()
            raise Unavailable("the gateway stopped while it was starting")
        return port

    async def _tend(self, tls: ssl.SSLContext) -> None:
        """Renew the certificate in time; connections from then on get the new one, and nobody is cut off."""
        while True:
            await asyncio.sleep(_TENDED)
            try:
                found = await asyncio.to_thread(obtain, self._settings, home() / "keys", self._clock)
                if found is not None and found != self.certificate:
                    found.load(tls)
                    self.certificate = found
            except KithError as error:
                _log.error("certificate", code=error.code, error=error.message)

    async def stop(self) -> None:
        """Refuse new connections, end followers, let running answers finish for up to `grace` seconds."""
        self._closing.set()
        while self._unplug:
            self._unplug.pop()()
        if self._tending is not None:
            self._tending.cancel()
        await self._mcp.stop()
        if self._rpc is not None:
            await self._rpc.stop()
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        self._server = self._running = None
        self._address = ""


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, because asyncio turns Nagle's algorithm off for such sockets only: else answers wait for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(
                f"port {port} on {host} is taken by another program",
                code="port_taken",
                hint=f"stop that program, or choose another port: kith serve --port {port % 65535 + 1}",
            ) from None
        raise Invalid(
            f"cannot listen on {host} port {port}: {error.strerror}",
            code="bind_failed",
            hint="choose another address or port under gateway in kith.yaml",
        ) from None
    listener.setblocking(False)
    return listener


def _failed(request: Request[Any, Any, Any], error: Exception) -> ASGIApp:
    return cast("Any", _answer(request, error)).to_asgi_response(None, request)


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's own errors and those raised before an answer began."""
    if isinstance(error, Gone):
        return Response(b"", status_code=400)
    failure = translate(error)
    headers = {name.decode(): value.decode() for name, value in failure.headers()}
    media = headers.pop("content-type")
    return Response(failure.body(request.url.path), status_code=failure.status, headers=headers, media_type=media)
