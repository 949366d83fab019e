"""A Sankey picture of paths: columns of places, bands as wide as the number of conversations that went there."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ACROSS, _WIDE, _GAP, _HIGH = 190.0, 14.0, 14.0, 420.0
_COLOURS = ("#4e79a7", "#59a14f", "#f28e2b", "#76b7b2", "#b07aa1", "#edc948", "#9c755f", "#bab0ac")
_ENDS = {"done": "#2e7d32", "abandoned": "#c62828", "handed_over": "#ef6c00", "open": "#757575"}


@dataclass(slots=True)
class _Box:
    """A place: its corner, its height, and how much of it the bands have used on either side."""

    x: float
    y: float
    height: float
    colour: str
    entered: float = 0.0
    left: float = 0.0


def sankey(found: Mapping[str, Any]) -> str:
    """The picture as SVG, from what `paths.graph` gives."""
    links: Sequence[Mapping[str, Any]] = found["links"]
    names = {str(node["id"]): str(node["name"]) for node in found["nodes"]}
    boxes, scale, height = _boxes(names, links)
    width = max((box.x for box in boxes.values()), default=0.0) + _WIDE + 150
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="sans-serif" font-size="12">'
    )
    parts = [head]
    ordered = sorted(links, key=lambda link: (boxes[link["source"]].y, boxes[link["target"]].y))
    parts += [_band(boxes[link["source"]], boxes[link["target"]], link["value"] * scale) for link in ordered]
    for name, box in boxes.items():
        total = sum(link["value"] for link in links if name in (link["source"], link["target"]))
        into = sum(link["value"] for link in links if link["target"] == name)
        label = html.escape(f"{names[name][:40]} ({into or total})")
        parts.append(
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{_WIDE:.0f}" height="{max(box.height, 1):.1f}" '
            f'fill="{box.colour}"/><text x="{box.x + _WIDE + 4:.1f}" y="{box.y + box.height / 2 + 4:.1f}" '
            f'fill="#222">{label}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def page(found: Mapping[str, Any], title: str) -> str:
    """The picture with its tables as one HTML page that needs nothing else."""
    rows = [
        *((" → ".join(way["path"]), way["count"]) for way in found["top"]),
        *((f"✗ {drop['node']} ({drop['share']:.0%})", drop["count"]) for drop in found["drops"]),
        *((f"↻ {' → '.join(loop['path'])}", loop["count"]) for loop in found["loops"]),
    ]
    table = "\n".join(f"<tr><td>{html.escape(str(words))}</td><td>{count}</td></tr>" for words, count in rows)
    return (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        "<style>body{font-family:sans-serif;margin:2em}td{padding:.2em 1em .2em 0}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{sankey(found)}\n<table>\n{table}\n</table></body></html>\n"
    )


def _boxes(names: Mapping[str, str], links: Sequence[Mapping[str, Any]]) -> tuple[dict[str, _Box], float, float]:
    """Where each place stands, how many pixels one conversation is high, and the height of it all."""
    into, out = Counter[str](), Counter[str]()
    for link in links:
        into[link["target"]] += link["value"]
        out[link["source"]] += link["value"]
    last = max((int(name.partition("|")[0]) for name in names if not name.startswith("end|")), default=0) + 1
    columns: dict[int, list[str]] = {}
    for name in sorted(names, key=lambda name: -max(into[name], out[name])):
        head = name.partition("|")[0]
        columns.setdefault(last if head == "end" else int(head), []).append(name)
    fullest = max((sum(max(into[n], out[n]) for n in column) for column in columns.values()), default=1)
    scale = _HIGH / max(fullest, 1)
    boxes: dict[str, _Box] = {}
    lowest = 0.0
    for at, column in columns.items():
        y = 20.0
        for place, name in enumerate(column):
            height = max(into[name], out[name]) * scale
            colour = _ENDS.get(names[name], "#999") if at == last else _COLOURS[(at + place) % len(_COLOURS)]
            boxes[name] = _Box(20 + at * _ACROSS, y, height, colour)
            y += max(height, 1) + _GAP
        lowest = max(lowest, y)
    return boxes, scale, lowest + 10


def _band(start: _Box, end: _Box, width: float) -> str:
    x1, y1 = start.x + _WIDE, start.y + start.left + width / 2
    x2, y2 = end.x, end.y + end.entered + width / 2
    start.left += width
    end.entered += width
    middle = (x1 + x2) / 2
    return (
        f'<path d="M{x1:.1f} {y1:.1f} C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}" fill="none" '
        f'stroke="{start.colour}" stroke-opacity="0.35" stroke-width="{max(width, 0.7):.1f}"/>'
    )
