"""The list ``models:`` of ``kith.yaml``."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from kith.runtime.settings import Section

ModelType = Literal["llama", "embedding", "diffusion", "asr", "tts", "rerank", "vision", "classifier"]


@lru_cache(maxsize=256)
def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


@lru_cache(maxsize=256)
def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ModelSettings(Section):
    """One model: where it is, what it is for, how to run it. Only `name` and a place (`path` or `url`) are needed."""

    name: str = Field(max_length=100, pattern=r"^\w[\w .:/@+-]*$", description="what requests call it")
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
    fallback: list[str] = Field(default=[], description="models asked, in this order, when this one cannot answer")
    languages: list[str] = Field(default=[], description="languages it is good at (zh, en, …); empty: any")
    cost: float = Field(default=0.0, ge=0, description="price of a million tokens, for rules that prefer the cheapest")
    replicas_min: int = Field(default=1, ge=1, le=64, description="processes that are kept once it is loaded")
    replicas_max: int = Field(default=1, ge=1, le=64, description="processes at most, while requests wait for it")
    options: dict[str, Any] = Field(default={}, description="settings of the backend itself")

    @property
    def host(self) -> str:
        """Where its endpoint is; empty for a model that runs here."""
        return _host(self.url)

    @property
    def local(self) -> bool:
        """Whether private requests may go to it: it runs on this machine, or its owner trusts where it runs."""
        return not self.url or self.trusted or _loopback(_host(self.url))

    @model_validator(mode="after")
    def _placed(self) -> ModelSettings:
        if not (self.path or self.url or self.backend):
            raise ValueError("needs a path, a url or a backend")
        if self.path and self.url:
            raise ValueError("has a path and a url: only one of them can be meant")
        if self.replicas_max < self.replicas_min:
            raise ValueError("replicas_max is less than replicas_min")
        return self


def _distinct(models: list[ModelSettings]) -> list[ModelSettings]:
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"these names are used twice: {', '.join(twice)}")
    return models


ModelsSettings = Annotated[list[ModelSettings], AfterValidator(_distinct)]
"""The section `models`: each name once; the first that can answer a request is the default."""


class RouteSettings(Section):
    """One rule of routing: when all its conditions hold, the models of `use` are asked in their order."""

    name: str = Field(min_length=1, max_length=100, description="what explanations call the rule")
    use: list[str] = Field(min_length=1, description="the models that are asked, in this order")
    prefer: Literal["order", "load", "cost"] = Field(
        default="order", description="which of them first: order, load (the least busy) or cost (the cheapest)"
    )
    kind: Literal["chat", "embed", "rerank", "classify", "image"] = Field(
        default="chat", description="kind of request: chat, embed, rerank, classify or image"
    )
    needs: list[Literal["vision", "audio", "tools", "json"]] = Field(
        default=[], description="what the request needs: vision, audio, tools, json"
    )
    language: list[str] = Field(default=[], description="language of the last thing said: zh, en, ja, ko, ru, ar")
    longer: int = Field(default=0, ge=0, description="prompt and reply together take at least so many tokens")
    shorter: int = Field(default=0, ge=0, description="prompt and reply together take fewer tokens; 0: any length")
    priority: Literal["", "voice", "text", "background"] = Field(
        default="", description="urgency: voice, text or background"
    )
    private: bool | None = Field(default=None, description="whether the request must stay at home; any when absent")
    person: list[str] = Field(default=[], description="ids of the persons for whom it holds; empty: everybody")


class CacheSettings(Section):
    """Replies that are remembered. They stay in memory and are gone when Kith stops, because they quote people."""

    enabled: bool = Field(default=True, description="give an earlier reply to the same question where it is safe")
    entries: int = Field(default=1000, ge=1, le=1_000_000, description="replies remembered")
    lifetime: float = Field(default=3600.0, gt=0, description="seconds after which a reply is forgotten")
    semantic: float = Field(
        default=0.0, ge=0, le=1, description="likeness (cosine) at which two questions are the same; 0: never"
    )


class PrefixSettings(Section):
    """What models have read, kept over a restart: sealed, because it holds what people said."""

    size: int = Field(default=512, ge=0, le=1_048_576, description="MiB of all files together; 0: nothing is kept")
    every: float = Field(default=600.0, ge=10, description="seconds between two savings while a model is used")
    lifetime: float = Field(default=604_800.0, gt=0, description="seconds after which a file is deleted")


class ServingSettings(Section):
    """The section `serving`: how models are shared, chosen and kept. Durations are in seconds."""

    power: Literal["eco", "balanced", "performance"] = Field(
        default="balanced", description="eco (few threads, unloads early), balanced or performance (keeps all loaded)"
    )
    routes: list[RouteSettings] = Field(default=[], description="rules that choose a model; the first that matches")
    fallback: list[str] = Field(default=[], description="models asked when the chosen ones cannot answer")
    overflow: int = Field(default=0, ge=0, description="waiting requests at which the next model is asked; 0: never")
    waiting: int = Field(default=1000, ge=1, le=100_000, description="requests that may wait for one model")
    trips: int = Field(default=5, ge=1, le=1000, description="failures in a row after which a model is left alone")
    rest: float = Field(default=10.0, gt=0, le=300, description="seconds it is left alone; doubled each time")
    ceiling: float = Field(
        default=0.8, gt=0, le=1, description="share of the memory above which idle models are unloaded"
    )
    idle: float | None = Field(
        default=None, ge=0, description="seconds after which an unused model is unloaded; 0: never; else by power"
    )
    growth: float = Field(
        default=0.5, gt=0, description="growth of a model's process, as a share, at which it is replaced"
    )
    cpu: float = Field(default=0.7, gt=0, le=1, description="use of its processors that replicas of a model aim at")
    connections: int = Field(default=10, ge=0, le=1000, description="unused connections kept to each host of models")
    cache: CacheSettings = Field(default_factory=CacheSettings)
    prefixes: PrefixSettings = Field(default_factory=PrefixSettings)
