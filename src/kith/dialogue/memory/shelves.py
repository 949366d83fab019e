"""What the memory needs of the storage, and a household without models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from kith.core.errors import NotFound
from kith.core.message import Delta
from kith.core.model import ChatRequest, ModelCard
from kith.core.ports import Dossiers, Facts, Journal, People, Records, Store


class Shelves(Protocol):
    """The ports of one open database."""

    @property
    def store(self) -> Store: ...

    @property
    def records(self) -> Records: ...

    @property
    def facts(self) -> Facts: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def people(self) -> People: ...

    @property
    def dossiers(self) -> Dossiers: ...

    async def scrub(self) -> None:
        """Make sure that what was let go cannot be read from the files any more."""
        ...


class Modelless:
    """The port `Models` where there are none."""

    def cards(self) -> Sequence[ModelCard]:
        return ()

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Raises `NotFound`."""
        raise _absent(request.model)

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:  # noqa: ARG002
        """Raises `NotFound`."""
        raise _absent(model)

    async def count(self, text: str, model: str = "") -> int:  # noqa: ARG002
        """An estimate from above."""
        return len(text.encode()) // 2


def _absent(model: str) -> NotFound:
    return NotFound(f"there is no model {model!r}", code="model_not_found")
