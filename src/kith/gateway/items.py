"""OpenAI's wire format of responses, and what it means in Kith's own types.

Source: https://platform.openai.com/docs/api-reference/responses. Kith keeps no responses: a program sends the whole
conversation as `input`, which every official client can do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kith.core.message import Part, Text, ToolCall, ToolResult
from kith.core.model import Sampling, ToolSpec
from kith.gateway.dialect import Count, Name
from kith.gateway.mind import Asked, Chunks
from kith.gateway.scribe import Scribe


class Content(msgspec.Struct, frozen=True):
    """One part of an item's content."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class Item(msgspec.Struct, frozen=True):
    """One item of the input: a message, a function's call, or what it returned."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Content] | None = None


class OfferedTool(msgspec.Struct, frozen=True):
    """A tool offered to the model. Only functions are run by the caller; OpenAI's own tools are not here."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Chosen(msgspec.Struct, frozen=True):
    """The function that has to be called."""

    type: Literal["function"]
    name: str


class TextFormat(msgspec.Struct, frozen=True):
    """The form of the reply."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, frozen=True):
    """How the reply is written."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ResponseBody(msgspec.Struct, frozen=True):
    """A request for a response."""

    model: Name
    input: str | Annotated[list[Item], msgspec.Meta(min_length=1, max_length=10_000)]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    tools: Annotated[list[OfferedTool], msgspec.Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | Chosen | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    chunks: Chunks = "tokens"


def asked(body: ResponseBody, scribe: Scribe) -> Asked:
    """What the request means. Raises `Invalid` naming every mistake."""
    if body.previous_response_id:
        scribe.fault("previous_response_id", "responses are not kept here; send the whole conversation as input")
    if body.background:
        scribe.fault("background", "is not available; leave a message with POST /api/messages instead")
    if body.instructions:
        scribe.say("system", [Text(body.instructions)])
    items = [Item(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    for index, item in enumerate(items):
        _item(item, f"input[{index}]", scribe)
    offered = _tools(body, scribe)
    if isinstance(body.tool_choice, Chosen):
        offered = tuple(tool for tool in offered if tool.name == body.tool_choice.name)
        if not offered:
            scribe.fault("tool_choice.name", "is not one of the tools")
    must = body.tool_choice is not None and body.tool_choice not in ("none", "auto")
    last = f"input[{len(items) - 1}]"
    return Asked(body.model, scribe.finish(), _sampling(body), offered, must, body.chunks, last, not body.stream)


def _item(item: Item, path: str, scribe: Scribe) -> None:
    match item.type:
        case "message":
            if item.role is None:
                scribe.fault(f"{path}.role", "is required")
            if item.content is None:
                scribe.fault(f"{path}.content", "is required")
            role = "system" if item.role == "developer" else item.role or "user"
            scribe.say(role, _content(item.content, f"{path}.content", scribe))
        case "function_call":
            for name in ("call_id", "name", "arguments"):
                if getattr(item, name) is None:
                    scribe.fault(f"{path}.{name}", "is required")
            scribe.say("assistant", [ToolCall(item.call_id or "", item.name or "", item.arguments or "")])
        case "function_call_output":
            if item.call_id is None:
                scribe.fault(f"{path}.call_id", "is required")
            found = _content(item.output, f"{path}.output", scribe)
            text = "\n".join(part.text for part in found if isinstance(part, Text))
            scribe.say("tool", [ToolResult(item.call_id or "", text)])
        case "reasoning":
            pass  # another model's thoughts: given back by clients, and of no use to this one
        case other:
            scribe.fault(f"{path}.type", f"items of type {other!r} cannot be read here")


def _content(content: str | list[Content] | None, path: str, scribe: Scribe) -> list[Part]:
    if content is None or isinstance(content, str):
        return [Text(content)] if content is not None else []
    found: list[Part] = []
    for index, piece in enumerate(content):
        place = f"{path}[{index}]"
        key = {"input_image": "image_url", "refusal": "refusal"}.get(piece.type, "text")
        value: str | None = getattr(piece, key)
        if piece.type not in ("input_text", "output_text", "refusal", "input_image", "text"):
            scribe.fault(place, f"parts of type {piece.type!r} cannot be read yet")
        elif value is None:
            scribe.fault(f"{place}.{key}", "is required")
        elif key == "image_url":
            found += scribe.picture(value, f"{place}.image_url")
        else:
            found.append(Text(value))
    return found


def _tools(body: ResponseBody, scribe: Scribe) -> tuple[ToolSpec, ...]:
    if body.tool_choice == "none":
        return ()
    found: list[ToolSpec] = []
    for index, tool in enumerate(body.tools or ()):
        if tool.type != "function":
            scribe.fault(f"tools[{index}].type", f"tools of type {tool.type!r} are not here; only functions are")
        elif not tool.name:
            scribe.fault(f"tools[{index}].name", "is required")
        else:
            found.append(ToolSpec(tool.name, tool.description or "", tool.parameters or {"type": "object"}))
    return tuple(found)


def _sampling(body: ResponseBody) -> Sampling:
    form = body.text.format if body.text else None
    schema = (form.schema or {"type": "object"}) if form and form.type != "text" else None
    return Sampling(body.max_output_tokens, body.temperature, body.top_p, schema=schema)
