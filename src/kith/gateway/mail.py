"""``/v1/messages``: Anthropic's way to talk, whole or as its named events. The official clients work unchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Any, cast

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.core.message import Delta, ToolCall, Usage
from kith.gateway.body import Call, read_json
from kith.gateway.ending import Ending
from kith.gateway.failures import Failure
from kith.gateway.letters import CountBody, LetterBody, asked
from kith.gateway.mind import HOUSE, Mind
from kith.gateway.ports import GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import SSE, Streamed, Whole, closing, sse

_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class Mail:
    """The routes of ``/v1/messages``."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings, self._mind = ports, settings, Mind(ports)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        opt = {"body": LetterBody, "answer": "AnthropicMessage", "stream": SSE, "role": "guest", "lane": True}
        counted = {"body": CountBody, "answer": "AnthropicCount", "role": "guest"}
        return (
            post("/v1/messages", opt=opt)(self.reply),
            post("/v1/messages/count_tokens", opt=counted)(self.count),
        )

    async def reply(self, request: Call) -> ASGIApp:
        """Continue a conversation that the caller keeps, at once or as a stream of server-sent events."""
        body = await read_json(request, LetterBody, self._settings)
        deltas = self._mind.answer(asked(body, self._mind.scribe()), request.user)
        letter = _Letter(self._ports.ids.new("msg"), body.model)
        if body.stream:
            return Streamed(_events(letter, deltas), SSE, patience=self._settings.write_timeout, failed=_failed)

        async def work() -> tuple[int, Any]:
            async with closing(deltas) as running:
                async for delta in running:
                    letter.note(delta)
            return 200, letter.whole()

        return Whole(work)

    async def count(self, request: Call) -> ASGIApp:
        """Count the tokens of a request: exactly where its model is loaded, else by an estimate from above."""
        body = await read_json(request, CountBody, self._settings)
        said = asked(body, self._mind.scribe())
        name = "" if body.model == HOUSE else self._mind.card(body.model, "chat").name

        async def work() -> tuple[int, Any]:
            texts = [message.text for message in said.said]
            texts += [json.dumps(dict(tool.schema), ensure_ascii=False) + tool.description for tool in said.tools]
            return 200, {"input_tokens": await self._ports.models.count("\n".join(texts), name)}

        return Whole(work)


class _Letter(Ending):
    """A message as far as it is known."""

    def __init__(self, key: str, model: str) -> None:
        super().__init__()
        self._key, self._asked = key, model

    def head(self) -> dict[str, Any]:
        """What is known before the first word."""
        kind = {"id": self._key, "type": "message", "role": "assistant", "model": self._asked}
        return {**kind, "content": list[Any](), "stop_reason": None, "stop_sequence": None, "usage": _usage(Usage())}

    def ending(self) -> dict[str, Any]:
        """Why it ended."""
        return {"stop_reason": _REASONS.get(self.finish, "end_turn"), "stop_sequence": None}

    def whole(self) -> dict[str, Any]:
        """The finished message."""
        content = [{"type": "text", "text": self.text}] if self.texts or not self.calls else []
        content += [_use(call, _arguments(call)) for call in self.calls]
        return {**self.head(), "content": content, **self.ending(), "usage": _usage(self.usage), "kith": self.about()}


async def _events(letter: _Letter, deltas: AsyncIterator[Delta]) -> AsyncGenerator[bytes]:
    opened = False
    async with closing(deltas) as running:
        async for delta in running:
            if not opened:
                opened = True
                yield _event("message_start", message=letter.head())
            if delta.text and not letter.texts:
                yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            if delta.text:
                yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": delta.text})
            letter.note(delta)
    if not opened:
        yield _event("message_start", message=letter.head())
    for event in _closing(letter):
        yield event


def _closing(letter: _Letter) -> Iterator[bytes]:
    """What ends every block, and the whole."""
    if letter.texts:
        yield _event("content_block_stop", index=0)
    for index, call in enumerate(letter.calls, 1 if letter.texts else 0):
        yield _event("content_block_start", index=index, content_block=_use(call, {}))
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=letter.ending(), usage=_usage(letter.usage))
    yield _event("message_stop")


def _event(kind: str, **data: Any) -> bytes:
    return sse(msgspec.json.encode({"type": kind, **data}), kind)


def _use(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.call, "name": call.name, "input": arguments}


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object: this dialect has no words for those that are none."""
    try:
        found: object = json.loads(call.arguments)
    except ValueError:
        found = None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"arguments": call.arguments}


def _usage(usage: Usage) -> dict[str, int]:
    fresh = max(0, usage.prompt - usage.cached)
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": usage.cached}
    return {"input_tokens": fresh, "output_tokens": usage.completion, **cached}


def _failed(failure: Failure) -> bytes:
    return sse(msgspec.json.encode(failure.anthropic()), "error")
