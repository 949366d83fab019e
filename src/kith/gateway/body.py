"""Request bodies: read within limits of size and time, decoded once, every mistake named."""

from __future__ import annotations

import asyncio
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from litestar import Request
from litestar.types import Receive

from kith.core.errors import Fault, Invalid
from kith.core.people import Principal
from kith.gateway.failures import Gone, TooLarge, TooSlow
from kith.gateway.patience import Patience
from kith.gateway.settings import GatewaySettings

T = TypeVar("T", bound=msgspec.Struct)
Call = Request[Principal, Any, Any]
_FAULTS = 20
_DEPTH = 64


async def read_body(request: Call, settings: GatewaySettings, limit: int = 0) -> bytes:
    """The whole body, up to `limit` bytes, 0 for the usual. Raises `TooLarge`, `TooSlow`, `Gone` (the client left)."""
    limit = limit or settings.max_body
    announced = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    try:
        chunk, more = await _chunk(request.receive, min(settings.read_timeout, settings.request_timeout))
    except TimeoutError:
        raise TooSlow("the request was not sent in time") from None
    if len(chunk) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    return await _rest(request, chunk, settings, limit) if more else chunk


async def _rest(request: Call, first: bytes, settings: GatewaySettings, limit: int) -> bytes:
    """A body of which only the `first` piece has come."""
    chunks = bytearray(first)
    try:
        async with asyncio.timeout(settings.request_timeout):
            while True:
                chunk, more = await _chunk(request.receive, settings.read_timeout)
                chunks += chunk
                if len(chunks) > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes")
                if not more:
                    return bytes(chunks)
    except TimeoutError:
        raise TooSlow("the request was not sent in time") from None


async def _chunk(receive: Receive, patience: float) -> tuple[bytes, bool]:
    limit = Patience(patience)
    try:
        with limit:
            event = await receive()
    finally:
        limit.close()
    if event["type"] == "http.disconnect":
        raise Gone
    return cast("Any", event).get("body", b""), cast("Any", event).get("more_body", False)


async def read_json(request: Call, cls: type[T], settings: GatewaySettings, limit: int = 0) -> T:
    """The body as a `cls`. Raises `Invalid` naming every field that is wrong, and as `read_body`."""
    return parse(await read_body(request, settings, limit), cls)


def parse(raw: bytes, cls: type[T]) -> T:
    """`raw` JSON as a `cls`; unknown fields are ignored, wrong types are not converted. Raises `Invalid`."""
    try:
        return msgspec.json.decode(raw, type=cls)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("the body is not JSON", code="not_json") from None
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("the body is not JSON", code="not_json") from None
    faults: list[Fault] = []
    _search(value, cls, "", faults)
    raise Invalid("the request is not valid", faults=tuple(faults[:_FAULTS]), code="invalid_request")


def _search(value: Any, kind: Any, path: str, faults: list[Fault], depth: int = 0) -> None:
    """Collect what is wrong with `value` as a `kind`, as deep inside as it can be placed."""
    try:
        msgspec.convert(value, kind, strict=True)
        return
    except msgspec.ValidationError as error:
        reason = str(error).split(" - at `")[0]
    before = len(faults)
    if len(faults) < _FAULTS and depth < _DEPTH:
        _inside(value, kind, path, faults, depth)
    if len(faults) == before:
        faults.append(Fault(path or "body", _sentence(reason)))


def _inside(value: Any, kind: Any, path: str, faults: list[Fault], depth: int) -> None:
    options = [option for option in _options(kind) if option is not type(None)]
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct) and isinstance(value, dict):
            for field in msgspec.structs.fields(option):
                place = f"{path}.{field.encode_name}" if path else field.encode_name
                if field.encode_name in value:
                    _search(cast("Any", value)[field.encode_name], field.type, place, faults, depth + 1)
                elif field.required:
                    faults.append(Fault(place, "is required"))
            return
        if typing.get_origin(option) in (list, tuple, Sequence) and isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                _search(item, typing.get_args(option)[0], f"{path}[{index}]", faults, depth + 1)
            return


def _options(kind: Any) -> tuple[Any, ...]:
    """The types that a possibly annotated union allows."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _options(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(option for arg in typing.get_args(kind) for option in _options(arg))
    return (kind,)


def _sentence(reason: str) -> str:
    return reason[:1].lower() + reason[1:]


def integer(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number of the query, between 1 and `most`. Raises `Invalid`."""
    given = query.get(name, "")
    if not given:
        return default
    if not given.isascii() or not given.isdecimal() or len(given) > 9 or not 1 <= int(given) <= most:
        raise Invalid("the request is not valid", faults=(Fault(name, f"has to be between 1 and {most}"),))
    return int(given)
