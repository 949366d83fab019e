"""Finding the fastest way to run a model here, by measuring: threads first, then one option after another."""

from __future__ import annotations

import json
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from kith.core.errors import Invalid, KithError
from kith.models.power import physical
from kith.models.settings import ModelSettings
from kith.runtime.documents import read_document, validate
from kith.runtime.settings import Section
from kith.runtime.telemetry import get_logger

FILE = "tuned.json"
_WORTH = 1.03  # a change has to bring 3 %, else the default stays: figures of one machine scatter by as much

log = get_logger(__name__)


class Tuning(Section):
    """The best settings of one model on one machine, with tokens a second before and after."""

    threads: int = Field(default=0, ge=0, le=1024)
    options: dict[str, Any] = Field(default={})
    machine: str = ""
    size: int = 0
    before: float = 0.0
    after: float = 0.0


class _File(Section):
    models: dict[str, Tuning] = Field(default={})


class Tuned:
    """What was found out, in ``tuned.json`` of the folder of models."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def all(self) -> dict[str, Tuning]:
        """Everything; a file that cannot be read counts as empty."""
        if not self._path.exists():
            return {}
        try:
            return dict(validate(_File, read_document(self._path)).models)
        except Invalid as error:
            log.warning("tuned", error=str(error))
            return {}

    def find(self, settings: ModelSettings, folder: Path) -> Tuning:
        """What was found out about this model: nothing for another file, or on another machine."""
        found = self.all().get(settings.name)
        same = found is not None and found.machine == machine() and found.size == size(settings, folder)
        return found if found is not None and same else Tuning()

    def put(self, name: str, tuning: Tuning) -> None:
        """Keep it, at once or not at all."""
        rows = {key: value.model_dump(mode="json") for key, value in {**self.all(), name: tuning}.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        spare = self._path.with_name(f".{FILE}.new")
        spare.write_text(json.dumps({"models": rows}, ensure_ascii=False, indent=2) + "\n", "utf-8")
        spare.replace(self._path)


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to run the model, and what came of it: tokens a second for reading and writing, 0 when it failed."""

    threads: int
    options: Mapping[str, Any]
    read: float = 0.0
    write: float = 0.0
    flaw: str = ""

    @property
    def score(self) -> float:
        """Tokens a second over a prompt of 512 and a reply of 128: what a home machine's turns look like."""
        return 640 / (512 / self.read + 128 / self.write) if self.read and self.write else 0.0


Measure = Callable[[int, Mapping[str, Any]], Awaitable[tuple[float, float]]]


@dataclass(slots=True)
class Tuner:
    """A search that changes one thing at a time and keeps what brings at least 3 %.

    `measure(threads, options)` gives tokens a second of (reading, writing); a way that fails is left out.
    """

    measure: Measure
    knobs: Mapping[str, Sequence[Any]]
    threads: Sequence[int]
    told: Callable[[Trial], None] = lambda _: None
    trials: list[Trial] = field(default_factory=list[Trial])

    async def run(self) -> tuple[Trial, Trial]:
        """(the way without any tuning, the best way found). Raises what the untuned way raises."""
        first = await self._measured(0, {})
        if first.flaw:
            raise Invalid(f"the model cannot be measured: {first.flaw}", code="unsupported")
        best = first
        for count in self.threads:
            best = self._better(best, await self._measured(count, {}))
        for name, values in self.knobs.items():
            for value in values:
                if best.options.get(name) != value:
                    best = self._better(best, await self._measured(best.threads, {**best.options, name: value}))
        return first, best

    async def _measured(self, threads: int, options: Mapping[str, Any]) -> Trial:
        try:
            read, write = await self.measure(threads, options)
            trial = Trial(threads, options, read, write)
        except KithError as error:
            trial = Trial(threads, options, flaw=error.message)
        self.trials.append(trial)
        self.told(trial)
        return trial

    def _better(self, best: Trial, trial: Trial) -> Trial:
        return trial if trial.score > best.score * _WORTH else best


def counts(cores: int = 0) -> list[int]:
    """Numbers of threads worth trying: one, half the cores, all but one, all."""
    cores = cores or physical()
    return sorted({1, max(1, cores // 2), max(1, cores - 1), cores})


def machine() -> str:
    """Something that differs where tuning would."""
    return f"{platform.machine()} {platform.system()} {physical()}"


def size(settings: ModelSettings, folder: Path) -> int:
    """Bytes of the model's file, 0 if it is not there."""
    path = Path(settings.path).expanduser()
    path = path if path.is_absolute() else folder / path
    return path.stat().st_size if settings.path and path.is_file() else 0
