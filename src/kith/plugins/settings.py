"""Settings of plugins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from kith.runtime.settings import Section


class OutsideSettings(Section):
    """One server of the Model Context Protocol whose tools the assistant may use: a command, or a URL."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="What its tools' names begin with.")
    command: list[str] = Field(
        default_factory=list[str], description="The program that is started, and its arguments; it runs as you do."
    )
    url: str = Field(default="", pattern=r"^(https?://\S+)?$", description="Its address, where it runs by itself.")
    env: dict[str, SecretStr] = Field(
        default_factory=dict[str, SecretStr], description="More of the environment for the program."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict[str, SecretStr], description="Headers of every request, such as Authorization."
    )
    digest: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        description="Which tools you have looked at, as `kith mcp inspect` prints it; others are not used.",
    )
    role: Literal["owner", "admin", "member", "guest"] = Field(
        default="owner", description="The least role of those for whom its tools are used."
    )
    timeout: float = Field(default=30.0, gt=0, le=600, description="Longest time that one call may take, in seconds.")

    @model_validator(mode="after")
    def _placed(self) -> OutsideSettings:
        if bool(self.command) == bool(self.url):
            raise ValueError("needs either a command or a url")
        return self


def _distinct(found: list[OutsideSettings]) -> list[OutsideSettings]:
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"these names are used twice: {', '.join(twice)}")
    return found


class PluginsSettings(Section):
    """What the assistant may do: the section ``plugins``."""

    mcp: Annotated[list[OutsideSettings], AfterValidator(_distinct)] = Field(
        default_factory=list[OutsideSettings], description="Servers of the Model Context Protocol."
    )
