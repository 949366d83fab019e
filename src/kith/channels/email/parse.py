"""A mail as it lies in the mailbox, to an envelope.

MIME is read with the standard library's older, forgiving policy: the newer one raises on headers that senders of spam
write. What must not be answered follows RFC 3834.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message as Mime
from email.utils import getaddresses

from kith.channels.email.words import readable, told
from kith.channels.kit import Arrival, message_id
from kith.core.errors import Invalid
from kith.core.message import Audio, Envelope, File, Image, Media, Message, Part, Text

NAME = "email"
_ADDRESS = re.compile(r"^[^\s@<>\"(),:;\\\x00-\x1f]{1,64}@[A-Za-z0-9.\[\]:-]{1,190}$")
_ID = re.compile(r"<([^<>\s\x00-\x1f]{1,250})>")
_MACHINES = re.compile(r"^(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)([+.\-_].*)?$", re.IGNORECASE)
_PARTS = 100
_ATTACHED = 20
_TEXT = 200_000


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail taken apart: `thread` is the id of the first mail of its thread, `references` all before it,
    `foreign` what somebody else wrote and this mail sends on."""

    id: str
    sender: str
    name: str
    subject: str
    text: str
    foreign: str
    references: tuple[str, ...]
    attached: tuple[tuple[Media, bytes], ...]
    answerable: bool
    proofs: tuple[str, ...]

    @property
    def thread(self) -> str:
        return self.references[0] if self.references else self.id

    @property
    def conversation(self) -> str:
        """The thread's handle. The sender is a part of it: knowing a thread's id lets nobody into it."""
        return f"{self.sender}/{_short(self.thread)}"


def parse(raw: object, arrival: Arrival, own: str = "", verified_by: str = "") -> Envelope | None:
    """A whole mail (or its first bytes). Raises `Invalid`.

    None for what must not be answered: mail of machines and lists, mail of our `own` address and, with `verified_by`,
    mail for whose sender that server does not vouch.
    """
    mail = read(raw)
    if not mail.answerable or mail.sender == own.lower() or (verified_by and not vouched(mail, verified_by)):
        return None
    parts: list[Part] = [Text(mail.text)] if mail.text else []
    parts += [Text(mail.foreign, outside=True)] if mail.foreign else []
    parts += [_typed(media) for media, _ in mail.attached]
    if not parts:
        if not mail.subject:
            raise Invalid("the mail is empty", code="bad_field")
        parts = [Text(mail.subject)]
    return Envelope(
        channel=NAME,
        account=arrival.account,
        platform_id=_short(mail.id),
        sender=mail.sender,
        conversation=mail.conversation,
        message=Message(message_id(NAME, arrival.account, _short(mail.id)), "user", tuple(parts), arrival.at),
        sender_name=mail.name,
        mentioned=True,
        thread=_short(mail.thread),
    )


def read(raw: object) -> Mail:
    """Take a mail apart. Raises `Invalid`."""
    if not isinstance(raw, bytes):
        raise Invalid("not a mail", code="bad_frame")
    try:
        return _read(raw)
    except Invalid:
        raise
    except Exception as error:  # noqa: BLE001  # the library was not written for mail that wants to break it
        raise Invalid(f"the mail cannot be read ({type(error).__name__})", code="bad_frame") from None


def vouched(mail: Mail, server: str) -> bool:
    """Whether the topmost Authentication-Results of `server` (RFC 8601) says that DMARC passed."""
    for proof in mail.proofs:
        by, _, results = proof.partition(";")
        if by.strip().split(" ")[0].lower() == server.lower():
            return re.search(r"(?:^|[;\s])dmarc\s*=\s*pass(?:$|[;\s(])", results, re.IGNORECASE) is not None
    return False


def _read(raw: bytes) -> Mail:
    mime = message_from_bytes(raw, policy=policy.compat32)
    addresses = getaddresses([_header(mime, "From")])
    if len(addresses) != 1 or not _ADDRESS.match(addresses[0][1]):
        raise Invalid("the mail has not one sender", code="bad_field")
    name, address = addresses[0]
    own = _ids(mime, "Message-ID")
    known = own[-1] if own else f"{hashlib.blake2b(raw, digest_size=16).hexdigest()}@unnamed"
    references = dict.fromkeys([*_ids(mime, "References"), *_ids(mime, "In-Reply-To")])
    texts, attached = _contents(mime)
    subject = _printable(_header(mime, "Subject"))[:500]
    own_words, foreign = told("\n".join(texts).replace("\x00", "")[:_TEXT], subject)
    return Mail(
        id=known,
        sender=address.lower(),
        name=_printable(name)[:128],
        subject=subject,
        text=own_words,
        foreign=foreign,
        references=tuple(one for one in references if one != known)[:100],
        attached=attached,
        answerable=_answerable(mime, address),
        proofs=tuple(_flat(one) for one in mime.get_all("Authentication-Results", ())),
    )


def _answerable(mime: Mime, address: str) -> bool:
    automatic = _header(mime, "Auto-Submitted").split(";")[0].strip().lower()
    crowd = _header(mime, "Precedence").strip().lower() in ("bulk", "list", "junk", "auto_reply")
    listed = any(
        mime.get(name) for name in ("List-Id", "List-Post", "List-Unsubscribe", "X-Autoreply", "X-Autorespond")
    )
    bounced = _header(mime, "Return-Path").strip() == "<>" or mime.get_content_type() == "multipart/report"
    machine = _MACHINES.match(address.partition("@")[0]) is not None
    return automatic in ("", "no") and not (crowd or listed or bounced or machine)


def _contents(mime: Mime) -> tuple[list[str], tuple[tuple[Media, bytes], ...]]:
    """The texts and what is attached; of alternatives the plain one."""
    texts: list[str] = []
    html: list[str] = []
    attached: list[tuple[Media, bytes]] = []
    for part in _leaves(mime):
        kind, name = part.get_content_type().lower(), _printable(_decoded(part.get_filename() or ""))[:200]
        data = part.get_payload(decode=True)
        if not isinstance(data, bytes):
            continue
        if kind.startswith("text/") and not name and part.get_content_disposition() != "attachment":
            (html if kind == "text/html" else texts).append(_text(data, str(part.get_content_charset() or "utf-8")))
        elif data and len(attached) < _ATTACHED:
            blob = hashlib.sha256(data).hexdigest()
            attached.append((Media(blob, kind[:100], name.replace("/", "_").replace("\\", "_"), len(data)), data))
    return ([one for one in texts if one.strip()] or [readable(one) for one in html]), tuple(attached)


def _leaves(mime: Mime) -> Iterator[Mime]:
    for number, part in enumerate(mime.walk()):
        if number >= _PARTS:
            return
        if not part.is_multipart():
            yield part


def _text(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset, "replace")
    except (LookupError, UnicodeError):
        return data.decode("utf-8", "replace")


def _typed(media: Media) -> Part:
    kinds: dict[str, type[Image | Audio]] = {"image": Image, "audio": Audio}
    return kinds.get(media.mime.partition("/")[0], File)(media.blob, media.mime, media.name, media.size)


def _header(mime: Mime, name: str) -> str:
    return _decoded(mime.get(name, ""))


def _flat(value: object) -> str:
    return " ".join(str(value).split())


def _decoded(value: object) -> str:
    """A header with its encoded words (RFC 2047) read, on one line."""
    try:
        pieces = decode_header(str(value)[:20_000])
    except Exception:  # noqa: BLE001  # base64 that is none, and whatever else the library meets
        return _clean(_flat(value))
    told = (piece if isinstance(piece, str) else _text(piece, charset or "latin-1") for piece, charset in pieces)
    return _clean(_flat("".join(told)))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()


def _ids(mime: Mime, name: str) -> list[str]:
    found = (_ID.findall(_clean(_flat(one)[:50_000])) for one in mime.get_all(name, ()))
    return [one for ids in found for one in ids]


def _short(name: str) -> str:
    """An id as the inbox keeps it: as it is, or its hash where it is too long or strange."""
    if len(name) <= 128 and name.isprintable() and name.isascii():
        return name
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
