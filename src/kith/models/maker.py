"""From settings to something that runs: which folder serves a model, with which options, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, Missing
from kith.core.manifest import Manifest
from kith.core.message import Message
from kith.core.model import ModelCard
from kith.models.backend import Backend, Fetch, Means
from kith.models.breaker import Breaker
from kith.models.means import nowhere
from kith.models.memory import LeakWatch
from kith.models.pool import Pool, Replica
from kith.models.power import profile
from kith.models.prefixes import Prefixes
from kith.models.replicas import Scaler
from kith.models.settings import ModelSettings, ServingSettings
from kith.models.shelf import bind, stamp
from kith.models.tune import Tuned
from kith.runtime.faults import fault_of
from kith.runtime.registry import Registry
from kith.runtime.supervisor import Supervisor

KINDS = {
    "llama": "chat",
    "vision": "chat",
    "embedding": "embed",
    "rerank": "rerank",
    "classifier": "classify",
    "diffusion": "image",
}


@dataclass(slots=True, eq=False)
class Entry:
    """One configured model: its copies, or why there are none.

    `rollbacks` counts versions that were given up; `opening` is how conversations with it began of late.
    """

    settings: ModelSettings
    card: ModelCard
    breaker: Breaker
    scaler: Scaler
    pool: Pool | None = None
    error: KithError | None = None
    watches: dict[Replica, LeakWatch] = field(default_factory=dict[Replica, LeakWatch])
    tending: bool = False
    opening: tuple[Message, ...] = ()
    rollbacks: int = 0

    @property
    def backend(self) -> Backend | None:
        """The copy that is asked first."""
        return self.pool.backend if self.pool else None


class Maker:
    """Opens models. `changed` is told (model, state, reason).

    `prefixes` is where what models have read is kept, if anywhere.
    """

    def __init__(
        self,
        clock: Clock,
        supervisor: Supervisor,
        client: httpx.AsyncClient,
        folder: Path,
        serving: ServingSettings,
        changed: Callable[[str, str, str], None],
        fetch: Fetch = nowhere,
    ) -> None:
        self._fetch = fetch
        self.prefixes: Prefixes | None = None
        self._clock, self._supervisor, self._client, self._folder = clock, supervisor, client, folder
        self._serving, self._changed = serving, changed
        self._registry = Registry("models")
        self._tuned = Tuned(folder)

    def entry(self, settings: ModelSettings) -> Entry:
        """A model, not yet loaded; what is wrong with it is kept in `error`."""
        serving = self._serving
        most = settings.replicas_max if profile(serving.power).replicas else settings.replicas_min
        entry = Entry(
            settings,
            ModelCard(settings.name, KINDS.get(settings.type, settings.type), settings.backend, path=settings.path),
            Breaker(self._clock, serving.trips, serving.rest),
            Scaler(settings.replicas_min, most, serving.cpu),
        )
        try:
            entry.settings, version = bind(settings, self._folder)
            entry.card = replace(entry.card, backend=choose(self._registry, settings).name)
            backend = self.backend(entry.settings)
        except KithError as error:
            entry.error = error
            return entry
        entry.card = replace(stamp(backend.card, version), reply=settings.max_tokens or 0, cost=settings.cost)
        limit = int(settings.options.get("queue", self._serving.waiting))
        entry.pool = Pool(settings.name, backend, self._clock, slots=settings.parallel, limit=limit)
        return entry

    def backend(self, settings: ModelSettings, *, silent: bool = False, plain: bool = False) -> Backend:
        """One more copy of a model; a `silent` one tells nobody of its state, a `plain` one is run as its settings say.

        Raises what is wrong with it.
        """
        manifest = choose(self._registry, settings)
        build: Any = self._registry.load(manifest.name)
        options_class = self._registry.settings(manifest.name)
        if not plain:
            settings = self._adapted(settings, options_class)
        return build(settings, _options(options_class, settings), self._means(settings.name, silent=silent))

    def knobs(self, settings: ModelSettings) -> Mapping[str, list[Any]]:
        """The options of this model's backend that are worth measuring, with the values to try."""
        return choose(self._registry, settings).details.get("tune", {})

    def _adapted(self, settings: ModelSettings, options: type[BaseModel] | None) -> ModelSettings:
        """With what was measured and what the power profile says, where the settings themselves say nothing."""
        if settings.url:
            return settings
        found = self._tuned.find(settings, self._folder)
        known = options.model_fields if options is not None else {}
        chosen = {key: value for key, value in found.options.items() if key in known}
        threads = settings.threads or found.threads or profile(self._serving.power).threads
        if "wait" in known and KINDS.get(settings.type) != "chat":
            chosen = {"wait": profile(self._serving.power).wait, **chosen}
        return settings.model_copy(update={"threads": threads, "options": {**chosen, **settings.options}})

    def _means(self, name: str, *, silent: bool) -> Means:
        def changed(state: str, reason: str) -> None:
            if not silent:
                self._changed(name, state, reason)

        return Means(self._clock, self._supervisor, self._client, self._folder, changed, self._fetch, self.prefixes)


def choose(registry: Registry, settings: ModelSettings) -> Manifest:
    """The folder that runs a model: the one named, else by type and place. Raises `NotFound` or `Missing`."""
    if settings.backend:
        return registry.manifest(settings.backend)
    place = "url" if settings.url else "path"
    suffix = Path(settings.path).suffix.lower()
    for manifest in registry.manifests().values():
        details = manifest.details
        fits = place == "url" or suffix in details.get("suffixes", ())
        if fits and settings.type in details.get("types", ()) and details.get("place") == place:
            return manifest
    raise Missing(f"no backend is installed that runs the {settings.type} model {settings.name!r}", extra=settings.type)


def _options(cls: type[BaseModel] | None, settings: ModelSettings) -> BaseModel | None:
    if cls is None:
        return None
    try:
        return cls.model_validate(settings.options)
    except ValidationError as error:
        base = f"models.{settings.name}.options"
        faults = [fault_of(one, ".".join([base, *map(str, one["loc"])])) for one in error.errors()]
        raise Invalid(f"the options of the model {settings.name!r} are wrong", faults=tuple(faults)) from None
