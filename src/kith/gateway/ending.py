"""What is known of a reply when it ends: collected from its deltas, for every dialect."""

from __future__ import annotations

from typing import Any, Literal

from kith.core.message import Delta, Logprob, ToolCall, Usage

Finish = Literal["", "stop", "length", "tool_calls", "cancelled", "content_filter"]


class Ending:
    """A reply as far as it is known. `finish` and `usage` are the last that were told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.logprobs: list[Logprob] = []
        self.calls: list[ToolCall] = []
        self.finish: Finish = "stop"
        self.usage = Usage()
        self._model, self._sources, self._fallback = "", tuple[str, ...](), False

    @property
    def text(self) -> str:
        """All that was said so far."""
        return "".join(self.texts)

    def note(self, delta: Delta) -> None:
        """Take one more piece in."""
        if delta.text:
            self.texts.append(delta.text)
        if delta.calls:
            self.calls += delta.calls
        if delta.logprobs:
            self.logprobs += delta.logprobs
        self.finish = delta.finish or self.finish
        self.usage = delta.usage or self.usage
        self._model = delta.model or self._model
        self._sources = delta.sources or self._sources
        self._fallback = self._fallback or delta.fallback

    def delta(self, text: str) -> Delta:
        """All that is known in one piece, with `text` in place of what was said."""
        known = (self._model, self._sources, self._fallback)
        return Delta(text, tuple(self.calls), self.finish, self.usage, *known, tuple(self.logprobs))

    def about(self) -> dict[str, Any]:
        """Kith's own field: which model really answered, whether in place of another, and from which sources."""
        return {"model": self._model, "sources": self._sources, "fallback": self._fallback}


def merged(last: Delta, delta: Delta) -> Delta:
    """What is known of the reply's end after `delta`."""
    return Delta(
        finish=delta.finish or last.finish,
        usage=delta.usage or last.usage,
        model=delta.model or last.model,
        sources=delta.sources or last.sources,
        fallback=delta.fallback or last.fallback,
        turn=delta.turn or last.turn,
    )
