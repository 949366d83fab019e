"""A model that has to call a tool: the choice as a JSON Schema that its answer must fit, and the answer as a call.

A schema binds the model's own sampling, where an instruction could only ask; see https://arxiv.org/abs/2307.09702.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from kith.core.errors import Unavailable
from kith.core.message import Delta, Message, Text, ToolCall
from kith.core.model import ChatRequest, ToolSpec
from kith.gateway.stream import closing


def bound(request: ChatRequest, tools: Sequence[ToolSpec], say: Message) -> ChatRequest:
    """`request` as one whose answer is a call to one of `tools`. The message `say` is what tells the model of them."""
    calls: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": dict(tool.schema)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    schema: Mapping[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return replace(
        request,
        messages=(say, *request.messages),
        tools=(),
        sampling=replace(request.sampling, schema=schema),
    )


def instruction(tools: Sequence[ToolSpec]) -> Text:
    """What the model is told of the tools it has to choose from."""
    listed = [{"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)} for tool in tools]
    return Text(
        'Call exactly one of these functions: answer only with {"name": ..., "arguments": {...}}.\n'
        + json.dumps(listed, ensure_ascii=False)
    )


async def called(deltas: AsyncIterator[Delta], call: str) -> AsyncGenerator[Delta]:
    """The answer that `bound` asked for, as the tool call of id `call`. Raises `Unavailable` when it is none."""
    texts: list[str] = []
    last = Delta()
    async with closing(deltas) as running:
        async for delta in running:
            texts.append(delta.text)
            last = replace(last, **{name: value for name, value in _known(delta).items() if value})
    try:
        made: Any = json.loads("".join(texts))
        name, arguments = str(made["name"]), cast("object", made["arguments"])
    except (ValueError, KeyError, TypeError):
        text = "the model was to call a tool, and did not finish a call"
        raise Unavailable(text, code="no_call", hint="allow more tokens, or ask again") from None
    written = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    yield replace(last, calls=(ToolCall(call, name, written),), finish="tool_calls")


def _known(delta: Delta) -> dict[str, Any]:
    return {"usage": delta.usage, "model": delta.model, "sources": delta.sources, "fallback": delta.fallback}
