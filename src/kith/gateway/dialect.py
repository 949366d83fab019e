"""OpenAI's wire format of chat completions, and what it means in Kith's own types.

Source: https://platform.openai.com/docs/api-reference/chat. Fields that Kith has no use for are ignored; those whose
absence a program would notice are refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kith.core.errors import Fault
from kith.core.message import Message, Part, Text, ToolCall, ToolResult
from kith.core.model import Sampling, ToolSpec
from kith.gateway.mind import Asked, Chunks
from kith.gateway.scribe import Scribe

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class ImageUrl(msgspec.Struct, frozen=True):
    """A picture, as a ``data:`` URL."""

    url: str
    detail: str | None = None


class Piece(msgspec.Struct, frozen=True):
    """One part of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None


class CalledFunction(msgspec.Struct, frozen=True):
    """The function that a model called; `arguments` is JSON text."""

    name: str
    arguments: str


class Called(msgspec.Struct, frozen=True):
    """A tool call that an assistant made earlier."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class Said(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Piece] | None = None
    name: str | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct, frozen=True):
    """A function offered to the model; `parameters` is a JSON Schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool offered to the model."""

    function: Function
    type: Literal["function"] = "function"


class StreamOptions(msgspec.Struct, frozen=True):
    """How to stream."""

    include_usage: bool | None = None


class JsonSchema(msgspec.Struct, frozen=True):
    """A JSON Schema for the reply."""

    name: str
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Format(msgspec.Struct, frozen=True):
    """The form of the reply."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(msgspec.Struct, frozen=True):
    """A request for a chat completion."""

    model: Name
    messages: Annotated[list[Said], msgspec.Meta(min_length=1, max_length=10_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    tools: Annotated[list[Tool], msgspec.Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | Tool | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    modalities: list[str] | None = None
    user: str | None = None
    chunks: Chunks = "tokens"


def unsupported(body: ChatBody) -> list[Fault]:
    """What this request asks for that no model here does, as faults."""
    checks = (
        ("n", (body.n or 1) > 1, "only one choice is made; ask again for another"),
        ("top_logprobs", body.top_logprobs is not None and not body.logprobs, "is only allowed with logprobs"),
        ("logprobs", bool(body.logprobs and body.tools), "is not available together with tools"),
        ("modalities", body.modalities not in (None, ["text"]), "only text is available"),
        ("stop", isinstance(body.stop, list) and len(body.stop) > 4, "has to be at most 4 sequences"),
        ("stream_options", body.stream_options is not None and not body.stream, "is only allowed with stream"),
    )
    return [Fault(path, reason) for path, wrong, reason in checks if wrong]


def asked(body: ChatBody, scribe: Scribe) -> Asked:
    """What the request means. Raises `Invalid` naming every mistake."""
    scribe.faults += unsupported(body)
    for index, said in enumerate(body.messages):
        parts = _parts(said, f"messages[{index}]", scribe)
        scribe.say("system" if said.role == "developer" else said.role, parts)
    offered = tools(body)
    if isinstance(body.tool_choice, Tool):
        offered = tuple(tool for tool in offered if tool.name == body.tool_choice.function.name)
        if not offered:
            scribe.fault("tool_choice.function.name", "is not one of the tools")
    must = body.tool_choice is not None and body.tool_choice not in ("none", "auto")
    last = f"messages[{len(body.messages) - 1}]"
    return Asked(body.model, scribe.finish(), sampling(body), offered, must, body.chunks, last, not body.stream)


def _parts(said: Said, path: str, scribe: Scribe) -> list[Part]:
    found = _content(said.content, path, scribe)
    calls = [ToolCall(call.id, call.function.name, call.function.arguments) for call in said.tool_calls or ()]
    if calls and said.role != "assistant":
        scribe.fault(f"{path}.tool_calls", "belongs to the assistant's messages")
    if said.content is None and not calls:
        scribe.fault(f"{path}.content", "is required")
    if said.role != "tool":
        return [*found, *calls]
    if not said.tool_call_id:
        scribe.fault(f"{path}.tool_call_id", "is required")
    return [ToolResult(said.tool_call_id or "", Message("", "tool", tuple(found), 0).text)]


def _content(content: str | list[Piece] | None, path: str, scribe: Scribe) -> list[Part]:
    if content is None or isinstance(content, str):
        return [Text(content)] if content is not None else []
    found: list[Part] = []
    for index, piece in enumerate(content):
        place = f"{path}.content[{index}]"
        value = {"text": piece.text, "refusal": piece.refusal, "image_url": piece.image_url}.get(piece.type)
        if piece.type not in ("text", "refusal", "image_url"):
            scribe.fault(place, f"parts of type {piece.type!r} cannot be read yet")
        elif value is None:
            scribe.fault(f"{place}.{piece.type}", "is required")
        elif isinstance(value, str):
            found.append(Text(value))
        else:
            found += scribe.picture(value.url, f"{place}.image_url.url")
    return found


def sampling(body: ChatBody) -> Sampling:
    """How to choose tokens."""
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    schema: dict[str, Any] | None = None
    if body.response_format and body.response_format.type != "text":
        given = body.response_format.json_schema
        schema = (given.schema if given else None) or {"type": "object"}
    limit = body.max_completion_tokens or body.max_tokens
    likely = (body.top_logprobs or 0) if body.logprobs else None
    return Sampling(limit, body.temperature, body.top_p, body.seed, stop, schema, logprobs=likely)


def tools(body: ChatBody) -> tuple[ToolSpec, ...]:
    """The tools offered to the model."""
    if body.tool_choice == "none":
        return ()
    offered = [tool.function for tool in body.tools or ()]
    return tuple(ToolSpec(one.name, one.description or "", one.parameters or {"type": "object"}) for one in offered)
