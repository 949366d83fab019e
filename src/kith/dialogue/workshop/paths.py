"""The ways that conversations take, as a graph: where they lead, where people give up, where they go in circles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from kith.dialogue.workshop.outcomes import Talk

_DEPTH = 8  # steps of a talk that the picture shows
_SHOWN = 10
_BUSY = 12  # nodes of one column that are named; the rest is "…"
_PLAIN = ("start", "")


def route(talk: Talk) -> list[str]:
    """The places that one talk came through, in order: states and questions of forms; between them, intents.

    A message that no intent fits and nothing moves is "?".
    """
    steps = [step for turn in talk.turns for step in turn.path]
    places: list[str] = []
    for step in steps:
        moved = step.end if step.end != step.start and step.end not in _PLAIN else step.intent or "?"
        if step.end == step.start and step.outcome in ("again", "corrected"):
            moved = step.end  # the same question once more
        if step.outcome == "done" and step.end in _PLAIN:
            moved = f"{step.intent}: done"
        places.append(moved)
    return places


def graph(found: Sequence[Talk]) -> dict[str, Any]:
    """Nodes and links for a Sankey picture, in columns; the top ways to completion; drop-off points; loops."""
    routes = [(route(talk), talk.outcome) for talk in found]
    routes = [(places, outcome) for places, outcome in routes if places]
    links: Counter[tuple[str, str]] = Counter()
    kept = _kept([places for places, _ in routes])
    for places, outcome in routes:
        shown = [name if name in kept[at] else "…" for at, name in enumerate(places[:_DEPTH])]
        ids = [f"{at}|{name}" for at, name in enumerate(shown)] + [f"end|{outcome}"]
        links.update(pairwise(ids))
    nodes = dict.fromkeys(name for link in links for name in link)
    done = Counter(tuple(places) for places, outcome in routes if outcome == "done")
    drops = Counter(places[-1] for places, outcome in routes if outcome == "abandoned")
    passed = Counter(name for places, _ in routes for name in set(places))
    loops = Counter(loop for places, _ in routes for loop in set(circles(places)))
    return {
        "conversations": len(routes),
        "nodes": [{"id": name, "name": name.partition("|")[2]} for name in nodes],
        "links": [{"source": a, "target": b, "value": count} for (a, b), count in links.most_common()],
        "top": [{"path": list(places), "count": count} for places, count in done.most_common(_SHOWN)],
        "drops": [
            {"node": name, "count": count, "share": count / passed[name]} for name, count in drops.most_common(_SHOWN)
        ],
        "loops": [{"path": list(loop), "count": count} for loop, count in loops.most_common(_SHOWN)],
    }


def circles(places: Sequence[str]) -> list[tuple[str, ...]]:
    """Ways that come back to where they began, shortest first and without a circle inside; at most six steps long."""
    found: list[tuple[str, ...]] = []
    for start, name in enumerate(places):
        for end in range(start + 1, min(start + 7, len(places))):
            if places[end] == name:
                found.append(tuple(places[start : end + 1]))
                break
    return [loop for loop in found if len(set(loop)) == len(loop) - 1]


def _kept(routes: Sequence[Sequence[str]]) -> list[frozenset[str]]:
    """The commonest places of each column."""
    columns = [Counter(places[at] for places in routes if len(places) > at) for at in range(_DEPTH)]
    return [frozenset(name for name, _ in column.most_common(_BUSY)) for column in columns]
