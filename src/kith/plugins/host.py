"""Servers of the Model Context Protocol as tools of the assistant: connected, watched, and used only as approved.

Source: https://modelcontextprotocol.io/specification. A server's tools are used only while what it says of them is,
word for word, what the owner has looked at: its digest stands in the settings. One that changes is left alone until
the owner has looked again, so that no server can be nice first and something else later.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, cast

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Missing, Unavailable
from kith.core.message import ToolCall, ToolResult
from kith.core.model import ToolSpec
from kith.core.people import Principal
from kith.plugins.offer import TOOLS, Offer, checked, described, pinned, returned
from kith.plugins.settings import OutsideSettings
from kith.runtime.health import Health
from kith.runtime.telemetry import get_logger

ROLES = ("guest", "member", "admin", "owner")
_LOOK = 60.0  # seconds after which a quiet server is asked again what its tools are
_PAUSES = (1.0, 5.0, 30.0, 120.0)
_log = get_logger(__name__)


class Outside:
    """Implements the port `Tools` over outside servers. Tools are called ``<server>__<tool>``."""

    def __init__(self, settings: Sequence[OutsideSettings], clock: Clock, health: Health) -> None:
        self._servers = {one.name: _Server(one, clock, health) for one in settings}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Outside:
        """Connect to every server, and go on trying in the background."""
        self._tasks = [asyncio.create_task(server.live()) for server in self._servers.values()]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect, and end what was started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def offered(self, principal: Principal) -> Sequence[ToolSpec]:
        """The approved tools of every server that is there, for those who may use them."""
        return [spec for server in self._servers.values() if server.allows(principal) for spec in server.specs]

    async def call(self, call: ToolCall, principal: Principal) -> ToolResult:
        """Use a tool. Whatever goes wrong is told as a failed result, because the model has to go on."""
        place, _, name = call.name.partition("__")
        server = self._servers.get(place)
        known = server is not None and any(spec.name == call.name for spec in server.specs)
        if server is None or not known or not server.allows(principal):
            return ToolResult(call.call, f"There is no tool called {call.name!r}.", failed=True)
        try:
            arguments: object = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            return ToolResult(call.call, "The arguments are not a JSON object.", failed=True)
        try:
            text, failed = await server.use(name, cast("dict[str, Any]", arguments))
        except KithError as error:
            return ToolResult(call.call, error.message, failed=True)
        return ToolResult(call.call, returned(place, text), failed=failed)


class _Server:
    """One server: its connection, and what of it may be used now."""

    def __init__(self, settings: OutsideSettings, clock: Clock, health: Health) -> None:
        self._settings, self._clock, self._health = settings, clock, health
        self._client: Any = None
        self._changed = asyncio.Event()
        self.specs: tuple[ToolSpec, ...] = ()

    def allows(self, principal: Principal) -> bool:
        return ROLES.index(principal.role) >= ROLES.index(self._settings.role)

    async def live(self) -> None:
        """Be connected for ever; after each failure a longer pause."""
        failures = 0
        while True:
            self._report("starting", "connecting")
            try:
                async with connect(self._settings, self._changed.set) as client:
                    while True:
                        self._changed.clear()
                        self._admit(await listed(client))
                        self._client, failures = client, 0
                        await self._gone()
            except Exception as error:  # noqa: BLE001  # a stranger's program and a library that groups its errors
                _log.warning("outside server", server=self._settings.name, error=type(error).__name__)
                self._report("degraded", _said(error))
            finally:
                self._client, self.specs = None, ()
            await self._clock.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    async def use(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """What the tool returned as text, and whether it failed. Raises `Unavailable`."""
        client = self._client
        if client is None:
            raise Unavailable(f"the server {self._settings.name} is not connected", code="tool_away")
        try:
            async with asyncio.timeout(self._settings.timeout):
                result = await client.call_tool(name, arguments)
        except TimeoutError:
            self._changed.set()  # it may be gone for good: look
            raise Unavailable(f"the tool {name} took too long", code="timeout") from None
        except Exception as error:  # noqa: BLE001  # as above
            self._changed.set()
            raise Unavailable(f"the tool {name} failed ({type(error).__name__})", code="tool_away") from None
        pieces = [_piece(piece) for piece in result.content]
        return "\n".join(pieces) or "(nothing)", bool(result.is_error)

    async def _gone(self) -> None:
        """Until it is time to look again: the server says so, a call has failed, or a while has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await self._changed.wait()

    def _admit(self, offers: Sequence[Offer]) -> None:
        found = pinned(checked(offers))
        if found != self._settings.digest:
            self.specs = ()
            why = "its tools have changed" if self._settings.digest else "its tools have not been approved"
            hint = f"look at them with: kith mcp inspect {self._settings.name}"
            self._report("degraded", f"{why}; {hint}")
            return
        name = self._settings.name
        self.specs = tuple(
            ToolSpec(f"{name}__{one.name}", described(name, one), one.schema, "read" if one.closed else "write")
            for one in offers
        )
        self._report("ready", f"{len(self.specs)} tools")

    def _report(self, condition: Any, detail: str) -> None:
        self._health.report(f"mcp:{self._settings.name}", condition, detail, required=False)


@contextlib.asynccontextmanager
async def connect(settings: OutsideSettings, changed: Callable[[], None]) -> AsyncGenerator[Any]:
    """A session with the server; `changed` is called when it says that its tools have. Raises what breaks it."""
    if importlib.util.find_spec("mcp") is None:
        raise Missing("the Model Context Protocol is not installed", extra="mcp")
    import httpx2
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client

    async def notice(message: Any) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            changed()

    async with contextlib.AsyncExitStack() as stack:
        if settings.command:
            env = {name: value.get_secret_value() for name, value in settings.env.items()}
            program = StdioServerParameters(command=settings.command[0], args=settings.command[1:], env=env)
            silence = cast("Any", subprocess.DEVNULL)  # what it writes beside the protocol would fill our own log
            transport = stdio_client(program, errlog=silence)
        else:
            headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
            own = httpx2.AsyncClient(headers=headers, timeout=settings.timeout, trust_env=False)
            transport = streamable_http_client(settings.url, http_client=await stack.enter_async_context(own))
        client = Client(transport, message_handler=notice, read_timeout_seconds=settings.timeout, cache=None)
        yield await stack.enter_async_context(client)


async def look(settings: OutsideSettings) -> tuple[Offer, ...]:
    """What a server offers now, as its owner looks at it. Raises `Unavailable` (code ``tool_away``), `Invalid`."""
    try:
        async with connect(settings, lambda: None) as client, asyncio.timeout(settings.timeout):
            return await listed(client)
    except KithError:
        raise
    except Exception as error:  # noqa: BLE001  # a stranger's program and a library that groups its errors
        raise Unavailable(f"the server {settings.name} cannot be used: {_said(error)}", code="tool_away") from None


async def listed(client: Any) -> tuple[Offer, ...]:
    """Every tool that a connected server describes. Raises `Invalid` (code ``bad_tools``)."""
    found: list[Offer] = []
    cursor: str | None = None
    for _ in range(TOOLS):
        page = await client.list_tools(cursor=cursor)
        found += [_offer(tool) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None or len(found) > TOOLS:
            return checked(found)
    raise Invalid("the tools cannot be used: they come on too many pages", code="bad_tools")


def _offer(tool: Any) -> Offer:
    """A tool counts as harmless only where its server says both: it changes nothing, and it asks nobody outside."""
    said = tool.annotations
    closed = bool(said and said.read_only_hint and said.open_world_hint is False and not said.destructive_hint)
    return Offer(tool.name, tool.description or "", dict(tool.input_schema), closed)


def _piece(piece: Any) -> str:
    return str(piece.text) if piece.type == "text" else f"[{piece.type}]"


def _said(error: BaseException) -> str:
    """The first sentence inside; a task group wraps what went wrong in it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error.message if isinstance(error, KithError) else f"the connection failed ({type(error).__name__})"
