"""Working on the flow from elsewhere than an editor: its text, checked and put in force; sentences tried on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kith.core.clock import Clock
from kith.core.errors import Invalid
from kith.dialogue.flows.flow import DEFAULT, FlowBook, build_flow
from kith.dialogue.workshop.trial import run_trial
from kith.runtime.documents import LIMIT, parse_document

_STATES = 20


class Studio:
    """The flow of `book` as text. The one that comes with Kith is copied to `place` before it is changed."""

    def __init__(self, book: FlowBook, place: Path, clock: Clock) -> None:
        self._book, self._place, self._clock = book, place, clock

    def source(self) -> Mapping[str, Any]:
        """Where the flow's file is, its text, and whether it is the one that comes with Kith."""
        path = self._book.path
        return {"file": str(path), "text": path.read_text("utf-8-sig"), "builtin": path == DEFAULT}

    def check(self, text: str) -> Mapping[str, Any]:
        """What the flow would be. Raises `Invalid` with line, path and reason of every mistake."""
        _small(text)
        kind = "json" if self._book.path.suffix == ".json" else "yaml"
        return build_flow(parse_document(text, self._book.path.name, kind)).describe()

    def write(self, text: str) -> tuple[Mapping[str, Any], str]:
        """Put `text` in force and keep it in the file; with the file's path where it is another one than before.

        Raises as `check`; nothing is changed then.
        """
        self.check(text)
        path = self._place if self._book.path == DEFAULT else self._book.path
        spare = path.with_name(f".{path.name}.new")
        spare.unlink(missing_ok=True)
        with os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        spare.replace(path)
        moved = path != self._book.path
        self._book.path = path
        self._book.reload()
        return self._book.describe(), str(path) if moved else ""

    def probe(self, text: str, state: Mapping[str, Any], locale: str) -> Mapping[str, Any]:
        """What the flow makes of one message in the dialogue `state` ({} at first); nobody is answered."""
        if len(state) > _STATES:
            raise Invalid("the request is not valid", code="invalid_request")
        reading = self._book.current.read(
            text, state, locale=locale, now=self._clock.now(), values={}, pick=lambda options: options[0]
        )
        action = {"kind": reading.action.kind, "argument": reading.action.argument} if reading.action else None
        return {
            "understanding": asdict(reading.understanding),
            "answer": reading.answer,
            "action": action,
            "state": reading.state,
            "language": reading.language,
        }

    def report(self) -> Mapping[str, Any]:
        """How well the flow understands its own phrases and tests (see `trial`). Takes a moment."""
        return asdict(run_trial(self._book.current))


def _small(text: str) -> None:
    if len(text.encode("utf-8", "replace")) > LIMIT:
        raise Invalid(f"a flow may have {LIMIT >> 20} MiB", code="too_large")
