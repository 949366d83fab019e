"""What a backend is, and what it may use: the one module of this room that backends import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from kith.core.message import Delta, Media
from kith.core.model import ChatRequest, ModelCard, Picture
from kith.models.configs import read_config
from kith.models.gguf import GgufFile, read_gguf
from kith.models.means import Fetch, Means
from kith.models.odds import likely
from kith.models.process import Limits, ModelProcess, failure, fit, threads
from kith.models.settings import ModelSettings
from kith.models.talk import TalkingProcess, plain

__all__ = [
    "Backend",
    "ChatModel",
    "Classifies",
    "Draws",
    "Embeds",
    "Fetch",
    "GgufFile",
    "Keeps",
    "Limits",
    "Means",
    "Media",
    "ModelProcess",
    "ModelSettings",
    "Picture",
    "Ranks",
    "TalkingProcess",
    "failure",
    "fit",
    "likely",
    "plain",
    "read_config",
    "read_gguf",
    "threads",
]


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


@runtime_checkable
class Ranks(Protocol):
    """A backend that tells how well each of n texts answers a query: n numbers, a higher one is better."""

    async def rank(self, query: str, texts: Sequence[str]) -> Sequence[float]: ...


@runtime_checkable
class Classifies(Protocol):
    """A backend that gives for each of n texts its labels with their probabilities in 0..1."""

    async def classify(self, texts: Sequence[str]) -> Sequence[Mapping[str, float]]: ...


@runtime_checkable
class Keeps(Protocol):
    """A backend that can keep what it has read over a restart; it also does so when it is stopped."""

    async def keep(self) -> int:
        """Keep it now; returns the bytes written, 0 where nothing is new or nothing may be kept."""
        ...


@runtime_checkable
class Draws(Protocol):
    """A backend that draws: the bytes of a PNG file."""

    async def draw(self, picture: Picture) -> bytes: ...
