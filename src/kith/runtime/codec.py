"""Domain types to bytes and back (JSON), checked on the way in."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from kith.core.errors import Invalid

T = TypeVar("T")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def encode(value: Any) -> bytes:
    """A domain object as JSON."""
    return _adapter(cast("Any", type(value))).dump_json(value)


def decode(cls: type[T], raw: bytes | str) -> T:
    """The object that `encode` wrote. Raises `Invalid` when `raw` is not one."""
    try:
        return _adapter(cls).validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Invalid(f"not a {cls.__name__}: {first['msg']} at {'.'.join(map(str, first['loc']))}") from None
