"""A reply, to a mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from typing import Any

from kith.channels.kit import convert, plain
from kith.core.message import Media
from kith.core.people import Parcel

_REFERENCES = 30


def render(
    parcel: Parcel, sender: tuple[str, str], thread: Mapping[str, Any], attached: Sequence[tuple[Media, bytes]] = ()
) -> EmailMessage:
    """A mail from `sender` (name and address) that answers in `thread` (``to``, ``subject``, ``references``).

    The same parcel always gives the same ``Message-ID``, by which mail stores know a second copy. ``Auto-Submitted``
    keeps other machines from answering (RFC 3834).
    """
    name, address = sender
    references = [str(one) for one in thread.get("references", ())]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = formataddr((_safe(name), address))
    mail["To"] = _safe(str(thread["to"]))
    mail["Subject"] = subject(str(thread.get("subject", "")))
    mail["Date"] = format_datetime(datetime.fromtimestamp(parcel.message.at, UTC))
    mail["Message-ID"] = own_id(parcel.id, address)
    if references:
        mail["In-Reply-To"] = f"<{references[-1]}>"
        kept = references if len(references) <= _REFERENCES else [references[0], *references[1 - _REFERENCES :]]
        mail["References"] = " ".join(f"<{one}>" for one in kept)
    mail["Auto-Submitted"] = "auto-replied"
    mail["X-Auto-Response-Suppress"] = "All"
    text = plain(parcel.message).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    mail.set_content(text + "\n", charset="utf-8", cte="quoted-printable")
    mail.add_alternative(
        f"<!doctype html><html><body>{convert(text, 'document')}</body></html>\n",
        subtype="html", charset="utf-8", cte="quoted-printable",
    )  # fmt: skip
    for media, data in attached:
        main, _, sub = media.mime.partition("/")
        mail.add_attachment(data, maintype=main or "application", subtype=sub or "octet-stream", filename=media.name)
    return mail


def own_id(parcel: str, address: str) -> str:
    """The ``Message-ID`` of a parcel."""
    return f"<{_safe(parcel)}@{address.rpartition('@')[2]}>"


def subject(text: str) -> str:
    """``Re:`` in front, once."""
    clean = _safe(text)[:300]
    if not clean:
        return "Re:"
    return clean if clean.lower().startswith(("re:", "aw:", "sv:", "回复:", "回复：", "答复:")) else f"Re: {clean}"


def _safe(text: str) -> str:
    """No header may be smuggled in."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
