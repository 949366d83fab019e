"""Drawing a flow's states: as text for a terminal, as Mermaid, as SVG."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from kith.dialogue.flows.flow import Flow
from kith.dialogue.flows.schema import TransitionPart, every, listed
from kith.dialogue.flows.state import sources

_WIDE, _HIGH, _ACROSS, _DOWN = 150, 44, 250, 120


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one state to another. `timed` ones are taken by silence."""

    start: str
    end: str
    label: str
    timed: bool = False


def edges(flow: Flow) -> list[Edge]:
    """Every transition and time-out, in the order of the file."""
    names = [state.name for state in flow.part.states]
    found = [
        Edge(name, transition.to, _label(transition))
        for transition in flow.part.transitions
        for name in sources(transition, names)
    ]
    timed = [state for state in flow.part.states if state.timeout]
    return found + [
        Edge(state.name, state.on_timeout or flow.rules.machine.initial, f"{state.timeout:g} s", timed=True)
        for state in timed
    ]


def draw(flow: Flow) -> str:
    """Each state with the ways out of it; of a flow without states, its intents."""
    if not flow.part.states:
        return _intents(flow)
    ways = edges(flow)
    lines: list[str] = []
    for state in flow.part.states:
        mark = "◉" if state.name == flow.rules.machine.initial else "○"
        lines.append(f"{mark} {state.name}")
        out = [way for way in ways if way.start == state.name]
        for way in out:
            branch = "└" if way is out[-1] else "├"
            line = "┄" if way.timed else "─"
            lines.append(f"  {branch}{line} {way.label} {line}▶ {'↻' if way.end == state.name else way.end}")
    return "\n".join(lines)


def mermaid(flow: Flow) -> str:
    """The graph as a Mermaid state diagram."""
    ids = {state.name: f"s{index}" for index, state in enumerate(flow.part.states)}
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{_clean(name)}" as {short}' for name, short in ids.items()]
    if ids:
        lines.append(f"    [*] --> {ids[flow.rules.machine.initial]}")
    lines += [f"    {ids[way.start]} --> {ids[way.end]} : {_clean(way.label)}" for way in edges(flow)]
    return "\n".join(lines)


def svg(flow: Flow) -> str:
    """The graph as a picture: states in columns by their distance from the initial one."""
    ways = edges(flow)
    places = _layout(flow, ways)
    width = max((x for x, _ in places.values()), default=0) + _WIDE + 40
    height = max((y for _, y in places.values()), default=0) + _HIGH + 60
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>'
    )
    parts = [head, *(_line(way, places, _beside(ways, index)) for index, way in enumerate(ways))]
    for name, (x, y) in places.items():
        weight = 3 if name == flow.rules.machine.initial else 1.5
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="12" fill="#f4f6fb" stroke="#345" '
            f'stroke-width="{weight}"/><text x="{x + _WIDE / 2:g}" y="{y + _HIGH / 2 + 5:g}" text-anchor="middle">'
            f"{html.escape(name)}</text>"
        )
    return "\n".join([*parts, "</svg>"])


def _layout(flow: Flow, ways: list[Edge]) -> dict[str, tuple[int, int]]:
    """Breadth first from the initial state; what cannot be reached stands in a last column."""
    start = flow.rules.machine.initial
    depth = {start: 0} if start else {}
    ahead = [*depth]
    for name in ahead:
        for way in ways:
            if way.start == name and way.end not in depth:
                depth[way.end] = depth[name] + 1
                ahead.append(way.end)
    last = max(depth.values(), default=0) + 1
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for state in flow.part.states:
        column = depth.get(state.name, last)
        places[state.name] = (30 + column * _ACROSS, 50 + rows.get(column, 0) * _DOWN)
        rows[column] = rows.get(column, 0) + 1
    return places


def _beside(ways: list[Edge], index: int) -> int:
    """How many earlier ways lie between the same two states."""
    ends = {ways[index].start, ways[index].end}
    return sum({way.start, way.end} == ends for way in ways[:index])


def _line(way: Edge, places: dict[str, tuple[int, int]], beside: int) -> str:
    """A bowed line with its label; the next one between the same states bows further."""
    x1, y1 = (n + half for n, half in zip(places[way.start], (_WIDE / 2, _HIGH / 2), strict=True))
    x2, y2 = (n + half for n, half in zip(places[way.end], (_WIDE / 2, _HIGH / 2), strict=True))
    dash = ' stroke-dasharray="4 4"' if way.timed else ""
    if way.start == way.end:
        top = y1 - _HIGH / 2
        path = f"M{x1 - 30:g} {top:g} C{x1 - 40:g} {top - 46:g} {x1 + 40:g} {top - 46:g} {x1 + 30:g} {top:g}"
        label = (x1, top - 38 + 14 * beside)
    else:
        length = math.hypot(x2 - x1, y2 - y1)
        bow = 26.0 * (beside + 1)
        middle = ((x1 + x2) / 2 - (y2 - y1) / length * bow, (y1 + y2) / 2 + (x2 - x1) / length * bow)
        (ax, ay), (bx, by) = _border(x1, y1, *middle), _border(x2, y2, *middle)
        path = f"M{ax:.0f} {ay:.0f} Q{middle[0]:.0f} {middle[1]:.0f} {bx:.0f} {by:.0f}"
        label = ((x1 + x2) / 4 + middle[0] / 2, (y1 + y2) / 4 + middle[1] / 2)
    return (
        f'<path d="{path}" fill="none" stroke="#667"{dash} marker-end="url(#tip)"/>'
        f'<text x="{label[0]:.0f}" y="{label[1]:.0f}" text-anchor="middle" font-size="11" fill="#334">'
        f"{html.escape(way.label)}</text>"
    )


def _border(x: float, y: float, towards_x: float, towards_y: float) -> tuple[float, float]:
    """Where the line from a box's middle towards a point leaves the box."""
    dx, dy = towards_x - x, towards_y - y
    scale = max(abs(dx) / (_WIDE / 2), abs(dy) / (_HIGH / 2), 1e-6)
    return x + dx / scale, y + dy / scale


def _intents(flow: Flow) -> str:
    lines: list[str] = []
    for intent in flow.part.intents:
        replies = every(intent.response) + every(intent.response_template) + every(intent.responses)
        shown = replies[0] if replies else "→ model" if intent.action is None else "→ action"
        first = " ".join(shown.split())
        lines += [f"○ {intent.name} ({len(intent.patterns)})", f"  └─ {first[:97] + '…' if len(first) > 98 else first}"]
    return "\n".join(lines)


def _label(transition: TransitionPart) -> str:
    guards = [
        (name if wanted else f"no {name}") if isinstance(wanted, bool) else f"{name}={'|'.join(listed(wanted))}"
        for name, wanted in transition.when.items()
    ]
    return " | ".join(listed(transition.on)) + (f" [{', '.join(guards)}]" if guards else "")


def _clean(text: str) -> str:
    """Without what Mermaid would take for its own."""
    return "".join(" " if c in '"\n\r#;:' else c for c in text)
