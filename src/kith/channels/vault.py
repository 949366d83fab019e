"""The secrets of channels: kept encrypted in the household's own records, and only named in the settings file.

In kith.yaml stands ``${secret:channels.telegram.token}`` where a token would stand. Whoever sees the file, a copy of
it, or its history learns nothing; the value lies in the database, which is encrypted under the household's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from kith.core.errors import Fault, Invalid
from kith.core.ports import Records

_KIND = "secret"
_REFERENCE = re.compile(r"\$\{secret:([\w.-]{1,200})\}")
_CALLED = frozenset(("token", "secret", "password", "passphrase", "key", "credential"))


class Vault:
    """`load` reads what is kept; `revealed` puts it in place of its name."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[str, str] = {}

    async def load(self) -> None:
        """Learn every secret that is kept. Raises `Unavailable`."""
        found = await self._records.all(_KIND)
        self._known = {name: str(value.get("value", "")) for name, value in found.items()}

    async def conceal(self, place: str, settings: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the secrets among the settings at `place`; what may be written to the file. Raises `Unavailable`.

        What is already a reference to a secret or to the environment stays as it is.
        """
        written = dict(settings)
        for name in secret_names(schema):
            value = settings.get(name)
            if isinstance(value, str) and value and "${" not in value:
                await self._records.put(_KIND, f"{place}.{name}", {"value": value})
                self._known[f"{place}.{name}"] = value
                written[name] = f"${{secret:{place}.{name}}}"
        return written

    async def forget(self, place: str) -> None:
        """Throw away the secrets of what is not set up any more. Raises `Unavailable`."""
        for name in [name for name in await self._records.all(_KIND) if name.startswith(f"{place}.")]:
            await self._records.delete(_KIND, name)
            self._known.pop(name, None)

    def revealed(self, place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with their secrets. Raises `Invalid` that names what is not kept here."""
        faults: list[Fault] = []

        def put(match: re.Match[str]) -> str:
            if (value := self._known.get(match[1])) is None:
                faults.append(Fault(match[1], "is a secret that is not kept here: give it again"))
            return value or ""

        def walk(value: Any) -> Any:
            if isinstance(value, str):
                return _REFERENCE.sub(put, value)
            if isinstance(value, Mapping):
                return {key: walk(item) for key, item in cast("Mapping[str, Any]", value).items()}
            return [walk(item) for item in cast("list[Any]", value)] if isinstance(value, list | tuple) else value

        found = cast("dict[str, Any]", walk(settings))
        if faults:
            raise Invalid(f"{place} cannot be used", faults=tuple(faults), hint=f"kith channels add {place[9:]}")
        return found


def completed(old: Mapping[str, Any], new: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """New settings of a channel, in which a secret that is left out stays the one it was."""
    return {name: old[name] for name in secret_names(schema) if name in old} | dict(new)


def secret_names(schema: Mapping[str, Any]) -> list[str]:
    """The keys of a channel's settings that are secrets: declared so, or called so."""
    found: list[str] = []
    for name, about in cast("Mapping[str, Mapping[str, Any]]", schema.get("properties", {})).items():
        declared = about.get("format") == "password" or about.get("writeOnly") is True
        if declared or (about.get("type") == "string" and _CALLED & set(name.lower().split("_"))):
            found.append(name)
    return found


def refers(value: object) -> bool:
    """Whether a setting only names a secret."""
    return isinstance(value, str) and _REFERENCE.search(value) is not None
