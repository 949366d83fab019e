"""The section `channels` of kith.yaml: one key for each channel, and `delivery` for how replies are sent.

A channel's own keys are validated by its folder's settings class, so this file knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import ConfigDict, Field

from kith.channels.needs import Wanting, lacking
from kith.channels.vault import refers
from kith.core.errors import Fault, Invalid
from kith.runtime.documents import Document, Place, dotted, validate
from kith.runtime.registry import Registry
from kith.runtime.settings import Section


class DeliverySettings(Section):
    """How replies leave the house."""

    concurrency: int = Field(default=16, ge=1, le=256, description="Replies that one channel sends at the same time.")
    waiting: int = Field(
        default=256, ge=1, description="Replies held for one channel before others are left in the outbox."
    )
    timeout: float = Field(default=20.0, gt=0, le=300, description="Seconds after which a hanging send is given up.")
    attempts: int = Field(default=50, ge=1, description="Tries before a reply goes to the dead letters.")
    backoff: float = Field(default=1.0, gt=0, description="Seconds before the second try; doubled each time.")
    backoff_limit: float = Field(default=300.0, gt=0, description="The longest wait between two tries, in seconds.")
    poll: float = Field(default=1.0, gt=0, description="Seconds between looks into the outbox when nobody nudges.")
    grace: float = Field(default=5.0, ge=0, description="Seconds given to running sends when Kith stops.")


class ChannelsSettings(Section):
    """Every key that is not one of these fields is the name of a channel, with its settings."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any] | None] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]  # pydantic's way to type extra keys

    delivery: DeliverySettings = DeliverySettings()

    @property
    def configured(self) -> Mapping[str, Mapping[str, Any]]:
        """What was written for each channel."""
        return {name: value or {} for name, value in (self.__pydantic_extra__ or {}).items()}


def check_channels(
    settings: ChannelsSettings, registry: Registry, source: Document | None = None, *, whole: bool = False
) -> None:
    """Validate every configured channel with its own class. Raises `Invalid` with all mistakes.

    `source` is the file that `settings` came from, so that mistakes can be given their lines. With `whole`, what a
    channel that is on cannot do without is a mistake too, if it is not there; without, it only keeps that channel from
    connecting.
    """
    document = source or Document(None, "kith.yaml", {})
    faults: list[Fault] = []
    for name, data in settings.configured.items():
        place: Place = ("channels", name)
        if name not in registry.manifests():
            known = ", ".join(sorted(registry.manifests()))
            faults.append(Fault(dotted(place), f"is not a channel; there are {known}", document.line(place)))
            continue
        cls = registry.settings(name)
        if cls is None:
            continue
        lines = {key[2:]: line for key, line in document.lines.items() if key[:2] == place}
        try:
            found = validate(cls, Document(dict(data), document.file, cast("Mapping[Place, int]", lines)))
        except Invalid as error:
            prefix = dotted(place)
            faults += [
                replace(f, path=f"{prefix}.{f.path}" if f.path else prefix)
                for f in error.faults
                if not refers(data.get(f.path))  # what it stands for is checked when it is known
            ]
        else:
            lacks = lacking(registry.manifest(name), cast("Wanting", found)) if whole else ()
            faults += [replace(f, line=document.line((*place, f.path.rpartition(".")[2]))) for f in lacks]
    if faults:
        raise Invalid(f"{document.file} cannot be used", faults=tuple(faults), file=document.file)
