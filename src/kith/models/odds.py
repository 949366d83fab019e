"""How likely tokens were, as runtimes and endpoints tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from kith.core.message import Logprob
from kith.core.model import Sampling


def likely(told: Any, sampling: Sampling) -> tuple[Logprob, ...]:
    """OpenAI's ``logprobs.content``, where it was asked for; what is not that is left out."""
    if sampling.logprobs is None or not isinstance(told, list):
        return ()
    rows = cast("list[dict[str, Any]]", told)
    most = sampling.logprobs
    try:
        return tuple(
            Logprob(str(one["token"]), float(one["logprob"]), _others(one.get("top_logprobs") or (), most))
            for one in rows
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return ()


def _others(told: Sequence[Mapping[str, Any]], most: int) -> tuple[tuple[str, float], ...]:
    return tuple((str(one["token"]), float(one["logprob"])) for one in told[:most])
