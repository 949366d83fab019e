"""The settings of every room as one tree, `kith.yaml`, and what the command line puts on top of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr

from kith.channels import ChannelsSettings
from kith.dialogue import DialogueSettings
from kith.gateway import GatewaySettings
from kith.knowledge import KnowledgeSettings
from kith.models import ModelSettings, ModelsSettings, ServingSettings
from kith.plugins import PluginsSettings
from kith.runtime.settings import LogSettings, Section, home, load
from kith.security import SecuritySettings
from kith.storage import StorageSettings


class Settings(Section):
    """The whole of `kith.yaml`: one section a room."""

    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    models: ModelsSettings = Field(default_factory=list[ModelSettings])
    serving: ServingSettings = Field(default_factory=ServingSettings)
    dialogue: DialogueSettings = Field(default_factory=DialogueSettings)
    channels: ChannelsSettings = Field(default_factory=ChannelsSettings)
    knowledge: KnowledgeSettings = Field(default_factory=KnowledgeSettings)
    plugins: PluginsSettings = Field(default_factory=PluginsSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    log: LogSettings = Field(default_factory=LogSettings)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path:
        """Where they are kept, and changed."""
        return self._file or home() / "kith.yaml"

    def kept_in(self, file: Path | None) -> Settings:
        """The same, read from `file`; None for the usual one."""
        self._file = file.expanduser().absolute() if file else None
        return self


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Read `kith.yaml`, then put ``section__key=value`` overrides of the command line on top. Raises `Invalid`."""
    settings = load(Settings, config).kept_in(config)
    for place, value in overrides.items():
        if value is None:
            continue
        section, _, key = place.partition("__")
        part: Section = getattr(settings, section)
        changed = type(part).model_validate({**part.model_dump(exclude_unset=True), key: value})
        settings = settings.model_copy(update={section: changed})
    return settings
