"""Options of an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kith.runtime.settings import Section


class OpenAIOptions(Section):
    """How to speak with one endpoint. Durations are in seconds."""

    profile: Literal["auto", "plain", "openai", "vllm", "sglang", "llamacpp", "ollama", "lmstudio"] = Field(
        default="auto", description="which server it is, where they differ; auto: by its address"
    )
    timeout: float = Field(default=120.0, gt=0, description="how long the endpoint may be silent")
    headers: dict[str, str] = Field(default={}, description="more headers, for gateways that want them")
    extra: dict[str, Any] = Field(default={}, description="more fields of each request, as the endpoint knows them")
    usage: bool = Field(
        default=True, description="ask for token counts while streaming; off for endpoints that refuse it"
    )
