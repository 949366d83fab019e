"""A line of the IRC protocol, to an envelope.

The grammar is that of RFC 1459 section 2.3 with the tags of IRCv3 (message-tags 3.3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kith.channels.kit import Arrival, check_text, message_id
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Text

NAME = "irc"
_LONGEST = 16 * 1024
_ROOMS = "#&+!"
# Bold, colour (with its numbers), hex colour, reset, monospace, reverse, italic, strike-through, underline.
_FORMAT = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?|[\x02\x0f\x11\x16\x1d-\x1f]"
)
_TAG = {":": ";", "s": " ", "r": "\r", "n": "\n"}
_FOLD = str.maketrans("[]\\^", "{}|~")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `source` is ``nick!user@host`` or a server's name, `params` without the colon of the last one."""

    command: str
    params: tuple[str, ...] = ()
    source: str = ""
    tags: Mapping[str, str] | None = None

    @property
    def nick(self) -> str:
        """Who it came from."""
        return self.source.partition("!")[0]

    def param(self, place: int) -> str:
        """The parameter at `place`, empty if there are fewer."""
        return self.params[place] if len(self.params) > place else ""

    def tag(self, name: str) -> str:
        """A tag's value, empty if it is absent."""
        return (self.tags or {}).get(name, "")


def read(raw: str | bytes) -> Line:
    """Take a line apart; what is not UTF-8 is read as Latin-1, as old clients wrote it. Raises `Invalid`."""
    text = _decoded(raw).rstrip("\r\n")
    if not text or len(text) > _LONGEST or any(char in text for char in "\r\n\x00"):
        raise Invalid("not a line of IRC", code="bad_frame")
    tags: dict[str, str] = {}
    if text.startswith("@"):
        head, _, text = text[1:].partition(" ")
        tags = dict(_tag(item) for item in head.split(";") if item)
    source, text = "", text.lstrip(" ")
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
    middle, colon, last = text.partition(" :")
    words = middle.split(" ")
    params = [word for word in words if word]
    if not params or not params[0].isalnum():
        raise Invalid("a line of IRC without a command", code="bad_frame")
    return Line(params[0].upper(), (*params[1:], *((last,) if colon else ())), source, tags)


def parse(raw: str | bytes, arrival: Arrival, me: str = "kith", *, accounts: bool = False) -> Envelope | None:
    """What somebody says to the bot, whose nick is `me`, or in a room it is in. Raises `Invalid`.

    None for everything else: notices (which must never be answered, RFC 1459 section 4.4.2), the bot's own words,
    requests between clients (CTCP) other than ACTION and, with `accounts`, people who are not logged in.
    """
    line = read(raw)
    if line.command != "PRIVMSG" or fold(line.nick) == fold(me) or not line.nick:
        return None
    if len(line.params) < 2:
        raise Invalid("a message without a text", code="bad_frame")
    target, said = line.params[0], _action(line.params[1], line.nick)
    sender = line.tag("account") if accounts else fold(line.nick)
    if said is None or not sender or not target:
        return None
    room = target[0] in _ROOMS
    words, called = addressed(_FORMAT.sub("", said), me)
    name = line.tag("msgid") or _name(line, arrival)
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=name,
        sender=sender,
        conversation=fold(target) if room else fold(line.nick),
        message=Message(message_id(NAME, arrival.account, name), "user", (Text(check_text(words)),), arrival.at),
        kind="group" if room else "direct",
        sender_name=line.nick,
        mentioned=called or not room,
        bot="bot" in (line.tags or {}),
    )


def fold(name: str) -> str:
    """A nick's or room's name as servers compare it (RFC 1459 section 2.2)."""
    return name.lower().translate(_FOLD)


def addressed(text: str, me: str) -> tuple[str, bool]:
    """`text` without the bot's name in front, and whether the name stands anywhere in it."""
    nick = re.escape(me)
    if found := re.match(rf"\s*@?{nick}\s*[:,，：]\s*", text, re.IGNORECASE):
        return text[found.end() :] or text, True
    return text, re.search(rf"(?<![\w-]){nick}(?![\w-])", text, re.IGNORECASE) is not None


def _decoded(raw: object) -> str:
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogatepass")  # half of a surrogate pair is no UTF-8 and is read as Latin-1
    if not isinstance(raw, bytes):
        raise Invalid("not a line of IRC", code="bad_frame")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _tag(item: str) -> tuple[str, str]:
    name, _, value = item.partition("=")
    return name, re.sub(r"\\(.?)", lambda found: _TAG.get(found[1], found[1]), value)


def _action(text: str, nick: str) -> str | None:
    """The text of a message; None for a request between clients."""
    if not text.startswith("\x01"):
        return text
    word, _, rest = text.strip("\x01").partition(" ")
    return f"* {nick} {rest}" if word.upper() == "ACTION" and rest.strip() else None


def _name(line: Line, arrival: Arrival) -> str:
    """An id for servers that give none: who said what, and when it came to us."""
    parts = (line.source, *line.params, repr(arrival.at))
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
