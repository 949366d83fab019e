"""How near texts are in meaning, where a model that makes vectors is there; nothing where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kith.core.errors import KithError
from kith.core.ports import Models

_NEAR = 0.6  # the cosine from which two short texts are likely about the same
_PATIENCE = 0.5  # seconds that a reply may wait for it
_MOST = 64


async def alike(models: Models, query: str, texts: Sequence[str]) -> dict[int, float]:
    """The numbers of the texts that are near the query, with the cosine of their vectors."""
    if not texts or not any("embed" in (card.kind, *card.capabilities) for card in models.cards()):
        return {}
    try:
        async with asyncio.timeout(_PATIENCE):
            first, *others = await models.embed([query, *texts[-_MOST:]])
    except (KithError, TimeoutError, ValueError):
        return {}
    start = max(0, len(texts) - _MOST)
    near = {start + index: _cosine(first, other) for index, other in enumerate(others)}
    return {index: value for index, value in near.items() if value >= _NEAR}


def _cosine(one: Sequence[float], two: Sequence[float]) -> float:
    length = (sum(a * a for a in one) * sum(b * b for b in two)) ** 0.5
    return sum(a * b for a, b in zip(one, two, strict=True)) / length if length else 0.0
