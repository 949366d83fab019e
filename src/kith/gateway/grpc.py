"""The gRPC door: Kith's own service, reflection and health on a port of its own, behind the same gate as all else.

The extra ``grpc`` brings the library, which is imported when the door opens. There is no generated code: messages are
made from ``kith.binpb``, the compiled description (`make proto`).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from litestar.types import Scope

from kith.core.audit import By
from kith.core.errors import Invalid, Missing, NotFound, Unavailable
from kith.core.people import Principal
from kith.gateway.calls import Calls
from kith.gateway.certificate import Certificate
from kith.gateway.failures import Failure, translate
from kith.gateway.feed import Feed
from kith.gateway.gate import Gate
from kith.gateway.ports import GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.runtime.health import Health

PACKAGE = "kith.v1"
SERVICE = f"{PACKAGE}.Assistant"
_BESIDE = ("grpc_health.v1.health_pb2", "grpc_reflection.v1alpha.reflection_pb2")
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
_PULSE = 1.0  # seconds between two looks at the health of the household, for those who watch it
Send = Callable[[Any], Awaitable[None]]
Work = Callable[[Any, Send, Principal, By], Awaitable[None]]


class _Stalled(Exception):
    """The client leaves what was sent unread: `write` is still on its way."""

    def __init__(self, write: asyncio.Future[None]) -> None:
        super().__init__()
        self.write = write


class Rpc:
    """The door itself. A slow client is waited for, and holds no more than gRPC's own window (64 KiB)."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings, gate: Gate, feed: Feed) -> None:
        self._ports, self._settings, self._gate, self._feed = ports, settings, gate, feed
        self._server: Any = None
        self.port = 0

    async def start(self, certificate: Callable[[], Certificate | None]) -> None:
        """Bind and serve, with whatever `certificate` is at the time of each connection.

        Raises `Missing` without the library, `Unavailable` when the port is taken.
        """
        if importlib.util.find_spec("grpc_reflection") is None or importlib.util.find_spec("grpc_health") is None:
            raise Missing("gRPC is not installed", extra="grpc")
        grpc = _grpc().aio
        limits = self._settings
        options = {
            "grpc.so_reuseport": 0,
            "grpc.max_receive_message_length": limits.max_body,
            "grpc.max_metadata_size": limits.max_head,
            "grpc.max_concurrent_streams": 100,
            "grpc.keepalive_time_ms": 60_000,
            "grpc.keepalive_timeout_ms": 20_000,
            "grpc.http2.min_ping_interval_without_data_ms": 10_000,
        }
        self._server = grpc.server(options=list(options.items()), maximum_concurrent_rpcs=limits.max_connections)
        self._server.add_generic_rpc_handlers(self._handlers())
        address = f"[{limits.host}]" if ":" in limits.host else limits.host
        try:
            self.port = self._bind(f"{address}:{limits.grpc.port}", certificate)
        except RuntimeError:
            raise Unavailable(
                f"port {limits.grpc.port} on {limits.host} is taken by another program",
                code="port_taken",
                hint="choose another gateway.grpc.port in kith.yaml",
            ) from None
        await self._server.start()

    def _bind(self, address: str, certificate: Callable[[], Certificate | None]) -> int:
        if certificate() is None:
            return int(self._server.add_insecure_port(address))
        shown: list[str] = []

        def renewed() -> Any:
            """What gRPC asks at each handshake: the certificate if it is another one than before."""
            found = certificate()
            if found is None or shown == [found.fingerprint]:
                return None
            shown[:] = [found.fingerprint]
            pair = (found.key.read_bytes(), found.certificate.read_bytes())
            return _grpc().ssl_server_certificate_configuration([pair])

        first = renewed()
        return int(self._server.add_secure_port(address, _grpc().dynamic_ssl_server_credentials(first, renewed)))

    async def stop(self) -> None:
        """Take no new calls, and let running ones finish for up to `grace` seconds."""
        if self._server is not None:
            await self._server.stop(self._settings.grace)
        self._server, self.port = None, 0

    def _handlers(self) -> tuple[Any, ...]:
        pool, words = vocabulary()
        calls = Calls(self._ports, self._feed, words)
        served = _grpc().method_handlers_generic_handler
        return (
            served(
                SERVICE,
                {
                    "Ask": self._answering(calls.ask, words("AskRequest")),
                    "Follow": self._answering(calls.follow, words("FollowRequest")),
                    "Chat": self._conversing(calls.chat, words("ChatRequest")),
                },
            ),
            served("grpc.reflection.v1alpha.ServerReflection", self._reflection(pool)),
            served("grpc.health.v1.Health", self._health(self._ports.health)),
        )

    def _answering(self, work: Work, asked: Any) -> Any:
        async def serve(raw: bytes, context: Any) -> None:
            await self._guarded(context, work, lambda: _read(asked, raw))

        return _grpc().unary_stream_rpc_method_handler(serve, None, _bytes)

    def _conversing(self, work: Work, asked: Any) -> Any:
        async def read(frames: AsyncIterator[bytes]) -> AsyncGenerator[Any]:
            async for raw in frames:
                yield _read(asked, raw)

        async def serve(frames: AsyncIterator[bytes], context: Any) -> None:
            await self._guarded(context, work, lambda: read(frames))

        return _grpc().stream_stream_rpc_method_handler(serve, None, _bytes)

    def _reflection(self, pool: Any) -> Mapping[str, Any]:
        """What the service is, for tools such as grpcurl: to those who may call it."""
        library: Any = importlib.import_module("grpc_reflection.v1alpha.reflection")
        messages: Any = importlib.import_module(_BESIDE[1])
        mirror = library.aio.ReflectionServicer([SERVICE, "grpc.health.v1.Health", library.SERVICE_NAME], pool)

        async def reflect(frames: AsyncIterator[Any], send: Any, principal: Principal, by: By) -> None:
            del principal, by
            async for answer in mirror.ServerReflectionInfo(frames, None):
                await send(answer)

        return {"ServerReflectionInfo": self._conversing(reflect, messages.ServerReflectionRequest)}

    def _health(self, health: Health) -> Mapping[str, Any]:
        """gRPC's health protocol, open as ``/health`` is: https://github.com/grpc/grpc/blob/master/doc/health-checking.md."""
        messages: Any = importlib.import_module(_BESIDE[0])
        answer, asked = messages.HealthCheckResponse, messages.HealthCheckRequest

        def state(raw: bytes) -> Any:
            if _read(asked, raw).service not in ("", SERVICE):
                raise NotFound("there is no such service")
            return answer(status=answer.SERVING if health.ready else answer.NOT_SERVING)

        async def check(raw: bytes, context: Any) -> None:
            await self._guarded(context, tell, lambda: raw, is_open=True)

        async def tell(raw: bytes, send: Send, principal: Principal, by: By) -> None:
            del principal, by
            await send(state(raw))

        async def watch(raw: bytes, send: Send, principal: Principal, by: By) -> None:
            del principal, by
            before = None
            while True:
                if (found := state(raw)) != before:
                    await send(found)
                before = found
                await asyncio.sleep(_PULSE)

        async def watching(raw: bytes, context: Any) -> None:
            await self._guarded(context, watch, lambda: raw, is_open=True)

        # To the client, one answer and a stream of one are the same bytes.
        served = _grpc().unary_stream_rpc_method_handler
        return {"Check": served(check, None, _bytes), "Watch": served(watching, None, _bytes)}

    async def _guarded(self, context: Any, work: Work, asked: Callable[[], Any], *, is_open: bool = False) -> None:
        """`work` behind the gate; its errors become gRPC's, and it ends when the client goes or its deadline comes."""
        try:
            principal = await self._gate.admit(_described(context, work.__name__), is_open=is_open)
            caller = principal or Principal("", "", "guest")
            await work(asked(), self._sender(context), caller, By(caller.id, _address(context.peer())[0]))
        except _Stalled as stalled:  # the work has ended, and its slot is free; only the call itself still waits
            await stalled.write
            await context.abort(_grpc().StatusCode.ABORTED, "the answer was read too slowly")
        except Exception as error:  # noqa: BLE001  # translated for the client
            await _abort(context, error)

    def _sender(self, context: Any) -> Send:
        async def send(message: Any) -> None:
            write = asyncio.ensure_future(context.write(message))
            try:
                done, _ = await asyncio.wait((write,), timeout=self._settings.write_timeout)
            except asyncio.CancelledError:
                write.cancel()
                raise
            if not done:
                raise _Stalled(write)
            write.result()

        return send


def _described(context: Any, name: str) -> Scope:
    """A call in the words in which the gate knows requests. Browser sessions are no credentials here."""
    headers = [(key.encode(), _raw(value)) for key, value in context.invocation_metadata() or ()]
    described = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": f"/{SERVICE}/{name.title()}",
        "client": _address(context.peer()),
        "headers": [pair for pair in headers if pair[0] != b"cookie"],
    }
    return cast("Scope", cast("object", described))


def _read(asked: Any, raw: bytes) -> Any:
    """The bytes as a message of the class `asked`. Raises `Invalid`."""
    errors: Any = importlib.import_module("google.protobuf.message")
    try:
        return asked.FromString(raw)
    except errors.DecodeError:
        raise Invalid("the message is not what its description says", code="not_protobuf") from None


def vocabulary() -> tuple[Any, Callable[[str], Any]]:
    """A pool with everything that the door serves, and what gives the class of a message by its name."""
    pools: Any = importlib.import_module("google.protobuf.descriptor_pool")
    factory: Any = importlib.import_module("google.protobuf.message_factory")
    descriptions: Any = importlib.import_module("google.protobuf.descriptor_pb2")
    pool = pools.DescriptorPool()
    for name in _BESIDE:
        pool.AddSerializedFile(cast("Any", importlib.import_module(name)).DESCRIPTOR.serialized_pb)
    whole = descriptions.FileDescriptorSet.FromString(Path(__file__).with_name("kith.binpb").read_bytes())
    for file in whole.file:
        pool.AddSerializedFile(file.SerializeToString())
    classes: dict[str, Any] = {}

    def word(name: str) -> Any:
        if name not in classes:
            classes[name] = factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        return classes[name]

    return pool, word


def _grpc() -> Any:
    module: Any = importlib.import_module("grpc")
    importlib.import_module("grpc.aio")
    return module


def _bytes(message: Any) -> bytes:
    return message.SerializeToString()


def _raw(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


def _address(peer: str) -> tuple[str, int]:
    """``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000`` as address and port."""
    host, _, port = unquote(peer).partition(":")[2].rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


async def _abort(context: Any, error: Exception) -> None:
    failure = translate(error)
    await context.abort(_code(failure), failure.sentence(), _trailer(failure))


def _code(failure: Failure) -> Any:
    return getattr(_grpc().StatusCode, _STATUS.get(failure.status, "INTERNAL"))


def _trailer(failure: Failure) -> tuple[tuple[str, str], ...]:
    wait = (("retry-after", str(failure.retry_after)),) if failure.retry_after else ()
    return (("kith-code", failure.code), *wait)
