"""Every persona of the household: the one of the settings, and those in ``KITH_HOME/personas/<name>/``.

A conversation has a persona of its own, kept in its state. In a group the one whose name is called answers; else they
take turns. What a persona is cannot switch off care: danger is looked for before any persona is asked.
"""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import yaml

from kith.core.errors import Invalid, KithError, NotFound, Refused
from kith.core.ports import Records
from kith.dialogue.personas.cards import read_persona
from kith.dialogue.personas.persona import Persona, load_persona
from kith.dialogue.understanding.normal import normal
from kith.runtime.files import private_folder, write_private
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_FILE, _PICTURE, _CHOSEN = "persona.yaml", "avatar.png", "default.json"
_KIND = "persona"
_MOST, _TURNS = 200, 6
_SWITCH = re.compile(
    r"^\s*/persona\s+(?P<a>.{1,60}?)\s*$|"
    r"^\s*(?:please )?(?:switch to|change persona to|let me talk to|i want to talk to) (?P<b>.{1,60}?)[.!]?\s*$|"
    r"^\s*(?:请)?(?:换成|切换到|切换成|变成|让)(?P<c>.{1,30}?)(?:来(?:聊|说|回答|跟我聊)?|吧|跟我聊)?[。！!]?\s*$",
    re.IGNORECASE,
)

_WHO = re.compile(
    r"(?:please )?(?:(?:which|what) (?:other )?personas? (?:are there|do you have|can i (?:choose|use|have|pick)|exist)"
    r"|(?:list|show)(?: me)?(?: all)?(?: the| your)? personas?|(?:switch|change)(?: the| your)? personas?"
    r"|who else (?:can i talk to|is there))"
    r"|(?:你)?(?:都)?(?:有|能换)(?:哪些|什么|几个|几种)(?:人格|人设|角色)(?:可以?(?:选|换|用))?"
    r"|(?:列出|看看|显示)(?:所有|全部)?的?(?:人格|人设|角色)|(?:可以?|能)?(?:换|切换)(?:一?个|到?别的|一下)?(?:人格|人设)"
)


class Cast:
    """The personas by a name that fits into paths. `first` is that of the settings; it cannot be removed."""

    def __init__(self, folder: Path, records: Records, first: Persona | None = None) -> None:
        self.folder, self.first, self._records = folder, first or load_persona(), records
        self._known: dict[str, Persona] = {}
        self.reload()

    def reload(self) -> None:
        """Read the folder again; a persona that is broken is told to the log and left out."""
        found: dict[str, Persona] = {slug(self.first.name): self.first}
        for path in sorted(self.folder.glob(f"*/{_FILE}"))[:_MOST]:
            try:
                found.setdefault(path.parent.name, load_persona(path))
            except KithError as error:
                _log.warning("persona left out", name=path.parent.name, error=error.message)
        self._known = found

    def all(self) -> Sequence[tuple[str, Persona]]:
        """Every persona with its name in commands; that of the settings first."""
        return tuple(self._known.items())

    def get(self, name: str) -> Persona:
        """The persona of this name, as commands or as people call it. Raises `NotFound`."""
        wanted = slug(name)
        for key, persona in self._known.items():
            if wanted in (key, slug(persona.name)):
                return persona
        raise NotFound(f"there is no persona {name!r}", code="persona_not_found", hint="kith personas list")

    @property
    def default(self) -> str:
        """The name of the persona with which conversations begin."""
        try:
            chosen = str(json.loads((self.folder / _CHOSEN).read_text("utf-8"))["name"])
        except (OSError, ValueError, KeyError, TypeError):
            chosen = ""
        return chosen if chosen in self._known else slug(self.first.name)

    def picture(self, name: str) -> bytes:
        """The picture that came with a persona's card, a PNG. Raises `NotFound`."""
        try:
            return (self.folder / self._key(self.get(name)) / _PICTURE).read_bytes()
        except OSError:
            raise NotFound(f"the persona {name!r} has no picture", code="persona_not_found") from None

    def choose(self, name: str) -> str:
        """Let conversations begin with this persona. Raises `NotFound`."""
        key = self._key(self.get(name))
        private_folder(self.folder)
        write_private(self.folder / _CHOSEN, json.dumps({"name": key}).encode())
        return key

    def check(self, raw: bytes, file: str) -> tuple[str, Persona, bytes | None]:
        """The persona in a file, with its key and picture, as `add` would keep it. Raises as `add`."""
        persona, picture = read_persona(raw, file)
        key = slug(persona.name)
        if not key:
            raise Invalid(f"{persona.name!r} is no name", code="bad_persona")
        if key == slug(self.first.name):
            raise Refused(f"{persona.name} is the persona of the settings", code="persona_taken")
        if len(self._known) >= _MOST:
            raise Refused("there are too many personas", code="persona_taken", hint="kith personas remove NAME")
        return key, persona, picture

    def add(self, raw: bytes, file: str) -> tuple[str, Persona]:
        """Add or replace the persona in a file. Raises `Invalid`, `Refused` for the name of the one of the settings."""
        key, persona, picture = self.check(raw, file)
        place = private_folder(private_folder(self.folder) / key)
        if picture:
            write_private(place / _PICTURE, picture)
            persona = persona.model_copy(update={"avatar": _PICTURE})
        kept = persona.model_dump(mode="json", exclude_defaults=True)
        write_private(place / _FILE, yaml.safe_dump(kept, allow_unicode=True, sort_keys=False).encode())
        self.reload()
        return key, persona

    def remove(self, name: str) -> str:
        """Delete a persona. Raises `NotFound`, `Refused` for the one of the settings."""
        key = self._key(self.get(name))
        if key == slug(self.first.name):
            raise Refused("the persona of the settings is not removed", code="persona_taken")
        shutil.rmtree(self.folder / key, ignore_errors=True)
        self.reload()
        return key

    async def wear(self, conversation: str, names: Sequence[str]) -> Sequence[str]:
        """Let these speak in a conversation, in turns if they are several; their names. Raises `NotFound`."""
        keys = list(dict.fromkeys(self._key(self.get(name)) for name in names))[:_TURNS]
        await self._records.put(_KIND, conversation, {"names": keys})
        return keys

    async def worn(self, conversation: str) -> Sequence[str]:
        """The names of those who speak in a conversation; none where it was never changed."""
        record = await self._records.get(_KIND, conversation)
        return [str(name) for name in (record or {}).get("names", ()) if str(name) in self._known]

    def _key(self, persona: Persona) -> str:
        return next(key for key, one in self._known.items() if one is persona)

    def wanted(self, text: str) -> Persona | None:
        """The persona that a message asks to speak with, if there is one of that name."""
        match = _SWITCH.match(text) if len(text) <= 120 else None
        name = next((piece for piece in match.groups() if piece), "") if match else ""
        try:
            return self.get(name) if name else None
        except NotFound:
            return None

    @staticmethod
    def asked(text: str) -> bool:
        """Whether a message asks who there is to speak with."""
        plain = normal(text) if len(text) <= 120 else ""
        return _WHO.fullmatch(plain) is not None

    def speaker(self, text: str, names: Sequence[str], rounds: int) -> Persona:
        """Who of `names` answers: the one that is called, else each in turn; the default where there are none."""
        several = [self._known[name] for name in names if name in self._known]
        plain = f" {normal(text)} "
        for persona in several:
            called = normal(persona.name)
            if called and (f" {called} " in plain if called.isascii() else called in plain):
                return persona
        return several[rounds % len(several)] if several else self._known[self.default]


def slug(name: str) -> str:
    """A name as it stands in commands and paths: letters, digits and hyphens."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[^\w]+", "-", folded, flags=re.UNICODE).strip("-_")[:60]
