"""Anthropic's wire format of messages, and what it means in Kith's own types.

Source: https://docs.anthropic.com/en/api/messages. Fields that Kith has no use for are ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

from kith.core.message import Part, Text, ToolCall, ToolResult
from kith.core.model import Sampling, ToolSpec
from kith.gateway.dialect import Count, Name
from kith.gateway.mind import Asked, Chunks
from kith.gateway.scribe import Scribe


class Source(msgspec.Struct, frozen=True):
    """Where a picture is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class Block(msgspec.Struct, frozen=True):
    """One block of a message's content."""

    type: str
    text: str | None = None
    source: Source | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | None = None
    is_error: bool | None = None


class Turn(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class OfferedTool(msgspec.Struct, frozen=True):
    """A tool offered to the model. Those that Anthropic runs itself are not here."""

    name: Name
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    type: str | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether, and which, tool has to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class OutputFormat(msgspec.Struct, frozen=True):
    """The form of the reply."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, frozen=True):
    """How the reply is written."""

    format: OutputFormat | None = None


class CountBody(msgspec.Struct, frozen=True):
    """A request whose tokens are to be counted."""

    model: Name
    messages: Annotated[list[Turn], msgspec.Meta(min_length=1, max_length=10_000)]
    system: str | list[Block] | None = None
    tools: Annotated[list[OfferedTool], msgspec.Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None


class LetterBody(CountBody, frozen=True, kw_only=True):
    """A request for a message."""

    max_tokens: Count
    stream: bool | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    stop_sequences: Annotated[list[str], msgspec.Meta(max_length=32)] | None = None
    output_config: OutputConfig | None = None
    chunks: Chunks = "tokens"


def asked(body: CountBody, scribe: Scribe) -> Asked:
    """What the request means. Raises `Invalid` naming every mistake."""
    if body.system:
        system = _content(body.system, "system", scribe)
        scribe.say("system", system)
    for index, turn in enumerate(body.messages):
        _turn(turn, f"messages[{index}]", scribe)
    offered = _tools(body, scribe)
    kind = body.tool_choice.type if body.tool_choice else "auto"
    if kind == "tool":
        offered = tuple(tool for tool in offered if body.tool_choice and tool.name == body.tool_choice.name)
        if not offered:
            scribe.fault("tool_choice.name", "is not one of the tools")
    last = f"messages[{len(body.messages) - 1}]"
    whole = body if isinstance(body, LetterBody) else None
    sampling = _sampling(whole) if whole else Sampling()
    chunks: Chunks = whole.chunks if whole else "tokens"
    at_once = whole is None or not whole.stream
    return Asked(body.model, scribe.finish(), sampling, offered, kind in ("any", "tool"), chunks, last, at_once)


def _turn(turn: Turn, path: str, scribe: Scribe) -> None:
    """One message of theirs is several of ours where it brings results of tools."""
    parts = _content(turn.content, f"{path}.content", scribe)
    results = [part for part in parts if isinstance(part, ToolResult)]
    others = [part for part in parts if not isinstance(part, ToolResult)]
    if results:
        scribe.say("tool", results)
    if others or not results:
        scribe.say(turn.role, others)


def _content(content: str | list[Block], path: str, scribe: Scribe) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    return [part for index, block in enumerate(content) for part in _block(block, f"{path}[{index}]", scribe)]


def _block(block: Block, path: str, scribe: Scribe) -> list[Part]:
    needed = {"text": ("text",), "image": ("source",), "tool_use": ("id", "name"), "tool_result": ("tool_use_id",)}
    lacking = [name for name in needed.get(block.type, ()) if getattr(block, name) is None]
    for name in lacking:
        scribe.fault(f"{path}.{name}", "is required")
    if lacking:
        return []
    match block.type:
        case "text":
            return [Text(block.text or "")]
        case "image":
            return _picture(block.source or Source(""), f"{path}.source", scribe)
        case "tool_use":
            written = json.dumps(block.input or {}, ensure_ascii=False, separators=(",", ":"))
            return [ToolCall(block.id or "", block.name or "", written)]
        case "tool_result":
            inside = _content(block.content or "", f"{path}.content", scribe)
            text = "\n".join(part.text for part in inside if isinstance(part, Text))
            return [ToolResult(block.tool_use_id or "", text, failed=bool(block.is_error))]
        case "thinking" | "redacted_thinking":
            return []  # another model's thoughts: given back by clients, and of no use to this one
        case other:
            scribe.fault(path, f"blocks of type {other!r} cannot be read yet")
            return []


def _picture(source: Source, path: str, scribe: Scribe) -> list[Part]:
    if source.type == "base64" and source.data is not None:
        return scribe.encoded(source.data, f"{path}.data")
    scribe.fault(path, "has to be a picture in base 64; addresses and files are not fetched")
    return []


def _tools(body: CountBody, scribe: Scribe) -> tuple[ToolSpec, ...]:
    if body.tool_choice and body.tool_choice.type == "none":
        return ()
    found: list[ToolSpec] = []
    for index, tool in enumerate(body.tools or ()):
        if tool.type not in (None, "custom"):
            scribe.fault(f"tools[{index}].type", f"tools of type {tool.type!r} are not here; offer your own")
        found.append(ToolSpec(tool.name, tool.description or "", tool.input_schema or {"type": "object"}))
    return tuple(found)


def _sampling(body: LetterBody) -> Sampling:
    form = body.output_config.format if body.output_config else None
    return Sampling(
        body.max_tokens,
        body.temperature,
        body.top_p,
        stop=tuple(body.stop_sequences or ()),
        schema=form.schema if form else None,
    )
