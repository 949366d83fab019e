"""Replies with ``{placeholders}``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

PLACEHOLDER = re.compile(r"\{([^\W\d][\w.-]*)\}")


def filled(templates: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Those of the templates whose every placeholder has a value, filled. What is filled in is not filled again."""
    return [loose(text, values) for text in templates if all(name in values for name in PLACEHOLDER.findall(text))]


def loose(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled, by nothing where there is no value."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template)


def deep(value: Any, values: Mapping[str, str]) -> Any:
    """JSON-shaped data with every string in it filled."""
    if isinstance(value, str):
        return loose(value, values)
    if isinstance(value, dict):
        return {key: deep(item, values) for key, item in cast("dict[str, Any]", value).items()}
    return [deep(item, values) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def strings(value: Any) -> list[str]:
    """Every string inside of JSON-shaped data."""
    if isinstance(value, dict):
        return strings(list(cast("dict[str, Any]", value).values()))
    if isinstance(value, list):
        return [text for item in cast("list[Any]", value) for text in strings(item)]
    return [value] if isinstance(value, str) else []
