"""Conversations with a model's process, for backends whose worker renders, generates and counts by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Literal, cast

from kith.core.message import Audio, Data, Delta, File, Image, Message, Text, ToolCall, ToolResult, Usage
from kith.core.model import ChatRequest
from kith.models.process import ModelProcess


class TalkingProcess(ModelProcess):
    """A process that understands ``chat`` and answers with ``t`` (text) and ``end`` (finish) with ``usage``.

    ``chat`` carries messages ({"role", "content"}), ``now``, ``max_tokens``, ``temperature``, ``top_p``, ``seed`` and
    ``stop``.
    """

    async def stream(self, request: ChatRequest, max_tokens: int | None) -> AsyncIterator[Delta]:
        """Continue a conversation; `max_tokens` where the request does not say. Raises as `ChatModel.stream`."""
        name = self._card.name
        asked = {"chat": _body(request, max_tokens) | {"now": self._means.clock.now()}}
        async with self.turn(request.deadline):
            await self.start()
            with self.call(asked) as (key, frames):
                while True:
                    frame = await self.next(frames, request.deadline)
                    if text := str(frame.get("t") or ""):
                        yield Delta(text, model=name)
                    if "end" in frame:
                        self.done(key)
                        finish = cast("Literal['stop', 'length', 'cancelled']", frame["end"])
                        yield Delta(finish=finish, usage=Usage(*frame["usage"]), model=name)
                        return


def _body(request: ChatRequest, max_tokens: int | None) -> dict[str, Any]:
    sampling = request.sampling
    return {
        "messages": [{"role": message.role, "content": plain(message)} for message in request.messages],
        "max_tokens": sampling.max_tokens or max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stop": list(sampling.stop),
    }


def plain(message: Message) -> str:
    """A message for a model that only reads text: other parts are named or written out."""
    found: list[str] = []
    for part in message.parts:
        match part:
            case Text():
                found.append(part.text)
            case ToolResult():
                found.append(part.text)
            case Data():
                found.append(json.dumps(part.value, ensure_ascii=False))
            case ToolCall():
                found.append(f"{part.name}({part.arguments})")
            case Image() | Audio() | File():
                found.append(f"[{part.type}: {part.name or part.mime}]")
    return "\n".join(found)
