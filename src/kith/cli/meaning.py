"""What a setting means, what it may be, what it is now and where that comes from: as `kith config explain` tells it."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Invalid, NotFound
from kith.runtime.documents import Document
from kith.runtime.edits import MASK, masked
from kith.runtime.locale import language, tr
from kith.runtime.meanings import explained
from kith.runtime.registry import Registry
from kith.settings import Settings, load_settings

Schema = Mapping[str, Any]
_LIMITS = (
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)")
_DEEP, _LONGEST, _NEAREST = 6, 200, 5
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the tree of settings: its schema, and the one whose ``$defs`` it refers to."""

    schema: Schema
    root: Schema

    def solid(self) -> Node:
        """The same with its references followed, through what may be left empty too."""
        found = dict(self.schema)
        for _ in range(_DEEP):
            options = [dict(cast("Schema", one)) for one in found.get("anyOf", ()) if one.get("type") != "null"]
            if "$ref" in found:
                name = str(found.pop("$ref")).rpartition("/")[2]
                found = {**cast("Schema", self.root.get("$defs", {}).get(name, {})), **found}
            elif len(options) == 1 and "$ref" in options[0]:
                del found["anyOf"]
                found = {**options[0], **found}
            else:
                break
        return Node(found, self.root)

    def keys(self) -> Mapping[str, Node]:
        """The keys of a section, or of one entry of a list of sections."""
        solid = self.solid().schema
        if "items" in solid:
            return Node(solid["items"], self.root).keys()
        return {name: Node(part, self.root) for name, part in solid.get("properties", {}).items()}


@dataclass(frozen=True, slots=True)
class Held:
    """What is written, what holds, and what would hold without a file."""

    written: Document | None
    now: Any
    default: Any


def held(path: Path | None, written: Document | None) -> Held:
    """A file that cannot be used is told as it stands: what its keys mean is asked then most of all."""
    default = Settings().model_dump(mode="json")
    try:
        now: Any = load_settings(path).model_dump(mode="json")
    except Invalid:
        now = written.data if written else None
    return Held(written, masked(now, written.data if written else None), default)


def find(key: str) -> Node:
    """The setting or section called `key`, in the language of the environment. Raises `NotFound` with the nearest."""
    root = explained(Settings.model_json_schema(), language())
    node, place = Node(root, root), ()
    for name in key.split(".") if key else ():
        node, place = _inner(node, place, name) or _unknown(key, root), (*place, name)
    return node


def _inner(node: Node, place: tuple[str, ...], name: str) -> Node | None:
    keys, solid = node.keys(), node.solid().schema
    if name in keys:
        return keys[name]
    if "items" in solid and name.isascii() and name.isdecimal():
        return Node(solid["items"], node.root)
    registry = Registry("channels")
    if place == ("channels",) and name in registry.manifests():
        cls = registry.settings(name)
        schema = explained(cls.model_json_schema() if cls else {}, language(), name)
        return Node(schema, schema)
    return None


def _unknown(key: str, root: Schema) -> Node:
    known = [*_all(Node(root, root), ""), *(f"channels.{name}" for name in sorted(Registry("channels").manifests()))]
    if (channel := re.match(r"channels\.(\w+)\.", key)) and f"channels.{channel[1]}" in known:
        known += _all(find(f"channels.{channel[1]}"), f"channels.{channel[1]}.")
    short, last = key[:_LONGEST], key.rpartition(".")[2][:_LONGEST]
    same = [one for one in known if one.rpartition(".")[2] == last]
    close = difflib.get_close_matches(short, known, _NEAREST, 0.6)
    tails = difflib.get_close_matches(last, {one.rpartition(".")[2] for one in known}, 2, 0.7)
    ends = [one for one in known if one.rpartition(".")[2] in tails]
    near = [*dict.fromkeys((*same, *close, *ends))][:_NEAREST]
    text = tr("cli.explain.near" if near else "cli.explain.unknown", setting=short, near=", ".join(near))
    raise NotFound(text, hint="kith config explain")


def _all(node: Node, prefix: str, depth: int = 0) -> Iterator[str]:
    """Every key below a section, sections themselves included."""
    for name, inner in node.keys().items():
        yield prefix + name
        if depth < _DEEP:
            yield from _all(inner, f"{prefix}{name}.", depth + 1)


def described(key: str, node: Node, have: Held) -> dict[str, Any]:
    """Everything of one setting, or the keys of a section with their meanings."""
    schema = node.solid().schema
    keys = node.keys()
    if keys:
        rows = [{"key": f"{key}.{name}" if key else name, **_brief(inner)} for name, inner in keys.items()]
        if key == "channels":
            names = sorted(Registry("channels").manifests())
            rows += [{"key": f"channels.{name}", "section": True, "meaning": ""} for name in names]
        return {"key": key, "section": True, "keys": rows}
    told: dict[str, Any] = {"key": key, "section": False, "meaning": str(schema.get("description", ""))}
    told |= {"type": kind(node), "limits": {name: schema[name] for name in _LIMITS if name in schema}}
    told["choices"] = list(schema.get("enum", ()))
    return told | _value(key, node, have)


def _brief(node: Node) -> dict[str, Any]:
    keys = list(node.keys())
    meaning = str(node.schema.get("description", "")) or ", ".join(keys)
    return {"section": bool(keys), "meaning": meaning}


def _value(key: str, node: Node, have: Held) -> dict[str, Any]:
    place = key.split(".")
    written = _at(have.written.data if have.written else None, place)
    default = _at(have.default, place)
    default = node.solid().schema.get("default") if default is _NOTHING else default
    value = _at(have.now, place)
    there = written is not _NOTHING
    if place[0] == "models" and not place[1].isdecimal():  # one of several: none of them is meant
        return {"default": default, "value": None, "source": ""}
    told = {"default": default, "value": default if value is _NOTHING else value}
    if _secret(node) and told["value"]:
        told["value"] = MASK
    if not there:
        return told | {"source": "default"}
    named = dict.fromkeys(_VARIABLE.findall(json.dumps(written, default=str)))
    names = [name for name in named if name in os.environ]
    document = cast("Document", have.written)
    line = document.line(tuple(int(part) if part.isdecimal() else part for part in place))
    told |= {"source": "environment" if names else "file", "file": document.file, "line": line}
    return told | ({"variables": names} if names else {})


def _at(data: Any, place: Sequence[str]) -> Any:
    for part in place:
        if isinstance(data, Mapping) and part in data:
            data = cast("Mapping[str, Any]", data)[part]
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(cast("list[Any]", data)):
            data = cast("list[Any]", data)[int(part)]
        else:
            return _NOTHING
    return data


def _secret(node: Node) -> bool:
    ways = (node.solid().schema, *node.schema.get("anyOf", ()))
    return any(one.get("writeOnly") or one.get("format") == "password" for one in ways)


def kind(node: Node) -> str:
    """The type with its range, in the language of the environment."""
    if _secret(node):
        return tr("settings.kind.secret")
    schema = node.solid().schema
    if options := schema.get("anyOf"):
        return tr("settings.kind.or").join(dict.fromkeys(kind(Node(one, node.root)) for one in options))
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " | ".join(str(one) for one in choices)
    name = "section" if "properties" in schema else str(schema.get("type", "any"))
    word = tr(f"settings.kind.{name}")
    if name == "array" and schema.get("items"):
        word = tr("settings.bound.items", kind=word, item=kind(Node(schema["items"], node.root)))
    return tr("settings.bound.apart").join((word, *_bounds(schema)))


def _bounds(schema: Schema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield tr("settings.bound.between", low=low, high=high)
    elif low is not None:
        yield tr("settings.bound.least", low=low)
    for name, limit, word in (
        ("exclusiveMinimum", "low", "above"),
        ("exclusiveMaximum", "high", "below"),
        ("minLength", "low", "short"),
        ("maxLength", "high", "long"),
    ):
        if name in schema:
            yield tr(f"settings.bound.{word}", **{limit: schema[name]})
    if high is not None and low is None:
        yield tr("settings.bound.most", high=high)
    if "pattern" in schema:
        yield tr("settings.bound.pattern", pattern=schema["pattern"])
