"""Flows: what a dialogue answers by rule, loaded from a file that anybody can write.

`load_flow` reads and checks a file; `Flow.read` understands one message; `FlowBook` holds the flow in force and changes
it without a restart, never for a broken one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any, cast

from kith.core.errors import Fault, Invalid
from kith.dialogue.flows.checks import Checker
from kith.dialogue.flows.intents import Layer
from kith.dialogue.flows.reading import Action, Pick, Reader, Reading, Rules
from kith.dialogue.flows.schema import FlowPart, IntentPart
from kith.dialogue.flows.standing import standing
from kith.runtime.documents import Document, read_document, validate

DEFAULT = Path(__file__).parent / "default.yaml"


class Flow:
    """A checked flow, ready to read messages. Made by `load_flow`; not changed by reading, so it may be shared."""

    def __init__(self, part: FlowPart, checker: Checker, version: str, file: str = "") -> None:
        self.name, self.version, self.locale, self.file = part.name, version, part.locale, file
        self.part = part
        self.rules = Rules(part, checker.lexicons)
        self.warnings = tuple(checker.warnings)

    @property
    def intents(self) -> tuple[str, ...]:
        """The names of its intents."""
        return tuple(self.rules.intents)

    def read(
        self,
        text: str,
        state: Mapping[str, Any],
        *,
        locale: str,
        now: float,
        values: Mapping[str, str],
        pick: Pick,
        zone: tzinfo | None = None,
        layer: Layer | None = None,
    ) -> Reading:
        """Understand one message in its dialogue, and answer it if the flow knows how. Raises nothing of its own.

        `state` is that of the reading before ({} at first), `locale` the language when the text does not show it, `now`
        seconds since 1970, `values` fill placeholders, `pick` chooses one of several replies; days begin in `zone`, by
        default the machine's own. `layer` is asked about what no rule knows.
        """
        return Reader(self.rules, text, locale, now, pick, zone).read(state, values, layer)

    def standing(self, state: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Where a dialogue stands, as JSON: `state` is that of its last reading; what ran out of time is closed."""
        return standing(self.part, self.rules.machine, state, now)

    def describe(self) -> dict[str, Any]:
        """The flow as JSON: for the interface and `kith flow show`."""
        part = self.part
        states = part.model_dump(mode="json", by_alias=True, exclude_none=True, include={"states", "transitions"})
        return {
            "name": self.name,
            "version": self.version,
            "file": self.file,
            "locale": self.locale,
            "threshold": part.threshold,
            "intents": [_describe(intent) for intent in part.intents],
            "entities": [{"name": found.name, "values": found.values()[:100]} for found in self.rules.lexicons],
            "initial": self.rules.machine.initial,
            **states,
            "warnings": [{"path": w.path, "line": w.line, "reason": w.reason} for w in self.warnings],
        }


def load_flow(path: Path) -> Flow:
    """Read, check and train a flow. Raises `Invalid` with file, line, path and reason of every mistake."""
    return build_flow(read_document(path, shipped=path == DEFAULT))


def build_flow(document: Document) -> Flow:
    """Check and train a flow that was parsed already. Raises `Invalid`."""
    if not isinstance(cast("object", document.data), dict):
        raise _invalid(document, (Fault("", "has to be a mapping with a list `intents`", 1),))
    part = validate(FlowPart, document)
    checker = Checker(part, document)
    if checker.faults:
        raise _invalid(document, tuple(sorted(checker.faults, key=lambda fault: fault.line)))
    canonical = json.dumps(document.data, sort_keys=True, default=str)
    return Flow(part, checker, hashlib.sha256(canonical.encode()).hexdigest()[:12], document.file)


class FlowBook:
    """The flow in force, from `path` or, without one, the flow that comes with Kith. Raises `Invalid`."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or DEFAULT
        self.error: Invalid | None = None
        self._seen = self._stamp()
        self.current = load_flow(self.path)

    def reload(self) -> Flow:
        """Read the file again and put it in force. Raises `Invalid` and keeps the flow that was."""
        self._seen = self._stamp()
        try:
            self.current = load_flow(self.path)
        except Invalid as error:
            self.error = error
            raise
        self.error = None
        return self.current

    def changed(self) -> bool:
        """Whether the file is another than at the last load, good or bad. Costs one look at the disk."""
        return self._stamp() != self._seen

    def describe(self) -> dict[str, Any]:
        """The flow in force, and what is wrong with the file if its last reload was refused."""
        return {**self.current.describe(), "error": str(self.error) if self.error else ""}

    def standing(self, state: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Where a dialogue stands in the flow in force; `state` is what is kept with the conversation."""
        flow = state.get("flow")
        found = self.current.standing(cast("Mapping[str, Any]", flow) if isinstance(flow, Mapping) else {}, now)
        return {**found, "rounds": state.get("rounds", 0), "seen": state.get("seen", 0.0)}

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def _describe(intent: IntentPart) -> dict[str, Any]:
    dumped = intent.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude={"patterns"})
    return {**dumped, "patterns": len(intent.patterns), "examples": intent.patterns[:5]}


def _invalid(document: Document, faults: tuple[Fault, ...]) -> Invalid:
    return Invalid(f"{document.file} cannot be used", faults=faults, file=document.file)


__all__ = ["DEFAULT", "Action", "Flow", "FlowBook", "Reading", "build_flow", "load_flow"]
