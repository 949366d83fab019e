"""``/v1/chat/completions``: the part of OpenAI's API that most programs speak. Its official clients work unchanged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.core.message import Delta, Logprob, ToolCall, Usage
from kith.gateway.body import Call, read_json
from kith.gateway.dialect import ChatBody, asked
from kith.gateway.ending import Ending
from kith.gateway.failures import Failure
from kith.gateway.mind import Mind
from kith.gateway.ports import GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import SSE, Streamed, Whole, closing, sse

_DONE = b"data: [DONE]\n\n"


class Completions:
    """The route ``/v1/chat/completions``."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings, self._mind = ports, settings, Mind(ports)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        chat = {"body": ChatBody, "answer": "ChatCompletion", "stream": SSE, "role": "guest", "lane": True}
        return (post("/v1/chat/completions", opt=chat)(self.chat),)

    async def chat(self, request: Call) -> ASGIApp:
        """Continue a conversation that the caller keeps, at once or as a stream of server-sent events."""
        body = await read_json(request, ChatBody, self._settings)
        deltas = self._mind.answer(asked(body, self._mind.scribe()), request.user)
        reply = _Reply(self._ports.ids.new("chatcmpl"), int(self._ports.clock.now()), body.model)
        if not body.stream:

            async def work() -> tuple[int, Any]:
                return 200, await _gather(reply, deltas)

            return Whole(work)
        usage = bool(body.stream_options and body.stream_options.include_usage)
        chunks = _chunks(reply, deltas, usage=usage)
        return Streamed(chunks, SSE, patience=self._settings.write_timeout, failed=_failed)


class _Reply(msgspec.Struct, frozen=True):
    """What every chunk of one reply repeats."""

    id: str
    created: int
    model: str

    def chunk(self, delta: dict[str, Any], finish: str | None = None, likely: Any = (), **extra: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": _likely(likely), "finish_reason": finish}
        return self.event([choice], **extra)

    def mould(self, **extra: Any) -> tuple[bytes, bytes]:
        """What stands before and behind the text, as JSON, of a chunk that says nothing but a text."""
        head, text, tail = self.chunk({"content": ""}, **extra).partition(b'"content":""')
        return head + text[:-2], tail

    def event(self, choices: list[Any], **extra: Any) -> bytes:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return sse(msgspec.json.encode({**head, "choices": choices, **extra}))


async def _chunks(reply: _Reply, deltas: AsyncIterator[Delta], *, usage: bool) -> AsyncGenerator[bytes]:
    ending = Ending()
    opened = False
    blank = {"usage": None} if usage else {}
    head, tail = reply.mould(**blank)
    async with closing(deltas) as running:
        async for delta in running:
            calls = _calls(delta.calls, len(ending.calls)) if delta.calls else []
            ending.note(delta)
            if opened and delta.text and not (calls or delta.logprobs):
                yield head + msgspec.json.encode(delta.text) + tail
                continue
            said = ({"content": delta.text} if delta.text else {}) | ({"tool_calls": calls} if calls else {})
            if not opened:
                opened = True
                said = {"role": "assistant", "content": "", **said}
            if said:
                yield reply.chunk(said, likely=delta.logprobs, **blank)
    if not opened:
        yield reply.chunk({"role": "assistant", "content": ""}, **blank)
    yield reply.chunk({}, _finish(ending), **blank, kith=ending.about())
    if usage:
        yield reply.event([], usage=_usage(ending.usage))
    yield _DONE


async def _gather(reply: _Reply, deltas: AsyncIterator[Delta]) -> dict[str, Any]:
    ending = Ending()
    async with closing(deltas) as running:
        async for delta in running:
            ending.note(delta)
    text = ending.text
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if ending.calls else ""), "refusal": None}
    if ending.calls:
        message["tool_calls"] = [{**call, "index": index} for index, call in enumerate(_calls(ending.calls, 0))]
    return {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [
            {"index": 0, "message": message, "logprobs": _likely(ending.logprobs), "finish_reason": _finish(ending)}
        ],
        "usage": _usage(ending.usage),
        "kith": ending.about(),
    }


def _calls(calls: Sequence[ToolCall], first: int) -> list[dict[str, Any]]:
    return [
        {
            "index": first + index,
            "id": call.call,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(calls)
    ]


def _likely(told: Sequence[Logprob]) -> dict[str, Any] | None:
    """Log probabilities as OpenAI tells them; None where they were not asked for."""
    if not told:
        return None

    def one(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}

    rows = [{**one(each.token, each.logprob), "top_logprobs": [one(*other) for other in each.top]} for each in told]
    return {"content": rows, "refusal": None}


def _finish(ending: Ending) -> str:
    return "stop" if ending.finish == "cancelled" else ending.finish  # OpenAI's format has no word for cancelled


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _failed(failure: Failure) -> bytes:
    """An error inside a stream, as OpenAI's clients know it; they raise, and expect no `[DONE]` after it."""
    return sse(msgspec.json.encode({"error": failure.openai()}))
