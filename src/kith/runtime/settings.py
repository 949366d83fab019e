"""Settings: one file `kith.yaml`, whose sections are rooms; nothing in it is needed to start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from kith.core.errors import Fault, Invalid
from kith.runtime.documents import Document, Place, dotted, read_document, validate
from kith.runtime.faults import fault

T = TypeVar("T", bound=BaseModel)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Section(BaseModel):
    """The base of every section: an unknown key is a mistake, and a built section does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class LogSettings(Section):
    """The section ``log``."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="warning", description="The least level.")
    json_lines: bool = Field(default=False, description="One JSON object a line, as log collectors take it.")


def home() -> Path:
    """Where settings, data and models live: ``KITH_HOME``, by default ``~/.kith``."""
    return Path(os.environ.get("KITH_HOME") or "~/.kith").expanduser().absolute()


def load(cls: type[T], path: Path | None = None, environment: Mapping[str, str] | None = None) -> T:
    """Read `cls` from `path`, by default from ``KITH_HOME/kith.yaml`` if it is there.

    ``${NAME}`` in a value is replaced by the environment's variable, ``${NAME:-other}`` by `other` where it is unset.
    Raises `Invalid` with file, line, path and, for an unknown key, the nearest valid one.
    """
    chosen = path or home() / "kith.yaml"
    if path is None and not chosen.exists():
        return cls()
    document = read_document(chosen)
    if not isinstance(cast("object", document.data), dict | None):
        raise Invalid(f"{chosen} cannot be used", faults=(fault("mapping", "", 1),), file=str(chosen))
    variables = os.environ if environment is None else environment
    faults: list[Fault] = []
    data = _expand(document.data, (), variables, document, faults)
    if faults:
        raise Invalid(f"{chosen} cannot be used", faults=tuple(faults), file=str(chosen))
    return validate(cls, Document(data, document.file, document.lines))


def expanded(value: Any, name: str, environment: Mapping[str, str] | None = None) -> Any:
    """`value` with ``${NAME}`` replaced as in `load`. Raises `Invalid` that says whose settings these are."""
    faults: list[Fault] = []
    found = _expand(value, (), os.environ if environment is None else environment, Document(None, name, {}), faults)
    if faults:
        raise Invalid(f"{name} cannot be used", faults=tuple(faults))
    return found


def _expand(value: Any, place: Place, variables: Mapping[str, str], document: Document, faults: list[Fault]) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: _expand(item, (*place, key), variables, document, faults) for key, item in items}
    if isinstance(value, list):
        rows = cast("list[Any]", value)
        return [_expand(item, (*place, index), variables, document, faults) for index, item in enumerate(rows)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = variables.get(match[1], cast("str | None", match[2]))
        if found is None:
            faults.append(fault("variable", dotted(place), document.line(place), name=match[1]))
        return found or ""

    return _VARIABLE.sub(replace, value)
