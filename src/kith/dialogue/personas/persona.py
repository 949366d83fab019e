"""Personas: who speaks. Kept small, because every token of it is paid for at each turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from kith.core.turn import Passage
from kith.dialogue.understanding.normal import normal
from kith.runtime.documents import read_document, validate
from kith.runtime.settings import Section

DEFAULT = Path(__file__).parent / "kith.yaml"

_BROUGHT = 2  # pieces of what a persona knows that one message brings up: each is paid for in tokens

_RULES = (
    "You are an AI and say so when asked; you have no feelings and never claim any. "
    "Answer in the language of the last message. Be brief unless asked for more. "
    "When notes are given, use them and do not invent what they do not say. When you do not know, say so."
)


class Lore(Section):
    """Something that a persona knows, brought up when one of `keys` stands in a message."""

    keys: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)], ...] = Field(
        min_length=1, max_length=20, description="Words that bring it up."
    )
    text: str = Field(min_length=1, max_length=600, description="What it knows.")

    def touched(self, plain: str) -> bool:
        """Whether a key stands in `plain`, which is normalised and has spaces around it; Latin ones as whole words."""
        keys = (normal(key) for key in self.keys)
        return any(key and (f" {key} " in plain if key.isascii() else key in plain) for key in keys)


class Persona(Section):
    """One persona's file. Everything but `name` may be left out."""

    name: str = Field(min_length=1, max_length=60, description="What the persona is called.")
    avatar: str = Field("", max_length=500, description="A picture's path.")
    character: str = Field("", max_length=1200, description="Who the persona is.")
    style: str = Field("", max_length=600, description="How the persona speaks.")
    greeting: str = Field("", max_length=600, description="What it says first.")
    boundaries: str = Field("", max_length=600, description="What it does not do.")
    model: str = Field("", max_length=200, description="The model it prefers.")
    voice: str = Field("", max_length=200, description="The voice it speaks with.")
    tools: tuple[str, ...] = Field((), description="The tools it may use.")
    knowledge: tuple[Lore, ...] = Field((), max_length=200, description="What it knows.")

    def prompt(self) -> str:
        """What a model is told of the persona: constant from turn to turn, so that its prefix stays cached."""
        said = (f"You are {self.name}.", self.character, self.style, self.boundaries, _RULES)
        return "\n".join(line.strip() for line in said if line.strip())

    def recall(self, text: str) -> Sequence[Passage]:
        """What it knows about a message, as passages: shown to a model as data, since cards come from strangers."""
        plain = f" {normal(text)} "
        found = [lore for lore in self.knowledge if lore.touched(plain)][:_BROUGHT]
        return tuple(Passage(lore.text, f"persona:{self.name}", 1.0, lore.keys[0]) for lore in found)


def load_persona(path: Path | None = None) -> Persona:
    """The persona in a YAML or JSON file, by default the shipped one. Raises `Invalid` with line and reason."""
    return validate(Persona, read_document(path or DEFAULT, limit=64 * 1024))
