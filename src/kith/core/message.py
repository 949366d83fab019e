"""Messages: what is said, as a tuple of typed parts, and the envelope in which it crosses a door.

All instants in Kith are seconds since the Unix epoch, UTC, as ``float``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain or Markdown text. `outside` when somebody else wrote it: what a file says, what was quoted or forwarded."""

    text: str
    type: Literal["text"] = "text"
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes kept in the blob store: `blob` is their SHA-256 in hex, `size` their length in bytes."""

    blob: str
    mime: str
    name: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Image(Media):
    """A picture."""

    type: Literal["image"] = "image"


@dataclass(frozen=True, slots=True)
class Audio(Media):
    """A sound or voice recording."""

    type: Literal["audio"] = "audio"


@dataclass(frozen=True, slots=True)
class File(Media):
    """Any other file."""

    type: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class Data:
    """A table or a chart: `kind` names the shape of `value` (``table``, ``chart``)."""

    kind: str
    value: Mapping[str, Any]
    type: Literal["data"] = "data"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for the tool `name`; `arguments` is the JSON text exactly as the model wrote it."""

    call: str
    name: str
    arguments: str
    type: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool of call `call` returned; `failed` when it did not do what was asked."""

    call: str
    text: str
    failed: bool = False
    type: Literal["tool_result"] = "tool_result"


Part = Text | Image | Audio | File | Data | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said by one party."""

    id: str
    role: Role
    parts: tuple[Part, ...]
    at: float

    @property
    def text(self) -> str:
        """The text parts, joined by new lines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it crosses a channel's door, addressed in the platform's own terms.

    (`channel`, `account`, `platform_id`) identifies it for deduplication; (`channel`, `account`, `conversation`)
    is the conversation's handle, in whose order messages are answered. With `deliver` false the sender waits for the
    live stream, and the reply is kept with the turn but not sent by the outbox.

    `mentioned` says that the bot was addressed by name or by an answer to it, `bot` that another program wrote this,
    `thread` names the thread within the conversation. `edits` is the platform's id of the earlier message that this
    one replaces (without parts: takes back), and `reaction` what was put to the message `reply_to` (``👍``; with a
    ``-`` in front: taken away again). They are empty for an ordinary new message. `pause` is for how many seconds its
    place of origin lets a message wait for more of the same person: where people write in bursts, and nobody waits.
    """

    channel: str
    account: str
    platform_id: str
    sender: str
    conversation: str
    message: Message
    kind: Literal["direct", "group"] = "direct"
    sender_name: str = ""
    reply_to: str = ""
    locale: str = ""
    persona: str = ""
    deliver: bool = True
    mentioned: bool = False
    bot: bool = False
    thread: str = ""
    edits: str = ""
    reaction: str = ""
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens paid for one reply; `cached` of the `prompt` tokens came from the prefix cache."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Logprob:
    """How likely a token was, as the natural logarithm, and which others were (`top`), the likeliest first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streaming reply. The last one carries `finish` and, where known, `usage`.

    `logprobs` are those of its tokens, where they were asked for.
    `model` says who made it; `fallback` that it was not the model that was asked first; `turn` is
    the id of the turn that this ends, where Kith keeps the conversation.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Literal["", "stop", "length", "tool_calls", "cancelled", "content_filter"] = ""
    usage: Usage | None = None
    model: str = ""
    sources: tuple[str, ...] = field(default=())
    fallback: bool = False
    logprobs: tuple[Logprob, ...] = ()
    turn: str = ""
