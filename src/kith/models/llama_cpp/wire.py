"""Kith's messages as chat templates expect them."""

from __future__ import annotations

import json
from typing import Any

from kith.core.message import Image, Message, ToolCall, ToolResult
from kith.models.backend import plain


def messages_of(message: Message, *, structured: bool, seeing: bool) -> list[dict[str, Any]]:
    """One message of ours is several of theirs when it carries several tool results.

    Without `structured`, calls and results are written out as text, in Hermes's words. Pictures are left out for a
    model that is `seeing`: it gets them themselves.
    """
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if results:
        return [_result(result, structured=structured) for result in results]
    if calls:
        return [_calls(message, calls, structured=structured)]
    if seeing:
        message = Message(message.id, message.role, tuple(p for p in message.parts if not isinstance(p, Image)), 0.0)
    return [{"role": message.role, "content": plain(message)}]


def _result(result: ToolResult, *, structured: bool) -> dict[str, Any]:
    if structured:
        return {"role": "tool", "tool_call_id": result.call, "content": result.text}
    return {"role": "user", "content": f"<tool_response>\n{result.text}\n</tool_response>"}


def _calls(message: Message, calls: list[ToolCall], *, structured: bool) -> dict[str, Any]:
    if structured:
        listed = [
            {"id": call.call, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in calls
        ]
        return {"role": "assistant", "content": message.text, "tool_calls": listed}
    listed = [{"name": call.name, "arguments": _arguments(call)} for call in calls]
    written = [f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in listed]
    return {"role": "assistant", "content": "\n".join(filter(None, [message.text, *written]))}


def _arguments(call: ToolCall) -> Any:
    """Templates want an object; what is none is handed on as the text it is."""
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments
