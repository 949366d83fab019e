"""The shipped fake: says back what it heard, word by word, always the same way."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncIterator, Sequence

from kith.core.errors import Invalid, Unavailable
from kith.core.message import Delta, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import Means, ModelSettings, plain
from kith.models.echo.settings import EchoOptions

_WORD = re.compile(r"\s*\S[^\W\u4e00-\u9fff]*|\s+$")
CONTEXT = 4096


class Echo:
    """A model of no parameters. A token is a word, or one Chinese character."""

    def __init__(self, settings: ModelSettings, options: EchoOptions, means: Means) -> None:
        self._options = options
        self._means = means
        self._settings = settings
        self._ready = False
        self._left = options.failures or math.inf
        kind = "embed" if settings.type == "embedding" else "chat"
        self.card = ModelCard(
            settings.name, kind, "echo", context=settings.context or CONTEXT, capabilities=("chat", "stream", "embed")
        )

    async def start(self) -> None:
        if self._fails("start"):
            raise Unavailable("the echo was told to fail at start", code="worker_failed")
        if not self._ready:
            self._ready = True
            self._means.changed("ready", "")

    async def stop(self) -> None:
        self._ready = False
        self._means.changed("stopped", "")

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Say the last message again. Raises `Invalid` for a schema or a grammar: it would not keep to it."""
        options, name = self._options, self.card.name
        if (request.sampling.schema is not None or request.sampling.grammar) and not options.reply:
            raise Invalid(f"{name} cannot keep to a schema or a grammar", code="unsupported")
        prompt = sum(len(_words(plain(message))) for message in request.messages)
        if prompt > self.card.context or self._fails("full"):
            text = f"the conversation has {prompt} tokens, {name} takes {self.card.context}"
            raise Invalid(text, code="context_length_exceeded")
        if self._fails("before"):
            raise Unavailable("the echo was told to fail", code="worker_lost")
        words = _words(options.reply or (plain(request.messages[-1]) if request.messages else ""))
        limit = request.sampling.max_tokens or self._settings.max_tokens or len(words)
        failing = self._fails("middle")
        for index, word in enumerate(words[:limit]):
            await (self._means.clock.sleep(options.delay) if options.delay else asyncio.sleep(0))
            yield Delta(word, model=name)
            if failing and index >= len(words) // 2 - 1:
                raise Unavailable("the echo was told to fail half-way", code="worker_lost")
        finish = "length" if limit < len(words) else "stop"
        yield Delta(finish=finish, usage=Usage(prompt, min(limit, len(words))), model=name)

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Unit vectors of hashed words: texts that share words are near one another."""
        return [self._vector(text) for text in texts]

    async def count(self, text: str) -> int | None:
        return len(_words(text))

    def _fails(self, place: str) -> bool:
        if self._options.fail != place or self._left <= 0:
            return False
        self._left -= 1
        return True

    def _vector(self, text: str) -> list[float]:
        row = [0.0] * self._options.dimensions
        for word in _words(text.lower()):
            digest = hashlib.blake2b(word.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()
            row[int.from_bytes(digest, "big") % len(row)] += 1.0
        norm = math.sqrt(sum(value * value for value in row)) or 1.0
        return [value / norm for value in row]


def _words(text: str) -> list[str]:
    return _WORD.findall(text)
