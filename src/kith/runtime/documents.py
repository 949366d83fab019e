"""Reading what people write: YAML and JSON files, with the line of every key, refused clearly when wrong.

A document comes from outside, so nothing about it is believed: its size, encoding, depth, aliases and duplicate keys
are checked before any value is built.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from kith.core.errors import Fault, Invalid
from kith.runtime.faults import fault, fault_of

LIMIT = 4 * 1024 * 1024
_DEPTH = 64
_NODES = 500_000
_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

Place = tuple[str | int, ...]
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `lines` maps the path of a value to its line, counted from 1."""

    data: Any
    file: str
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest value around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)


def read_document(path: Path, limit: int = LIMIT, *, shipped: bool = False) -> Document:
    """Read a YAML or JSON file of at most `limit` bytes. Raises `Invalid` with file, line and reason.

    A `shipped` one is believed to be well formed, and read by libyaml, which is ten times as fast and less patient with
    hostile nesting.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except OSError as error:
        raise _invalid(str(path), "", f"cannot be read: {error.strerror or error}") from None
    if len(raw) > limit:
        raise _invalid(str(path), "", f"is larger than {limit // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _invalid(str(path), "", f"is not UTF-8 (byte {error.start})", line) from None
    return parse_document(text, str(path), "json" if path.suffix.lower() == ".json" else "yaml", shipped=shipped)


def parse_document(text: str, file: str = "<text>", kind: str = "yaml", *, shipped: bool = False) -> Document:
    """Parse `text` as ``json`` or ``yaml``. Raises `Invalid`. `shipped` as for `read_document`."""
    if kind == "json":
        _check_json(text, file)
    loader: yaml.SafeLoader | None = None
    kinds = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader) if shipped else yaml.SafeLoader)
    try:
        loader = kinds(text.replace("\t", "  ") if kind == "json" else text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, file, {})
        lines: dict[Place, int] = {}
        data = _build(loader, node, (), lines, [_NODES], file)
        return Document(json.loads(text) if kind == "json" else data, file, lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid(file, "", error.problem or "is not YAML", mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        raise _invalid(file, "", f"is not YAML: {error}") from None
    except RecursionError:
        raise _invalid(file, "", "is nested too deeply") from None
    finally:
        if loader is not None:
            cast("Any", loader).dispose()  # untyped in PyYAML's stubs


def validate(cls: type[T], document: Document) -> T:
    """Build `cls` from a document. Raises `Invalid` naming every mistake, its line and the nearest valid key."""
    try:
        return cls.model_validate({} if document.data is None else document.data)
    except ValidationError as error:
        faults = tuple(_fault(cls, document, detail) for detail in cast("list[dict[str, Any]]", error.errors()))
        raise Invalid(f"{document.file} cannot be used", faults=faults, file=document.file) from None


def dotted(place: Place) -> str:
    """``("intents", 0, "name")`` as people read it: ``intents[0].name``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _check_json(text: str, file: str) -> None:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            raise _invalid(file, twice, "stands twice", text.find(f'"{twice}"') + 1 and _line_of(text, twice))
        return found

    def constant(name: str) -> Any:
        raise _invalid(file, "", f"{name} is not a JSON value", _line_of(text, name))

    try:
        json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _invalid(file, "", f"is not JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise _invalid(file, "", "is nested too deeply") from None


def _line_of(text: str, word: str) -> int:
    """The line of the last `word`: of two equal keys, the second is the mistake."""
    return text.count("\n", 0, max(text.rfind(word), 0)) + 1


def _build(
    loader: yaml.SafeLoader, node: yaml.Node, place: Place, lines: dict[Place, int], budget: list[int], file: str
) -> Any:
    """Build a value and note its line. Aliases are built again each time, so the budget bounds their explosion."""
    line = node.start_mark.line + 1
    lines[place] = line
    budget[0] -= 1
    if budget[0] < 0:
        raise _invalid(file, dotted(place), "has too many values", line)
    if len(place) > _DEPTH:
        raise _invalid(file, dotted(place[:4]) + "…", "is nested too deeply", line)
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _TAGS:
        raise _invalid(file, dotted(place), f"has the tag {node.tag}, which is not allowed", line)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if not isinstance(key_node, yaml.ScalarNode):
                raise _invalid(file, dotted(place), "has a key that is not text", key_node.start_mark.line + 1)
            key = str(key_node.value)
            if key in found:
                raise _invalid(file, dotted((*place, key)), "stands twice", key_node.start_mark.line + 1)
            found[key] = _build(loader, value_node, (*place, key), lines, budget, file)
            lines[(*place, key)] = key_node.start_mark.line + 1
        return found
    if isinstance(node, yaml.SequenceNode):
        items = cast("list[yaml.Node]", node.value)
        return [_build(loader, item, (*place, index), lines, budget, file) for index, item in enumerate(items)]
    try:
        return cast("Any", loader).construct_object(node, deep=True)  # untyped in PyYAML's stubs
    except ValueError as error:
        raise _invalid(file, dotted(place), f"has a wrong value: {error}", line) from None


def _fault(cls: type[BaseModel], document: Document, detail: dict[str, Any]) -> Fault:
    place = cast("Place", detail["loc"])
    known = place
    while known and known not in document.lines:
        known = known[:-1]
    shown = place if detail["type"] == "missing" else known or place
    if detail["type"] != "extra_forbidden":
        return fault_of(detail, dotted(shown), document.line(place))
    near = difflib.get_close_matches(str(place[-1]), _keys(cls, place[:-1]), n=1, cutoff=0.5)
    if near:
        return fault("near", dotted(shown), document.line(place), near=near[0])
    return fault("unknown", dotted(shown), document.line(place))


def _keys(cls: type[BaseModel], place: Place) -> Sequence[str]:
    """The keys that `cls` allows at `place`, following fields through lists, mappings and unions."""
    options: list[Any] = [cls]
    for part in place:
        following: list[Any] = []
        for option in options:
            if isinstance(option, type) and issubclass(option, BaseModel):
                field = option.model_fields.get(str(part))
                following += _unfold(field.annotation) if field else []
            else:
                following += [inner for arg in typing.get_args(option) for inner in _unfold(arg)]
        options = following
    models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _unfold(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [inner for arg in typing.get_args(annotation) for inner in _unfold(arg)]
    return [annotation]


def _invalid(file: str, path: str, reason: str, line: int = 0) -> Invalid:
    return Invalid(f"{file} cannot be used", faults=(Fault(path, reason, line),), file=file)
