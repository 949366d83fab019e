"""Kith's requests and answers in OpenAI's words: pure functions, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from kith.core.errors import Invalid, KithError, NotFound, Refused, Unavailable
from kith.core.message import Delta, Image, Message, ToolCall, ToolResult, Usage
from kith.core.model import ChatRequest
from kith.models.backend import plain
from kith.models.openai_compat.profiles import Profile

Finish = Literal["stop", "length", "tool_calls"]
_FINISH: Mapping[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


def body(
    request: ChatRequest, model: str, default_tokens: int | None, profile: Profile, pictures: Mapping[str, str]
) -> dict[str, Any]:
    """The JSON of ``POST /chat/completions``. `pictures` are data URLs by blob; others are named in the text.

    Raises `Invalid` for a grammar that the server has no place for.
    """
    sampling = request.sampling
    wanted: dict[str, Any] = {
        profile.tokens: sampling.max_tokens or default_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "response_format": _format(sampling.schema),
        "logprobs": True if sampling.logprobs is not None else None,
        "top_logprobs": sampling.logprobs or None,
        "tools": [_tool(tool.name, tool.description, tool.schema) for tool in request.tools] or None,
        **_grammar(sampling.grammar, profile, model),
    }
    messages = [entry for message in request.messages for entry in _message(message, pictures)]
    return {"model": model, "messages": messages} | {key: value for key, value in wanted.items() if value is not None}


def _grammar(text: str, profile: Profile, model: str) -> dict[str, Any]:
    if not text:
        return {}
    if not profile.grammar:
        raise Invalid(f"the endpoint of {model} cannot keep to a grammar", code="unsupported")
    outer, _, inner = profile.grammar.partition(".")
    return {outer: {inner: text} if inner else text}


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}


def _tool(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": dict(schema)}}


def _message(message: Message, pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    """One message of ours is several of theirs when it carries several tool results."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return [{"role": "tool", "tool_call_id": part.call, "content": part.text} for part in results]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if not calls:
        return [{"role": message.role, "content": _content(message, pictures)}]
    listed = [
        {"id": call.call, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]
    return [{"role": "assistant", "content": message.text or None, "tool_calls": listed}]


def _content(message: Message, pictures: Mapping[str, str]) -> str | list[dict[str, Any]]:
    seen = [part for part in message.parts if isinstance(part, Image) and part.blob in pictures]
    if not seen:
        return plain(message)
    rest = tuple(part for part in message.parts if part not in seen)
    shown = [{"type": "image_url", "image_url": {"url": pictures[part.blob]}} for part in seen]
    text = plain(Message(message.id, message.role, rest, message.at))
    return [*shown, *([{"type": "text", "text": text}] if text else [])]


@dataclass(slots=True)
class Chunks:
    """Puts the pieces of one streamed answer together. Feed it the data of each event."""

    model: str
    calls: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    finish: Finish | Literal[""] = ""
    usage: Usage | None = None
    likely: Any = None

    def feed(self, data: str) -> str:
        """The text of one event. Raises `Unavailable` (code ``bad_answer``) for what is not a chunk, or its error."""
        try:
            chunk: Any = json.loads(data)
        except ValueError:
            raise _nonsense(self.model) from None
        if not isinstance(chunk, dict):
            raise _nonsense(self.model)
        found = cast("dict[str, Any]", chunk)
        if found.get("error"):
            raise refusal(500, found, self.model, None)
        try:
            return self._take(found)
        except (TypeError, AttributeError, KeyError, IndexError, ValueError):
            raise _nonsense(self.model) from None

    def last(self) -> Delta:
        """What ends the stream."""
        calls = tuple(
            ToolCall(call["id"] or f"call_{index}", call["name"], call["arguments"] or "{}")
            for index, call in sorted(self.calls.items())
        )
        finish = "tool_calls" if calls else self.finish or "stop"  # some servers end calls with "stop"
        return Delta(calls=calls, finish=finish, usage=self.usage, model=self.model)

    def _take(self, chunk: dict[str, Any]) -> str:
        if usage := _map(chunk.get("usage")):
            self.usage = _usage(usage)
        choices = _list(chunk.get("choices"))
        if not choices:
            return ""
        choice = _map(choices[0])
        self.likely = _map(choice.get("logprobs")).get("content")
        delta = _map(choice.get("delta")) or _map(choice.get("message"))
        for position, piece in enumerate(_list(delta.get("tool_calls"))):
            self._call(position, _map(piece))
        if reason := choice.get("finish_reason"):
            self.finish = _FINISH.get(str(reason), "stop")
        text: Any = delta.get("content") or ""
        if not isinstance(text, str):
            raise TypeError
        return text

    def _call(self, position: int, piece: dict[str, Any]) -> None:
        function = _map(piece.get("function"))
        index = int(piece.get("index", position))
        known = self.calls.get(index, {}).get("id")
        if known and piece.get("id") and piece["id"] != known and function.get("name"):
            index = max(self.calls) + 1  # some servers send several whole calls, all with the index 0
        elif not piece.get("id") and index not in self.calls and self.calls and not function.get("name"):
            index = max(self.calls)  # the rest of a call whose index was counted on
        call = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = str(piece.get("id") or call["id"])
        call["name"] += str(function.get("name") or "")
        call["arguments"] += str(function.get("arguments") or "")


def _map(value: Any) -> dict[str, Any]:
    """An object, or an empty one for null. Raises `TypeError` for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError
    return cast("dict[str, Any]", value)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError
    return cast("list[Any]", value)


def _usage(usage: dict[str, Any]) -> Usage:
    cached = int(_map(usage.get("prompt_tokens_details")).get("cached_tokens") or 0)
    return Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), cached)


def _nonsense(model: str) -> Unavailable:
    return Unavailable(f"the endpoint of {model} answers something that is not its API", code="bad_answer")


def refusal(status: int, answer: Any, model: str, retry_after: str | None) -> KithError:
    """The error that an HTTP status and its body mean. Never carries the key, and of the body only its message."""
    said = _said(answer)
    tail = f": {said}" if said else ""
    code = _code(answer)
    if "context" in code or "maximum context" in said.lower():
        return Invalid(f"the conversation is too long for {model}{tail}", code="context_length_exceeded")
    if status in {401, 403}:
        hint = f"check `api_key` of the model {model} in kith.yaml"
        return Refused(f"the endpoint of {model} does not accept the key{tail}", code="upstream_key", hint=hint)
    if status == 404:
        hint = "check `url` (it ends with /v1) and `model`"
        return NotFound(f"the endpoint of {model} does not know it{tail}", code="model_not_found", hint=hint)
    if status == 429:
        text = f"the endpoint of {model} asks for a pause{tail}"
        return Unavailable(text, code="rate_limited", retry_after=_seconds(retry_after))
    if 400 <= status < 500:
        return Invalid(f"the endpoint of {model} refuses the request{tail}", code="upstream_refused")
    text = f"the endpoint of {model} fails with status {status}{tail}"
    return Unavailable(text, code="upstream_failed", retry_after=_seconds(retry_after))


def _error(answer: Any) -> Any:
    return cast("dict[str, Any]", answer).get("error") if isinstance(answer, dict) else None


def _said(answer: Any) -> str:
    error = _error(answer)
    message: Any = cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else error
    return message[:300] if isinstance(message, str) else ""


def _code(answer: Any) -> str:
    error = _error(answer)
    return str(cast("dict[str, Any]", error).get("code") or "") if isinstance(error, dict) else ""


def _seconds(value: str | None) -> float:
    try:
        return min(3600.0, max(0.0, float(value or 1.0)))
    except ValueError:
        return 60.0  # a date: rare, and a minute is never wrong by much
