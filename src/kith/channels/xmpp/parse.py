"""A message stanza, to an envelope.

RFC 6121; ids of the archive from XEP-0359, corrections XEP-0308, replies XEP-0461, private messages in rooms XEP-0045.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree import ElementTree

from kith.channels.kit import PENDING, Arrival, check_text, message_id, part_for, quotes
from kith.core.errors import Invalid
from kith.core.message import Envelope, Message, Part

NAME = "xmpp"
_LONGEST = 512 * 1024
_CLIENT = "{jabber:client}"
_OOB = "{jabber:x:oob}"
_FILES = 10
_SID = "{urn:xmpp:sid:0}"


@dataclass(frozen=True, slots=True)
class Self:
    """Who we are: our bare address, and our name in each room."""

    bare: str = ""
    nicks: Mapping[str, str] | None = None

    def nick(self, room: str) -> str:
        """Our name in `room`, empty if we are not there."""
        return (self.nicks or {}).get(room, "")


@dataclass(frozen=True, slots=True)
class Stanza:
    """A message as far as Kith reads it; `archived` is its id in the archive of `by`."""

    id: str
    kind: str
    sender: str
    body: str
    archived: str = ""
    origin: str = ""
    corrects: str = ""
    answers: str = ""
    wants_receipt: bool = False
    wants_marker: bool = False
    files: tuple[str, ...] = ()

    @property
    def bare(self) -> str:
        return self.sender.partition("/")[0].lower()

    @property
    def resource(self) -> str:
        return self.sender.partition("/")[2]


def parse(raw: str | bytes, arrival: Arrival, own: Self | None = None) -> Envelope | None:
    """What somebody says. Raises `Invalid`. None for errors, signs without words and our own words."""
    me = own or Self()
    stanza = read(raw, me)
    if stanza.kind in ("error", "headline") or not stanza.bare or stanza.bare == me.bare:
        return None
    if not stanza.body.strip() and not stanza.files:
        return None
    room = stanza.kind == "groupchat"
    nick = me.nick(stanza.bare)
    if room and (not stanza.resource or stanza.resource == nick):
        return None
    private = not room and bool(nick)  # somebody of a room, in private: known by the name they have there
    text, called = addressed(stanza.body, nick) if room else (stanza.body, True)
    name = platform_id(stanza)
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=name,
        sender=_handle(stanza.sender) if room or private else stanza.bare,
        conversation=_handle(stanza.sender) if private else stanza.bare,
        message=Message(message_id(NAME, arrival.account, name), "user", _parts(stanza, text), arrival.at),
        kind="group" if room else "direct",
        sender_name=_printable(stanza.resource if room or private else stanza.bare.partition("@")[0])[:128],
        reply_to=_short(stanza.answers) if stanza.answers else "",
        mentioned=called,
        edits=_short(stanza.corrects) if stanza.corrects else "",
    )


def read(raw: object, own: Self) -> Stanza:
    """Take a stanza apart. Raises `Invalid`."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if not isinstance(text, str) or len(text) > _LONGEST or "<!" in text:
        raise Invalid("not a message stanza", code="bad_frame")  # XMPP knows no document types (RFC 6120, section 11.1)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # without a document type nothing is expanded
    except (ElementTree.ParseError, ValueError, RecursionError):
        raise Invalid("not a message stanza", code="bad_frame") from None
    if root.tag not in ("message", f"{_CLIENT}message"):
        raise Invalid("not a message stanza", code="bad_frame")
    kind, sender = root.get("type", "normal"), root.get("from", "")
    by = sender.partition("/")[0].lower() if kind == "groupchat" else own.bare
    ids = [one.get("id", "") for one in root.iter(f"{_SID}stanza-id") if one.get("by", "").lower() == by]
    return Stanza(
        id=root.get("id", ""),
        kind=kind,
        sender=sender,
        body=_text(root, "body"),
        archived=ids[0] if ids else "",
        origin=_attribute(root, f"{_SID}origin-id", "id"),
        corrects=_attribute(root, "{urn:xmpp:message-correct:0}replace", "id"),
        answers=_attribute(root, "{urn:xmpp:reply:0}reply", "id"),
        wants_receipt=root.find("{urn:xmpp:receipts}request") is not None,
        wants_marker=root.find("{urn:xmpp:chat-markers:0}markable") is not None,
        files=tuple(_addresses(root))[:_FILES],
    )


def _addresses(root: ElementTree.Element) -> Iterator[str]:
    """The addresses of files (XEP-0066)."""
    for one in root.findall(f"{_OOB}x"):
        address = (one.findtext(f"{_OOB}url") or "").strip()
        if address.startswith(("https://", "http://")) and len(address) < 2000 and address.isprintable():
            yield address


def _parts(stanza: Stanza, text: str) -> tuple[Part, ...]:
    """The words, what they quote, and the files; a body that only repeats a file's address says nothing."""
    files = [
        part_for(mimetypes.guess_type(one.partition("?")[0])[0] or "", PENDING + one, named(one))
        for one in stanza.files
    ]
    if files and stanza.body.strip() in ("", *stanza.files):
        return tuple(files)
    return (*quotes(check_text(text)), *files)


def named(address: str) -> str:
    """The name of the file at an address."""
    return unquote(address.partition("?")[0].rstrip("/").rpartition("/")[2])[:200]


def platform_id(stanza: Stanza) -> str:
    """What the inbox knows a message by: its id in the archive, else its sender's own."""
    return _short(stanza.archived or f"{stanza.sender} {stanza.origin or stanza.id or stanza.body}")


def addressed(text: str, nick: str) -> tuple[str, bool]:
    """`text` without the bot's name in front, and whether the name stands anywhere in it."""
    name = re.escape(nick)
    if not nick:
        return text, False
    if found := re.match(rf"\s*@?{name}\s*[:,，：]\s*", text, re.IGNORECASE):
        return text[found.end() :] or text, True
    return text, re.search(rf"(?<![\w-]){name}(?![\w-])", text, re.IGNORECASE) is not None


def _text(root: ElementTree.Element, name: str) -> str:
    found = root.find(f"{_CLIENT}{name}")
    found = root.find(name) if found is None else found
    return (found.text or "") if found is not None else ""


def _attribute(root: ElementTree.Element, tag: str, name: str) -> str:
    found = root.find(tag)
    return found.get(name, "") if found is not None else ""


def _handle(address: str) -> str:
    bare, _, resource = address.partition("/")
    whole = f"{bare.lower()}/{resource}"
    return whole if whole.isprintable() else _short(whole)


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())


def _short(name: str) -> str:
    """An id as the inbox keeps it: as it is, or its hash where it is too long or strange."""
    if 0 < len(name) <= 128 and name.isprintable() and " " not in name:
        return name
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
