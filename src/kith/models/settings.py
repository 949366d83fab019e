"""The list ``models:`` of ``kith.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from kith.runtime.settings import Section

ModelType = Literal["llama", "embedding", "diffusion", "asr", "tts", "rerank", "vision", "classifier"]


class ModelSettings(Section):
    """One model: where it is, what it is for, how to run it. Only `name` and a place (`path` or `url`) are needed."""

    name: str = Field(pattern=r"^[\w][\w .:/@+-]{0,99}$", description="what requests call it")
    path: str = Field(default="", description="a model file; relative to the folder of models in KITH_HOME")
    type: ModelType = Field(default="llama", description="llama (talks), embedding, diffusion, asr, tts, …")
    backend: str = Field(default="", description="which folder runs it; chosen by type, path and url when empty")
    max_tokens: int | None = Field(
        default=None, ge=1, description="the longest reply, in tokens, where a request does not say"
    )
    resolution: str = Field(
        default="512x512", pattern=r"^\d{2,5}x\d{2,5}$", description="width x height of pictures, in pixels"
    )
    context: int = Field(
        default=0, ge=0, le=10_000_000, description="tokens of one conversation; 0: 4096 or what the model has"
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="processor threads; 0: all cores but one, one for tiny models"
    )
    parallel: int = Field(default=0, ge=0, le=256, description="conversations at once; 0: up to 4, as memory allows")
    preload: bool = Field(default=False, description="load at start instead of at first use")
    url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="an OpenAI-compatible endpoint, up to and with /v1"
    )
    api_key: SecretStr = Field(
        default=SecretStr(""), description="its key; write ${NAME} to take it from the environment"
    )
    model: str = Field(default="", description="what the endpoint calls the model; by default the same name")
    trusted: bool = Field(default=False, description="private requests may go there although it is on another machine")
    options: dict[str, Any] = Field(default={}, description="settings of the backend itself")

    @model_validator(mode="after")
    def _placed(self) -> ModelSettings:
        if not (self.path or self.url or self.backend):
            raise ValueError("needs a path, a url or a backend")
        if self.path and self.url:
            raise ValueError("has a path and a url: only one of them can be meant")
        return self


def _distinct(models: list[ModelSettings]) -> list[ModelSettings]:
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"these names are used twice: {', '.join(twice)}")
    return models


ModelsSettings = Annotated[list[ModelSettings], AfterValidator(_distinct)]
"""The section `models`: each name once; the first that can answer a request is the default."""
