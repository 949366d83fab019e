"""What a backend is, and what it may use: the one module of this room that backends import."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import httpx

from kith.core.clock import Clock
from kith.core.message import Audio, Data, Delta, File, Image, Message, Text, ToolCall, ToolResult
from kith.core.model import ChatRequest, ModelCard
from kith.models.gguf import GgufFile, read_gguf
from kith.models.settings import ModelSettings
from kith.runtime.supervisor import Supervisor

__all__ = ["Backend", "ChatModel", "Embeds", "GgufFile", "Means", "ModelSettings", "plain", "read_gguf"]


@dataclass(frozen=True, slots=True)
class Means:
    """What the house gives to a backend. `folder` is where relative paths begin; `changed` takes (state, reason)."""

    clock: Clock
    supervisor: Supervisor
    client: httpx.AsyncClient
    folder: Path
    changed: Callable[[str, str], None]


class Backend(Protocol):
    """One configured model. Made by the manifest's entry: ``entry(settings, options, means)``, which reads no weights.

    The entry raises `Invalid` or `NotFound` for a model that can never run; `card` tells what is known without loading.
    """

    @property
    def card(self) -> ModelCard: ...

    async def start(self) -> None:
        """Load, and return when requests can be answered. Raises `Unavailable`."""
        ...

    async def stop(self) -> None: ...

    async def count(self, text: str) -> int | None:
        """Tokens of `text`, None when it cannot tell cheaply now."""
        ...


@runtime_checkable
class ChatModel(Protocol):
    """A backend that talks. Closing the iterator frees what the request held; an `Unavailable` may be tried again."""

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]: ...


@runtime_checkable
class Embeds(Protocol):
    """A backend that turns n texts into n vectors of equal length."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]: ...


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
