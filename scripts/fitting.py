"""What the scripts that train the layers of the dialogue have in common."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from kith.dialogue.understanding.traits import RARITY

DRAWN = 8  # sentences from one template at most
_SLOT = re.compile(r"\{([^{}]*)\}")


def drawn(template: str, chance: random.Random) -> list[str]:
    """Different sentences of one template."""
    slots = _SLOT.findall(template)
    ways = int(np.prod([len(slot.split("|")) for slot in slots])) if slots else 1
    found = {
        " ".join(_SLOT.sub(lambda slot: chance.choice(slot[1].split("|")), template).split())
        for _ in range(min(ways * 3, DRAWN * 3))
    }
    return sorted(found)[:DRAWN] if len(found) <= DRAWN else chance.sample(sorted(found), DRAWN)


def rarities(seen: list[tuple[Any, ...]], count: int) -> Any:
    """How rare each of `count` columns is among the columns of the texts, in bytes; 0 where it was never seen."""
    often = np.zeros(count)
    for groups in seen:
        often[np.unique(np.concatenate(groups))] += 1
    rare = np.log((1 + len(seen)) / (1 + often)) + 1
    return np.where(often > 0, np.clip(np.round(rare * RARITY), 1, 255), 0).astype(np.uint8)


def matrix(parts: list[tuple[Any, Any]], count: int) -> Any:
    """One row of `count` columns for each text's columns and values."""
    ends = np.cumsum([0, *(len(places) for places, _ in parts)])
    data = np.concatenate([values for _, values in parts])
    return csr_matrix((data, np.concatenate([places for places, _ in parts]), ends), (len(parts), count))


def bytes_of(values: Any) -> tuple[Any, Any]:
    """Rows of numbers as rows of bytes, and what a step of each row is worth."""
    scale = np.maximum(np.abs(values).max(axis=1), 1e-9) / 127
    return np.round(values / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def pressed(model: Any) -> tuple[Any, Any, Any]:
    """A fitted logistic regression as rows of bytes, what a step of each row is worth, and the bias."""
    return *bytes_of(model.coef_), model.intercept_.astype(np.float32)
