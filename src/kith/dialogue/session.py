"""What a dialogue remembers of itself between two messages: small, JSON-shaped, kept with the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from kith.dialogue.understanding.normal import language as seen
from kith.runtime.locale import language

_FORM = ("asking", "slots", "paused", "queue", "seen", "language")  # of the flow's part, what an open form needs
_PEOPLE = 50  # of a group, whose place in the flow is kept beside that of who spoke last
PAUSE = 900.0  # seconds of silence that count as a break


@dataclass(slots=True)
class Session:
    """The dialogue's state: the flow's own part, the rounds so far, when and in which language it last spoke.

    `mood` is the person's, -1 to 1; `began` is when this stretch of talk without a pause began. `tainted` is the round,
    from 1, in which something was last read that others wrote; `asked` the call that waits for the person's word;
    `worried` is the round, from 1, in which it was last asked whether somebody is in danger, `threat` whether
    the question was about another who hurts. In a group `flow` is
    that of the person `owner`, who spoke last, and `others` are those of the others, the latest speaker last.
    """

    flow: dict[str, Any] = field(default_factory=dict[str, Any])
    rounds: int = 0
    seen: float = 0.0
    locale: str = ""
    mood: float = 0.0
    began: float = 0.0
    tainted: int = 0
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    worried: int = 0
    threat: bool = False
    owner: str = ""
    others: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    @classmethod
    def restore(cls, state: Mapping[str, Any], now: float, idle: float) -> Session:
        """From what `keep` gave. After `idle` seconds of silence the flow starts anew; what was said stays known.

        An open form stays for the flow to close, because the person is told so.
        """
        flow = state.get("flow")
        seen = float(state.get("seen", 0.0))
        session = cls(rounds=int(state.get("rounds", 0)), seen=seen, locale=str(state.get("locale", "")))
        session.mood, session.began = float(state.get("mood", 0.0)), float(state.get("began", 0.0))
        session.tainted, session.worried = int(state.get("tainted", 0)), int(state.get("worried", 0))
        session.threat = bool(state.get("threat", False))
        if isinstance(asked := state.get("asked"), Mapping):
            session.asked = dict(cast("Mapping[str, Any]", asked))
        if now - seen > PAUSE or not session.began or session.began > now:
            session.began = now
        if isinstance(flow, Mapping):
            kept = dict(cast("Mapping[str, Any]", flow))
            open_form = {name: kept[name] for name in _FORM if name in kept} if "asking" in kept else {}
            session.flow = kept if now - seen <= idle else open_form
        session.owner = str(state.get("owner", ""))
        if isinstance(others := state.get("others"), Mapping):
            found = cast("Mapping[str, object]", others).items()
            session.others = {
                who: dict(cast("Mapping[str, Any]", one)) for who, one in found if isinstance(one, Mapping)
            }
        return session

    def turn_to(self, person: str, now: float, idle: float) -> None:
        """In a group: take up the flow of the person who speaks now. A form belongs to the one who began it.

        What the flow said last was said to everybody.
        """
        if self.owner == person or not person:
            return
        before, last = self.flow, self.flow.get("last")
        if self.owner:
            self.others[self.owner] = {key: value for key, value in before.items() if key != "last"}
            kept = self.others.pop(person, {})
            fresh = now - float(kept.get("seen", now)) <= idle
            self.flow = kept if fresh else {key: kept[key] for key in _FORM if key in kept and "asking" in kept}
            self.flow |= {"last": last} if last else {}
        self.owner = person
        while len(self.others) > _PEOPLE:
            self.others.pop(next(iter(self.others)))

    def keep(self) -> Mapping[str, Any]:
        """As it is stored."""
        kept = {"flow": self.flow, "rounds": self.rounds, "seen": self.seen, "locale": self.locale}
        kept |= {"tainted": self.tainted} if self.tainted else {}
        kept |= {"asked": self.asked} if self.asked else {}
        kept |= {"worried": self.worried} if self.worried else {}
        kept |= {"threat": True} if self.threat else {}
        kept |= {"owner": self.owner} if self.owner else {}
        kept |= {"others": self.others} if self.others else {}
        return {**kept, "mood": round(self.mood, 3), "began": self.began}


def spoken_language(text: str, fallback: str = "") -> str:
    """``zh`` or ``en``, as the text shows; that of the locale `fallback` where it does not."""
    return seen(text, language(fallback))
