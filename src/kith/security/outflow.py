"""The way out of one reply, piece by piece: no control characters, no secrets, nothing that the filter withholds.

What comes in pieces is let go at once, except an end that may be the beginning of something to be hidden: that waits
for the next piece, never longer than `LONGEST` characters. So the parts of a key cannot slip out one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from kith.core.message import Envelope
from kith.runtime.leaks import CONTACTS, MARK, NUMBERS, SECRETS, begins, leaks, open_from, replaced, values
from kith.runtime.locale import tr
from kith.runtime.tongue import spoken

LONGEST = 1024
_BEFORE = 80  # characters that have gone out and decide what the next ones mean
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_RUN = re.compile(r"[A-Za-z0-9_\-+/=.]*")
_STEP, _SEEN, _PATIENCE, _SUSPECT = 48, 300, 240, 0.25  # characters; a score
_ENDS = tuple(".!?。！？")
Watch = Callable[[str], tuple[str, float]]
"""Judges a text that goes out: its category, empty for a harmless one, and how sure that is."""
Known = Callable[[], Collection[str]]
_CLOSED = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")


def clean(text: str) -> str:
    """Without control characters (terminals obey them) and lone surrogates (nothing can encode them)."""
    if text.isprintable():  # neither is
        return text
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode("utf-8")


class Outflow:
    """Implements the port `Release`."""

    def __init__(
        self, kinds: Collection[str], known: Known = frozenset, watch: Watch | None = None, *, cut: bool = False
    ) -> None:
        self._kinds, self._given = kinds, known
        self._watch, self._cut = watch, cut
        self._read, self._fresh, self._wait, self._over = "", 0, "", False
        self._contacts = not CONTACTS.isdisjoint(kinds)
        self._gone, self._held = "", ""
        self._dropping: re.Pattern[str] | None = None

    @property
    def withheld(self) -> bool:
        """As the port says."""
        return self._over

    def feed(self, text: str) -> str:
        """As the port says."""
        shown, step = self._hide(text), _STEP if self._cut else _PATIENCE
        if self._watch is None or len(shown) <= step:
            return self._judged(shown, last=False)
        pieces = (shown[at : at + step] for at in range(0, len(shown), step))  # each is looked at, not the end alone
        return "".join([self._judged(piece, last=False) for piece in pieces])

    def finish(self) -> str:
        """As the port says."""
        rest, self._held = self._held, ""
        return self._judged("" if self._dropping is not None else self._pass(rest, len(rest)), last=True)

    def _judged(self, text: str, *, last: bool) -> str:
        """`text` after the filter has had a look, every `_STEP` characters and at the end of a sentence.

        Until there is suspicion nothing waits for it. What is suspected waits for the next look, `_PATIENCE` at most.
        """
        if self._watch is None or self._over:
            return "" if self._over else text
        self._read = (self._read + text)[-_SEEN:]
        self._fresh += len(text)
        waiting, suspected, self._wait = self._wait + text, bool(self._wait), ""
        step = _STEP if self._cut else _PATIENCE  # what is only counted is looked at once, as a whole
        if self._fresh < step and not (last and self._fresh) and not (self._cut and text.rstrip()[-1:] in _ENDS):
            self._wait = waiting if suspected and not last else ""
            return "" if self._wait else waiting
        self._fresh = 0
        category, score = self._watch(self._read)
        if category and self._cut:
            self._over = True
            language = spoken(self._read, "en")
            return "\n" + tr("security.withheld", language)
        if self._cut and score > _SUSPECT and not last and len(waiting) < _PATIENCE:
            self._wait = waiting
            return ""
        return waiting

    def _hide(self, text: str) -> str:
        text = self._held + clean(text)
        self._held = ""
        if self._dropping is not None:
            text = self._drop(text)
        place = max(open_from(self._gone + text, contacts=self._contacts) - len(self._gone), 0)
        if len(text) - place > LONGEST:
            return self._overflow(text, place)
        return self._pass(text, place)

    def _pass(self, text: str, place: int) -> str:
        """Let go what stands before `place`, or before the secret through which it goes; hold the rest."""
        whole, start = self._gone + text, len(self._gone)
        found = leaks(whole, self._kinds, start)
        stop = min([start + place, *(leak.start for leak in found if leak.start < start + place < leak.end)])
        self._gone, self._held = whole[max(stop - _BEFORE, 0) : stop], whole[stop:]
        return replaced(whole, found, self._known if found else (), start, stop)

    @cached_property
    def _known(self) -> Collection[str]:
        """What may be heard again; looked for when something is found, because most replies hold nothing."""
        return self._given()

    def _overflow(self, text: str, place: int) -> str:
        """Too long to be held: what is hidden of it is dropped until it ends, anything else goes."""
        held = text[place:]
        if held.startswith("-----BEGIN"):
            self._dropping, kind = _CLOSED, "private_key"
        elif begins(held) or "://" in held[:20]:
            self._dropping, kind = _RUN, "key"
        else:
            return self._pass(text, len(text))
        shown = self._pass(text[:place], place)
        self._held = ""
        return shown + MARK.format(kind)

    def _drop(self, text: str) -> str:
        """The rest behind the end of what is being dropped, empty while that has not come."""
        assert self._dropping is not None
        if self._dropping is _RUN:
            match = _RUN.match(text)
            rest = text[match.end() :] if match else text
            self._dropping = None if rest else _RUN
            return rest
        end = self._dropping.search(text)
        if end is None:
            self._held = text[-60:]
            return ""
        self._dropping, self._gone = None, ""
        return text[end.end() :]


def outflow(envelope: Envelope, known: Sequence[str], watch: Watch | None = None, *, cut: bool = False) -> Outflow:
    """The way out of a reply to `envelope`.

    In a talk of two, people hear again what they said. In a group, whose members are not all known, secrets and numbers
    stay hidden, and so do addresses that nobody has named there.
    """
    kinds = SECRETS | NUMBERS
    if envelope.kind == "direct":
        return Outflow(kinds, lambda: values(known, kinds), watch, cut=cut)
    return Outflow(kinds | CONTACTS, lambda: values(known, CONTACTS), watch, cut=cut)


def to_program(known: Sequence[str], watch: Watch | None = None, *, cut: bool = False) -> Outflow:
    """The way out of a model's reply to a program, which hears again what it said itself."""
    return Outflow(SECRETS | NUMBERS, lambda: values(known, SECRETS | NUMBERS), watch, cut=cut)
