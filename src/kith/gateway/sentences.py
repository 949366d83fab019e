"""A streaming reply in whole sentences, for voices and chat apps: a piece ends where a reader would breathe."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from kith.core.message import Delta
from kith.gateway.stream import closing

LONGEST = 400  # characters; a sentence without end is cut at a pause

# The end of a sentence, with the brackets and quotes that close it: Chinese marks end by themselves, a Latin one only
# before white space, so that 3.14, kith.yaml and www.example.org stay whole. What stands last waits for the next
# piece, which may bring a quote that belongs to it. A line break ends everything.
_END = re.compile(r"""[。！？…；]++[”’」』）》"')\]]*+(?!\Z)|[.!?]+[”’"')\]]*(?=\s)|\n""")
_PAUSE = re.compile(r"[，、,;:：—]\s*|\s")
_SHORT = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|No|Fig|approx|e\.g|i\.e|cf)|\b[A-Z]|^\s*\d{1,3})\.$")


def cut(text: str) -> int:
    """How many characters of `text` are whole sentences; white space behind the last one belongs to it."""
    end = 0
    for found in _END.finditer(text):
        if found[0].startswith(".") and _SHORT.search(text[end : found.start() + 1]):
            continue
        end = found.end()
    if end:
        return end + len(text[end:]) - len(text[end:].lstrip())
    if len(text) < LONGEST:
        return 0
    pauses = [found.end() for found in _PAUSE.finditer(text, 0, LONGEST)]
    return pauses[-1] if pauses else LONGEST


async def sentences(deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta]:
    """The same reply, its text in whole sentences. What is left over comes with what ends the reply."""
    held = ""
    async with closing(deltas) as running:
        async for delta in running:
            held += delta.text
            if delta.calls or delta.finish:
                yield replace(delta, text=held)
                held = ""
            elif length := cut(held):
                yield replace(delta, text=held[:length])
                held = held[length:]
    if held:
        yield Delta(held)
