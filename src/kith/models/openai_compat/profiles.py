"""Where servers that speak OpenAI's API differ, as a table. What is not here, they do alike or is read either way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Profile:
    """`tokens` is the field that limits a reply; `grammar` the place for a grammar, empty if there is none;

    `rerank` is the path of reranking, empty if there is none.
    """

    tokens: str = "max_tokens"
    grammar: str = ""
    rerank: str = ""


PROFILES: Mapping[str, Profile] = {
    "plain": Profile(),
    # https://platform.openai.com/docs/api-reference/chat/create: max_tokens is refused by its reasoning models
    "openai": Profile(tokens="max_completion_tokens"),
    # https://docs.vllm.ai/en/latest/features/structured_outputs.html
    "vllm": Profile(grammar="structured_outputs.grammar", rerank="/rerank"),
    # https://docs.sglang.ai/advanced_features/structured_outputs.html
    "sglang": Profile(grammar="ebnf", rerank="/rerank"),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    "llamacpp": Profile(grammar="grammar", rerank="/rerank"),
    "ollama": Profile(),
    "lmstudio": Profile(),
}
_PORTS = {11434: "ollama", 1234: "lmstudio", 30000: "sglang"}


def profile_of(name: str, url: str) -> Profile:
    """The profile called `name`; ``auto`` goes by the address: OpenAI's own, or a port that one server is known for."""
    if name != "auto":
        return PROFILES[name]
    parts = urlsplit(url)
    if parts.hostname == "api.openai.com":
        return PROFILES["openai"]
    return PROFILES[_PORTS.get(parts.port or 0, "plain")]
