"""OpenAI's wire format of chat completions, and what it means in Kith's own types.

Source: https://platform.openai.com/docs/api-reference/chat. Fields that Kith has no use for are ignored; those whose
absence a program would notice are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from kith.core.errors import Fault, Invalid
from kith.core.message import Message, Part, Text, ToolCall, ToolResult
from kith.core.model import Sampling, ToolSpec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Piece(msgspec.Struct, frozen=True):
    """One part of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None


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
    tool_choice: str | dict[str, Any] | None = None
    response_format: Format | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    user: str | None = None


def unsupported(body: ChatBody) -> list[Fault]:
    """What this request asks for that no model here does, as faults."""
    checks = (
        ("n", (body.n or 1) > 1, "only one choice is made; ask again for another"),
        ("logprobs", bool(body.logprobs), "log probabilities are not available"),
        ("modalities", body.modalities not in (None, ["text"]), "only text is available"),
        ("tool_choice", body.tool_choice not in (None, "auto", "none"), "only 'auto' and 'none' are available"),
        ("stop", isinstance(body.stop, list) and len(body.stop) > 4, "has to be at most 4 sequences"),
        ("stream_options", body.stream_options is not None and not body.stream, "is only allowed with stream"),
    )
    return [Fault(path, reason) for path, wrong, reason in checks if wrong]


def messages(body: ChatBody, new: Callable[[str], str], now: float) -> tuple[Message, ...]:
    """The conversation as Kith's messages, with ids made by `new`. Raises `Invalid` naming every mistake."""
    faults = unsupported(body)
    found: list[Message] = []
    for index, said in enumerate(body.messages):
        parts = _parts(said, f"messages[{index}]", faults)
        role = "system" if said.role == "developer" else said.role
        found.append(Message(new("m"), role, tuple(parts), now))
    if faults:
        raise Invalid("the request is not valid", faults=tuple(faults), code="invalid_request")
    return tuple(found)


def _parts(said: Said, path: str, faults: list[Fault]) -> list[Part]:
    text = _text(said.content, path, faults)
    calls = [ToolCall(call.id, call.function.name, call.function.arguments) for call in said.tool_calls or ()]
    if calls and said.role != "assistant":
        faults.append(Fault(f"{path}.tool_calls", "belongs to the assistant's messages"))
    if text is None and not calls:
        faults.append(Fault(f"{path}.content", "is required"))
    if said.role == "tool":
        if not said.tool_call_id:
            faults.append(Fault(f"{path}.tool_call_id", "is required"))
        return [ToolResult(said.tool_call_id or "", text or "")]
    return [*([Text(text)] if text is not None else []), *calls]


def _text(content: str | list[Piece] | None, path: str, faults: list[Fault]) -> str | None:
    if content is None or isinstance(content, str):
        return content
    texts: list[str] = []
    for index, piece in enumerate(content):
        text = piece.text if piece.type == "text" else piece.refusal if piece.type == "refusal" else None
        if piece.type not in ("text", "refusal"):
            faults.append(Fault(f"{path}.content[{index}]", f"parts of type {piece.type!r} cannot be read yet"))
        elif text is None:
            faults.append(Fault(f"{path}.content[{index}].{piece.type}", "is required"))
        else:
            texts.append(text)
    return "\n".join(texts)


def sampling(body: ChatBody) -> Sampling:
    """How to choose tokens."""
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    schema: dict[str, Any] | None = None
    if body.response_format and body.response_format.type != "text":
        given = body.response_format.json_schema
        schema = (given.schema if given else None) or {"type": "object"}
    limit = body.max_completion_tokens or body.max_tokens
    return Sampling(limit, body.temperature, body.top_p, body.seed, stop, schema)


def tools(body: ChatBody) -> tuple[ToolSpec, ...]:
    """The tools offered to the model."""
    if body.tool_choice == "none":
        return ()
    offered = [tool.function for tool in body.tools or ()]
    return tuple(ToolSpec(one.name, one.description or "", one.parameters or {"type": "object"}) for one in offered)
