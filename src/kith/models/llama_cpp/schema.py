"""JSON schemas are checked before the runtime sees them: it ignores one that it cannot compile, and says nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from kith.core.errors import Invalid

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_DEPTH = 32
_GRAMMAR = 65_536
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_SINGLE = ("items", "additionalProperties", "not")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `Invalid` (code ``invalid_schema``) with the place and the reason when `schema` cannot be enforced."""
    _check(schema, "schema", schema, 0)


def check_grammar(text: str) -> None:
    """Raise `Invalid` (code ``invalid_schema``) for a grammar (GBNF, or llguidance's Lark) that is too long to be one.

    Whether it can be parsed, the runtime says.
    """
    if len(text) > _GRAMMAR or "\x00" in text:
        raise Invalid(f"a grammar has at most {_GRAMMAR} characters", code="invalid_schema")


def _wrong(place: str, reason: str) -> NoReturn:
    raise Invalid(f"the JSON schema cannot be used: {place} {reason}", code="invalid_schema")


def _check(value: Any, place: str, root: Mapping[str, Any], depth: int) -> None:
    if isinstance(value, bool):
        return
    if not isinstance(value, Mapping):
        _wrong(place, "is not an object")
    if depth > _DEPTH:
        _wrong(place, "is nested too deeply")
    schema = cast("Mapping[str, Any]", value)
    kinds: Any = schema.get("type", [])
    for kind in cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            _wrong(place, f"has the unknown type {kind!r}")
    _leaf(schema, place, root)
    for key in _SINGLE:
        if key in schema:
            _check(schema[key], f"{place}.{key}", root, depth + 1)
    for key in (*_LISTS, *_MAPS):
        if key in schema:
            for name, item in _inner(schema[key], f"{place}.{key}", list if key in _LISTS else dict):
                _check(item, f"{place}.{key}.{name}", root, depth + 1)


def _inner(value: Any, place: str, shape: type) -> list[tuple[str, Any]]:
    if not isinstance(value, shape):
        _wrong(place, "has the wrong type")
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).items())
    return [(str(index), item) for index, item in enumerate(cast("list[Any]", value))]


def _leaf(schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> None:
    reference = schema.get("$ref")
    if reference is not None and not _found(str(reference), root):
        _wrong(place, f"refers to {reference!r}, which is not in it")
    if "pattern" in schema:
        try:
            re.compile(str(schema["pattern"]))
        except re.error as error:
            _wrong(f"{place}.pattern", f"is not a regular expression: {error}")


def _found(reference: str, root: Mapping[str, Any]) -> bool:
    if reference == "#":
        return True
    at: Any = root
    for step in reference.removeprefix("#/").split("/"):
        if not reference.startswith("#/") or not isinstance(at, Mapping) or step not in at:
            return False
        at = cast("Mapping[str, Any]", at)[step]
    return True
