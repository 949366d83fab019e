"""A reply, to the texts of PRIVMSG lines: one for each line of the reply, none longer than a server lets through."""

from __future__ import annotations

import re

from kith.channels.kit import plain, split
from kith.core.message import Message

# 512 bytes a line (RFC 1459 section 2.3), less the longest prefix that a server may put in front of it.
LIMIT = 400
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MARK = re.compile(r"^ {0,3}(?:```|~~~).*$|^ {0,3}#{1,6} +|\*\*|__", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\(([^)\s]+)\)")


def render(message: Message) -> list[str]:
    """The texts to be sent one after the other: without Markdown's marks, control characters and empty lines."""
    text = _LINK.sub(r"\1 (\2)", plain(message).replace("\r\n", "\n").replace("\r", "\n"))
    text = _CONTROL.sub("", _MARK.sub("", text))
    lines = (line.rstrip() for line in re.split(r"[\n\u0085\u2028\u2029]", text))
    return [piece for line in lines if line.strip() for piece in split(line, LIMIT, "bytes")]
