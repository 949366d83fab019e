"""``/mcp``: Kith as a server of the Model Context Protocol, over streamable HTTP behind the same gate as all else.

Source: https://modelcontextprotocol.io/specification. Every request stands alone (no sessions), and speaks as the
principal whose token it carries; what a tool may do is what that principal may do through ``/api``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from kith import __version__
from kith.core.errors import Fault, Invalid, KithError, Missing, NotFound
from kith.core.message import Delta
from kith.core.people import Principal
from kith.gateway.body import Call, read_body
from kith.gateway.failures import translate
from kith.gateway.ports import GatewayPorts
from kith.gateway.rest import MessageBody, letter, person
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import attended, closing

_TEXT = {"type": "string", "minLength": 1, "maxLength": 100_000}
_PLACE = {"type": "string", "maxLength": 200, "description": "Which conversation; each name is one of its own."}
_ABOUT = "A private AI assistant: ask it, search what it knows, leave it a message."


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool, as clients are told of it."""

    name: str
    about: str
    properties: Mapping[str, Any]
    required: tuple[str, ...]
    reads: bool

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        shape = {"type": "object", "properties": dict(self.properties)}
        return {**shape, "required": list(self.required), "additionalProperties": False}


_ASK = Offer(
    "ask",
    "Ask Kith, the household's assistant, and get its answer. It remembers nothing of this unless a conversation is "
    "continued with its history.",
    {"text": {**_TEXT, "description": "The question."}},
    ("text",),
    reads=True,
)
_SEARCH = Offer(
    "search",
    "Search what Kith knows: its handbook and the household's documents. Gives passages with their sources.",
    {
        "query": {**_TEXT, "description": "What to look for."},
        "limit": {"type": "integer", "minimum": 1, "maximum": 20, "description": "How many passages; 5 by default."},
    },
    ("query",),
    reads=True,
)
_SEND = Offer(
    "send",
    "Leave Kith a message in a conversation. It is kept at once and answered in its time, surely and only once.",
    {
        "text": {**_TEXT, "description": "The message."},
        "conversation": _PLACE,
        "id": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Makes sending again harmless."},
    },
    ("text",),
    reads=False,
)
_REMEMBER = Offer(
    "remember",
    "Let Kith remember a fact about the person who asks.",
    {"text": {**_TEXT, "description": "The fact, as one sentence."}},
    ("text",),
    reads=False,
)


class Bench:
    """The tools themselves, whatever protocol asks for them."""

    def __init__(self, ports: GatewayPorts) -> None:
        self._ports = ports

    def offers(self) -> Sequence[Offer]:
        """What can be done here: searching needs knowledge, and remembering a memory."""
        found = [_ASK]
        found += [_SEARCH] if self._ports.knowledge else []
        found += [_SEND]
        found += [_REMEMBER] if self._ports.memory else []
        return found

    async def use(self, name: str, given: Mapping[str, Any], principal: Principal) -> str:
        """Do it, and say what came of it. Raises `NotFound`, `Invalid`, and what the household raises."""
        offer = next((one for one in self.offers() if one.name == name), None)
        if offer is None:
            raise NotFound(f"there is no tool {name!r}", code="tool_not_found")
        _check(given, offer)
        match name:
            case "ask":
                return await self._ask(str(given["text"]), principal)
            case "search":
                return await self._search(str(given["query"]), int(given.get("limit", 5)), principal)
            case "send":
                return await self._send(given, principal)
            case _:
                assert self._ports.memory is not None
                kept = await self._ports.memory.remember(principal, str(given["text"]))
                return f"Remembered: {kept.text}"

    async def _ask(self, text: str, principal: Principal) -> str:
        body = MessageBody(text, conversation=self._ports.ids.new("mcp"))
        deltas = self._ports.talk.reply(letter(self._ports, principal, body, self._ports.ids.new("q")), ())
        texts: list[str] = []
        last = Delta()
        async with closing(deltas) as running:
            async for delta in running:
                texts.append(delta.text)
                last = delta if delta.sources else last
        said = "".join(texts)
        unnamed = [source for source in last.sources if source not in said]
        return said + (f"\n\nSources: {', '.join(unnamed)}" if unnamed else "")

    async def _search(self, query: str, limit: int, principal: Principal) -> str:
        assert self._ports.knowledge is not None
        found = await self._ports.knowledge.recall(query, person(principal), "", limit)
        pieces = [f"[{one.source}] {one.title}\n{one.text}".strip() for one in found]
        return "\n\n".join(pieces) or "Nothing was found."

    async def _send(self, given: Mapping[str, Any], principal: Principal) -> str:
        body = MessageBody(str(given["text"]), conversation=str(given.get("conversation") or "default"))
        key = str(given.get("id") or self._ports.ids.new("x"))
        accepted = await self._ports.talk.hear(letter(self._ports, principal, body, key))
        again = " It had been left before." if accepted.duplicate else ""
        return f"Kept as {accepted.id} in the conversation {accepted.conversation}.{again}"


def _check(given: Mapping[str, Any], offer: Offer) -> None:
    """Raises `Invalid` naming every argument that is wrong: schemas here use few words, so no library is needed."""
    faults = [Fault(name, "is required") for name in offer.required if name not in given]
    for name, value in given.items():
        rule = offer.properties.get(name)
        if rule is None:
            faults.append(Fault(name, f"is not an argument of {offer.name}"))
        elif rule["type"] == "string":
            fits = isinstance(value, str) and rule.get("minLength", 0) <= len(value) <= rule["maxLength"]
            faults += [] if fits else [Fault(name, f"has to be text of at most {rule['maxLength']} characters")]
        else:
            whole = isinstance(value, int) and not isinstance(value, bool)
            fits = whole and rule["minimum"] <= value <= rule["maximum"]
            faults += [] if fits else [Fault(name, f"has to be between {rule['minimum']} and {rule['maximum']}")]
    if faults:
        raise Invalid("the arguments are not valid", faults=tuple(faults), code="invalid_arguments")


class Mcp:
    """The route ``/mcp``. Its machinery is imported and started with the first request."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._bench, self._settings = Bench(ports), settings
        self._manager: Any = None
        self._running: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """The route, ready to be registered."""
        return (post("/mcp", opt={"answer": "JsonRpc", "role": "guest"})(self.serve),)

    async def serve(self, request: Call) -> ASGIApp:
        """Serve one message of the Model Context Protocol (streamable HTTP, without sessions)."""
        if importlib.util.find_spec("mcp") is None:
            raise Missing("the Model Context Protocol is not installed", extra="mcp")
        body = await read_body(request, self._settings)
        try:
            msgspec.json.decode(body)  # the library takes its time with what nests too deep
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Invalid("the body is not JSON", code="not_json") from None
        manager = await self._started()

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async def once() -> Any:
                return {"type": "http.request", "body": body, "more_body": False}

            await attended(receive, lambda: manager.handle_request(scope, once, send))

        return answer

    async def stop(self) -> None:
        """End whatever is being served."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        self._running = self._manager = None

    async def _started(self) -> Any:
        async with self._starting:
            if self._manager is None:
                up: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._running = asyncio.create_task(self._run(up))
                self._manager = await up
        return self._manager

    async def _run(self, up: asyncio.Future[Any]) -> None:
        """The library's tasks live in the task that began them, so they get one of their own."""
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        manager = StreamableHTTPSessionManager(
            make_server(self._bench),
            json_response=True,
            stateless=True,
            max_request_body_size=self._settings.max_body,
        )
        async with manager.run():
            up.set_result(manager)
            await asyncio.Event().wait()


def make_server(bench: Bench) -> Any:
    """The library's server over our tools."""
    from mcp import types
    from mcp.server.lowlevel import Server

    async def listed(context: Any, params: Any) -> Any:
        del context, params
        tools = [
            types.Tool(
                name=offer.name,
                description=offer.about,
                input_schema=offer.schema(),
                annotations=types.ToolAnnotations(
                    read_only_hint=offer.reads, destructive_hint=False, open_world_hint=False
                ),
            )
            for offer in bench.offers()
        ]
        return types.ListToolsResult(tools=tools)

    async def used(context: Any, params: Any) -> Any:
        try:
            principal = cast("Principal", context.request.scope["user"])
            text, failed = await bench.use(params.name, params.arguments or {}, principal), False
        except KithError as error:
            text, failed = translate(error).sentence(), True
        except Exception as error:  # noqa: BLE001  # translated for the client
            text, failed = translate(error).sentence(), True
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)

    return Server("kith", version=__version__, instructions=_ABOUT, on_list_tools=listed, on_call_tool=used)
