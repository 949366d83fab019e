"""The one registry: everything that exists in many kinds is a folder with a manifest, built-ins included."""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import kith
from kith.core.errors import Broken, Invalid, Missing, NotFound
from kith.core.manifest import Manifest


@cache
def _installed() -> EntryPoints:
    """What is installed says of itself; read once, which takes as long as reading all manifests."""
    return cast("EntryPoints", entry_points())


class _File(BaseModel):
    """The keys of a ``manifest.toml``."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: str
    title: dict[str, str]
    entry: str = Field(pattern=r"^[\w.]+:\w+$")
    settings: str = Field(default="", pattern=r"^([\w.]+:\w+)?$")
    extra: str = ""
    requires: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    quality: Literal["bronze", "silver", "gold"] = "bronze"
    details: dict[str, Any] = {}


class Registry:
    """The folders of one room: those shipped with it, then those installed under the entry point ``kith.<room>``."""

    def __init__(self, room: str) -> None:
        self._room = room

    @cached_property
    def _found(self) -> dict[str, Manifest]:
        package = f"kith.{self._room}"
        places = [(path.parent.name, path) for path in _room(self._room).glob("*/manifest.toml")]
        found = [read_manifest(path, f"{package}.{name}") for name, path in sorted(places)]
        for point in _installed().select(group=package):
            spec = importlib.util.find_spec(point.value)
            if spec is None or spec.origin is None:
                raise Broken(f"the extension {point.name!r} names the package {point.value!r}, which is not there")
            found.append(read_manifest(Path(spec.origin).parent / "manifest.toml", point.value))
        manifests: dict[str, Manifest] = {}
        for manifest in found:
            if manifest.name in manifests:
                raise Invalid(f"two folders call themselves {manifest.name!r}: {manifest.path}")
            manifests[manifest.name] = manifest
        return manifests

    def manifests(self) -> Mapping[str, Manifest]:
        """Every manifest by name, without running any code of its folder."""
        return self._found

    def manifest(self, name: str) -> Manifest:
        """One manifest. Raises `NotFound` with the names there are."""
        if name not in self._found:
            raise NotFound(f"there is no {name!r} among {self._room}: {', '.join(sorted(self._found))}")
        return self._found[name]

    def load(self, name: str) -> Any:
        """Import the manifest's entry. Raises `NotFound`, or `Missing` with the line that installs what is absent."""
        manifest = self.manifest(name)
        absent = [module for module in manifest.requires if importlib.util.find_spec(module) is None]
        if absent:
            raise Missing(f"{name} needs {', '.join(absent)}, which is not installed", extra=manifest.extra or name)
        return self._attribute(name, manifest.entry)

    def settings(self, name: str) -> type[BaseModel] | None:
        """The class that validates this folder's settings, None if it has none; needs nothing that may be absent."""
        target = self.manifest(name).settings
        return self._attribute(name, target) if target else None

    def _attribute(self, name: str, target: str) -> Any:
        manifest = self.manifest(name)
        module, _, attribute = target.partition(":")
        found: ModuleType = importlib.import_module(f"{manifest.package}.{module}")
        try:
            return getattr(found, attribute)
        except AttributeError:
            raise Broken(f"{manifest.path} names {target}, which is not there") from None


def read_manifest(path: Path, package: str) -> Manifest:
    """Read one ``manifest.toml``. Raises `Invalid` with the file and the reason."""
    try:
        data = _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path} cannot be used: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"{path} cannot be used: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    fields = {name: getattr(data, name) for name in type(data).model_fields}
    return Manifest(package=package, path=path, **fields)


def _room(room: str) -> Path:
    return Path(kith.__path__[0]) / room


def authenticated() -> tuple[str, ...]:
    """The channels whose clients were known before they spoke: at this machine's terminal, or by their token."""
    return ("api", *(m.name for m in Registry("channels").manifests().values() if "local" in m.capabilities))
