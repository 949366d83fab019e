"""What a channel cannot do without: said when it is set up, and not only when it fails to connect.

What it always needs stands in its manifest, under ``needs``; what it needs because of its other settings is told by
`lacks` of its settings class. Neither makes the settings invalid as a type does: a channel may lie in the file, off or
half filled in, and a household whose environment lacks a variable starts without this one channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from pydantic import SecretStr

from kith.core.errors import Fault, Invalid
from kith.core.manifest import Manifest
from kith.runtime.locale import tr


@dataclass(frozen=True, slots=True)
class Lack:
    """The setting `key` without which a channel cannot connect: it is ``empty``, empty `when` another setting is as it
    is (``with``), empty like the other one that would do (``either``), too ``short``, or of the wrong ``form``. `told`
    is that other setting, the fewest characters, or what is wanted."""

    key: str
    why: Literal["empty", "with", "either", "short", "form"]
    told: str = ""

    def say(self, locale: str = "") -> str:
        """The reason, as a sentence about the setting."""
        return tr(f"channels.needs.{self.why}", locale, told=self.told)


class Wanting(Protocol):
    """Settings of a channel."""

    @property
    def enabled(self) -> bool: ...

    def lacks(self) -> Sequence[Lack]: ...


def guarded(key: str, secret: SecretStr, least: int, told: str) -> tuple[Lack, ...]:
    """What is wrong with a secret that is needed with the setting `told`, and has `least` characters or more."""
    found = secret.get_secret_value()
    if not found:
        return (Lack(key, "with", told),)
    return (Lack(key, "short", str(least)),) if len(found) < least else ()


def needed(manifest: Manifest) -> Sequence[str]:
    """The settings that may be absent, but not from a channel that is on."""
    return cast("Sequence[str]", manifest.details.get("needs", ()))


def lacking(manifest: Manifest, settings: Wanting, locale: str = "") -> tuple[Fault, ...]:
    """What a channel that is on lacks, in a language; paths are keys of its settings.

    What stands there as ``${…}``, a secret or a variable that is known elsewhere, is not judged.
    """
    if not settings.enabled:
        return ()
    found = {key: Lack(key, "empty") for key in needed(manifest) if not _written(settings, key)}
    for lack in settings.lacks():
        if "${" not in _written(settings, lack.key):
            found.setdefault(lack.key, lack)
    return tuple(Fault(f"channels.{manifest.name}.{key}", lack.say(locale)) for key, lack in found.items())


def refuse(manifest: Manifest, faults: tuple[Fault, ...], locale: str = "") -> None:
    """Raise `Invalid` (code ``channel_needs``) if there are any."""
    if faults:
        text, hint = (tr(f"channels.needs.{key}", locale, name=manifest.name) for key in ("text", "hint"))
        raise Invalid(text, faults=faults, code="channel_needs", hint=hint)


def _written(settings: Wanting, key: str) -> str:
    value = cast("object", getattr(settings, key, None))
    return value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)
