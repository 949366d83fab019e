"""What crosses a channel's door besides messages: webhook calls and the word on whether somebody may come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hook:
    """A platform's call to ``/hooks/{channel}/{account}``, not yet believed: the channel verifies its signature.

    `path` is what follows the account, without a slash in front. Names of `headers` are in lower case; where a query
    key or header came several times, the last one counts.
    """

    method: str
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HookReply:
    """What the platform is answered."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Whether a message may come in. One that may not is dropped, after saying `say` where that is not empty."""

    admitted: bool
    say: str = ""
