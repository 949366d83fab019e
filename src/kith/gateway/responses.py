"""``/v1/responses``: OpenAI's newer way to talk, whole or as its named events. The official clients work unchanged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.core.message import Delta, ToolCall
from kith.gateway.body import Call, read_json
from kith.gateway.ending import Ending
from kith.gateway.failures import Failure
from kith.gateway.items import ResponseBody, asked
from kith.gateway.mind import Mind
from kith.gateway.ports import GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import SSE, Streamed, Whole, closing, sse


class Responses:
    """The route ``/v1/responses``."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings, self._mind = ports, settings, Mind(ports)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """The route, ready to be registered."""
        opt = {"body": ResponseBody, "answer": "Response", "stream": SSE, "role": "guest", "lane": True}
        return (post("/v1/responses", opt=opt)(self.respond),)

    async def respond(self, request: Call) -> ASGIApp:
        """Continue a conversation that the caller keeps, at once or as a stream of server-sent events."""
        body = await read_json(request, ResponseBody, self._settings)
        deltas = self._mind.answer(asked(body, self._mind.scribe()), request.user)
        ids = self._ports.ids
        reply = _Reply(ids.new("resp"), ids.new("msg"), int(self._ports.clock.now()), body)
        if body.stream:
            return Streamed(_events(reply, deltas), SSE, patience=self._settings.write_timeout, failed=_failed)

        async def work() -> tuple[int, Any]:
            async with closing(deltas) as running:
                async for delta in running:
                    reply.note(delta)
            return 200, reply.whole()

        return Whole(work)


class _Reply(Ending):
    """A response as far as it is known."""

    def __init__(self, key: str, message: str, created: int, body: ResponseBody) -> None:
        super().__init__()
        self.message = message
        self._key, self._created, self._body = key, created, body

    def said(self, status: str = "completed") -> dict[str, Any]:
        """The item with the text."""
        content = [part(self.text)] if status == "completed" else []
        return {"id": self.message, "type": "message", "role": "assistant", "status": status, "content": content}

    def items(self) -> list[dict[str, Any]]:
        spoke = [self.said()] if self.texts or not self.calls else []
        return [*spoke, *(call_item(call) for call in self.calls)]

    def whole(self) -> dict[str, Any]:
        """The finished response."""
        cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(self.finish)
        usage = {
            "input_tokens": self.usage.prompt,
            "input_tokens_details": {"cached_tokens": self.usage.cached},
            "output_tokens": self.usage.completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.usage.prompt + self.usage.completion,
        }
        return {
            **self.head("incomplete" if cut else "completed"),
            "incomplete_details": {"reason": cut} if cut else None,
            "output": self.items(),
            "usage": usage,
            "kith": self.about(),
        }

    def head(self, status: str) -> dict[str, Any]:
        """What is known before the first word: the request's own settings, given back."""
        body = self._body
        form = body.text.format if body.text and body.text.format else None
        choice = body.tool_choice if body.tool_choice is not None else "auto"
        return {
            "id": self._key,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": body.model,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": body.temperature,
            "text": {"format": {"type": "text"} if form is None else msgspec.to_builtins(form)},
            "tool_choice": msgspec.to_builtins(choice),
            "tools": [{"strict": False, **_given(tool)} for tool in body.tools or ()],
            "top_p": body.top_p,
            "usage": None,
        }


def _given(tool: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(tool).items() if value is not None}


def part(text: str) -> dict[str, Any]:
    """Text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": []}


def call_item(call: ToolCall, status: str = "completed") -> dict[str, Any]:
    """A function's call as an item of the output."""
    arguments = call.arguments if status == "completed" else ""
    kind = {"id": f"fc_{call.call}", "type": "function_call", "status": status}
    return {**kind, "call_id": call.call, "name": call.name, "arguments": arguments}


async def _events(reply: _Reply, deltas: AsyncIterator[Delta]) -> AsyncGenerator[bytes]:
    numbers = iter(range(1_000_000_000))
    opened = False
    where = {"item_id": reply.message, "output_index": 0, "content_index": 0}

    def event(kind: str, **data: Any) -> bytes:
        return sse(msgspec.json.encode({"type": kind, "sequence_number": next(numbers), **data}), kind)

    def begin() -> Iterator[bytes]:
        for kind in ("response.created", "response.in_progress"):
            yield event(kind, response=reply.head("in_progress"))

    async with closing(deltas) as running:
        async for delta in running:
            if not opened:
                for head in begin():
                    yield head
                opened = True
            if delta.text and not reply.texts:
                yield event("response.output_item.added", output_index=0, item=reply.said("in_progress"))
                yield event("response.content_part.added", **where, part=part(""))
            if delta.text:
                yield event("response.output_text.delta", **where, delta=delta.text, logprobs=[])
            reply.note(delta)
    if not opened:
        for head in begin():
            yield head
    for kind, data in _closing(reply, where):
        yield event(kind, **data)


def _closing(reply: _Reply, where: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What ends every item, and the whole."""
    text = reply.text
    if text:
        yield "response.output_text.done", {**where, "text": text, "logprobs": []}
        yield "response.content_part.done", {**where, "part": part(text)}
        yield "response.output_item.done", {"output_index": 0, "item": reply.said()}
    for index, call in enumerate(reply.calls, 1 if text else 0):
        item, place = call_item(call), {"item_id": f"fc_{call.call}", "output_index": index}
        yield "response.output_item.added", {"output_index": index, "item": call_item(call, "in_progress")}
        yield "response.function_call_arguments.delta", {**place, "delta": call.arguments}
        yield "response.function_call_arguments.done", {**place, "name": call.name, "arguments": call.arguments}
        yield "response.output_item.done", {"output_index": index, "item": item}
    whole = reply.whole()
    yield f"response.{whole['status']}", {"response": whole}


def _failed(failure: Failure) -> bytes:
    told = failure.openai()
    event = {"type": "error", "code": told["code"], "message": told["message"], "param": told["param"]}
    return sse(msgspec.json.encode({**event, "sequence_number": 0}), "error")
