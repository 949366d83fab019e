"""Mistakes in settings, in the language of who made them: pydantic's dozen common kinds, and some of our own.

A `Fault` says its reason in English and, where the catalogues know it, which kind it is of and with what values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from kith.core.errors import Fault, Invalid
from kith.runtime.locale import language, tr

# Pydantic's names (https://docs.pydantic.dev/latest/errors/validation_errors/) and the catalogue's.
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "boolean"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "section"),
    "finite_number": "finite",
    "string_type": "text",
    "missing": "missing",
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
    "literal_error": "choice",
    "enum": "choice",
    "string_too_short": "text_short",
    "string_too_long": "text_long",
    "too_short": "list_short",
    "too_long": "list_long",
    "string_pattern_mismatch": "pattern",
}
# What is said of the whole, above the single mistakes.
_WORDS = ("settings.file.unusable", "settings.file.refused")


def fault_of(detail: Mapping[str, Any], path: str, line: int = 0) -> Fault:
    """A mistake as pydantic tells it. One of another kind keeps pydantic's English words in every language."""
    kind = _KINDS.get(str(detail["type"]), "")
    if not kind:
        return Fault(path, str(detail["msg"]).removeprefix("Value error, "), line)
    context = cast("Mapping[str, Any]", detail.get("ctx", {}))
    values = {name: str(value) for name, value in context.items() if name != "error"}
    if kind == "choice":
        values["expected"] = values["expected"].replace(" or ", ", ")
    return fault(kind, path, line, **values)


def fault(kind: str, path: str, line: int = 0, **values: str) -> Fault:
    """A mistake of a kind that the catalogues know under ``settings.fault``."""
    return Fault(path, tr(f"settings.fault.{kind}", "en", **values), line, kind, tuple(values.items()))


def told(one: Fault, locale: str = "") -> str:
    """The reason in a language, by default that of the environment; in English where nothing else is known."""
    if not one.kind or language(locale) == "en":
        return one.reason
    return tr(f"settings.fault.{one.kind}", locale, **dict(one.values))


def translated(error: Invalid, locale: str = "") -> Invalid:
    """The same error with every mistake in a language."""
    faults = tuple(replace(one, reason=told(one, locale), kind="") for one in error.faults)
    words = {tr(key, "en", file=error.file): tr(key, locale, file=error.file) for key in _WORDS}
    message = words.get(error.message, error.message)
    return Invalid(message, faults=faults, file=error.file, code=error.code, hint=error.hint)
