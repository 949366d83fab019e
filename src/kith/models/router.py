"""Which model answers a request, which ones come after it, and why: a pure function of the request and the rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kith.core.errors import Invalid, NotFound, Refused
from kith.core.message import Audio, Image
from kith.core.model import ChatRequest, ModelCard
from kith.models.settings import ModelSettings, RouteSettings, ServingSettings
from kith.models.tokens import estimate

_LONG = 2_000  # characters beyond which tokens are reckoned by the kinds of letters alone: 100 times as fast
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
)
_LATIN = re.compile("[A-Za-z]")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model as the router sees it. `local`: requests do not leave the machine, or its owner trusts the place.

    `load` is (running and waiting requests) / slots, `waiting` the requests in its queue.
    """

    settings: ModelSettings
    card: ModelCard
    local: bool = True
    flaw: str = ""
    open: bool = False
    load: float = 0.0
    waiting: int = 0

    @property
    def name(self) -> str:
        return self.settings.name


@dataclass(frozen=True, slots=True)
class Facts:
    """What a route depends on. `tokens` is an upper estimate of prompt and reply."""

    kind: str
    model: str = ""
    needs: tuple[str, ...] = ()
    language: str = ""
    tokens: int = 0
    private: bool = True
    priority: str = "text"
    person: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One model of a route. `fallback`: not the one that was to answer."""

    model: str
    reason: str
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """The models that are asked, in order, the rule that chose them, and why others are not asked."""

    facts: Facts
    steps: tuple[Step, ...]
    rule: str = ""
    skipped: tuple[Step, ...] = field(default=())


def facts_of(request: ChatRequest, kind: str = "chat") -> Facts:
    """Read off a request what matters to its route."""
    texts = [message.text for message in request.messages]
    tokens = sum(_reckon(text) if len(text) > _LONG else estimate(text) for text in texts)
    last = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
    return Facts(
        kind=kind,
        model=request.model,
        needs=_needs(request),
        language=language(last),
        tokens=tokens + (request.sampling.max_tokens or 0),
        private=request.private,
        priority=request.priority,
        person=request.person,
    )


def _reckon(text: str) -> int:
    """Tokens of a long text: three letters of ASCII make one, any other sign one and a half."""
    plain = len(text.encode("ascii", "ignore"))
    return plain // 3 + (len(text) - plain) * 3 // 2


def language(text: str) -> str:
    """The language of a text by its script: ``zh``, ``ja``, ``ko``, ``ru``, ``ar``, ``en`` for Latin; else empty.

    One Chinese character weighs as much as four Latin letters, since it says about as much.
    """
    sample = text[:2000]
    if sample.isascii():
        return "en" if _LATIN.search(sample) else ""
    counts = {name: len(pattern.findall(sample)) for name, pattern in _SCRIPTS}
    letters = sum(character.isascii() and character.isalpha() for character in sample)
    name = "ja" if counts["ja"] * 5 > counts["zh"] > 0 or counts["ja"] > counts["zh"] else ""
    name = name or max(counts, key=lambda key: counts[key])
    if counts[name] * 4 >= letters and counts[name]:
        return name
    return "en" if letters else ""


def route(facts: Facts, candidates: Sequence[Candidate], serving: ServingSettings) -> Route:
    """The order in which models are asked.

    A request that names its model gets it, then that model's `fallback`; any other the models of the first rule that
    matches, else all that can, as the settings list them, those on this machine first. The section's `fallback`
    follows. What may not see the request is never asked; what is broken, busy, too small or cannot do what is needed
    comes last. Raises `NotFound`, `Invalid` (code ``unsupported``) or `Refused` (code ``private``).
    """
    known = {candidate.name: candidate for candidate in candidates}
    rule = None if facts.model else next((one for one in serving.routes if matches(one, facts)), None)
    wanted = _wanted(facts, candidates, known, rule, serving)
    found = [known[name] for name in dict.fromkeys(wanted) if name in known]
    allowed, skipped = _allowed(facts, found)
    if not allowed:
        raise _nobody(facts, found)
    order = _ordered(facts, allowed, rule, serving)
    asked = facts.model or order[0].name
    why = f"rule {rule.name!r}" if rule else "named by the request" if facts.model else "first that can"
    steps = [
        Step(one.name, _reason(one, facts, why if one.name == asked else "fallback"), one.name != asked)
        for one in order
    ]
    return Route(facts, tuple(steps), rule.name if rule else "", tuple(skipped))


def matches(rule: RouteSettings, facts: Facts) -> bool:
    """Whether all conditions of a rule hold; one that is not set always does."""
    return (
        rule.kind == facts.kind
        and (not rule.language or facts.language in rule.language)
        and set(rule.needs) <= set(facts.needs)
        and facts.tokens >= rule.longer
        and (not rule.shorter or facts.tokens < rule.shorter)
        and (not rule.priority or facts.priority == rule.priority)
        and (rule.private is None or rule.private == facts.private)
        and (not rule.person or facts.person in rule.person)
    )


def _wanted(
    facts: Facts,
    candidates: Sequence[Candidate],
    known: dict[str, Candidate],
    rule: RouteSettings | None,
    serving: ServingSettings,
) -> list[str]:
    if facts.model:
        first = known.get(facts.model)
        if first is None:
            names = ", ".join(known) or "none"
            raise NotFound(f"there is no model {facts.model!r}; there are: {names}", code="model_not_found")
        if not _can(first, facts):
            text = f"the model {first.name!r} is of kind {first.card.kind}, not {facts.kind}"
            raise Invalid(text, code="unsupported")
        if facts.private and not first.local:
            raise _private(first.settings)
        chain = [*first.settings.fallback, *serving.fallback]
        return [first.name, *(name for name in chain if name in known and _can(known[name], facts))]
    if rule is not None:
        chain = [*rule.use, *serving.fallback]
        return [name for name in chain if name in known and _can(known[name], facts)]
    own = [one.name for one in candidates if one.card.kind == facts.kind]
    return [*own, *(name for name in serving.fallback if name in known and _can(known[name], facts))]


def _can(candidate: Candidate, facts: Facts) -> bool:
    return candidate.card.kind == facts.kind or facts.kind in candidate.card.capabilities


def _allowed(facts: Facts, found: list[Candidate]) -> tuple[list[Candidate], list[Step]]:
    allowed = [one for one in found if one.local or not facts.private]
    skipped = [Step(one.name, "the request is private, and it runs elsewhere") for one in found if one not in allowed]
    sound = [one for one in allowed if not one.flaw or one.name == facts.model]
    if sound:
        skipped += [Step(one.name, f"cannot run: {one.flaw}") for one in allowed if one not in sound]
    return sound or allowed[:1], skipped


def _nobody(facts: Facts, found: list[Candidate]) -> NotFound | Refused:
    if found:
        return _private(found[0].settings)
    hint = "`kith models add` takes a path, a URL or a hub name"
    return NotFound(f"there is no model for {facts.kind} yet", code="model_not_found", hint=hint)


def _ordered(
    facts: Facts, found: list[Candidate], rule: RouteSettings | None, serving: ServingSettings
) -> list[Candidate]:
    """Stable: what is equal stays in the order of the settings."""
    prefer = rule.prefer if rule else "order"
    chosen = rule.use if rule else [facts.model] if facts.model else [one.name for one in found]

    def weight(one: Candidate) -> tuple[bool, bool, bool, bool, int, bool, bool, float]:
        preference = {"cost": one.settings.cost, "load": one.load}.get(prefer, 0.0)
        stranger = bool(one.settings.languages) and facts.language not in one.settings.languages
        named = one.name == facts.model
        return (
            one.open,
            _short(one, facts) and not named,
            _busy(one, serving),
            one.name not in chosen,
            0 if named else len(_lacks(one, facts)),
            stranger and not named,
            not one.local and rule is None and not named,
            preference,
        )

    return sorted(found, key=weight) if len(found) > 1 else found


def _short(one: Candidate, facts: Facts) -> bool:
    return bool(one.card.context) and facts.tokens > one.card.context


def _busy(one: Candidate, serving: ServingSettings) -> bool:
    return bool(serving.overflow) and one.waiting >= serving.overflow


def _lacks(one: Candidate, facts: Facts) -> list[str]:
    return [need for need in facts.needs if need not in one.card.capabilities]


def _reason(one: Candidate, facts: Facts, why: str) -> str:
    notes = [f"lacks {', '.join(lacks)}"] if (lacks := _lacks(one, facts)) else []
    notes += [f"takes {one.card.context} tokens, about {facts.tokens} may be needed"] if _short(one, facts) else []
    notes += ["failed repeatedly and is left alone for now"] if one.open else []
    notes += [f"{one.waiting} requests are waiting"] if one.waiting else []
    notes += [one.flaw] if one.flaw else []
    return "; ".join([why, *notes])


def _needs(request: ChatRequest) -> tuple[str, ...]:
    parts = [part for message in request.messages for part in message.parts]
    found = {
        "vision": any(isinstance(part, Image) for part in parts),
        "audio": any(isinstance(part, Audio) for part in parts),
        "tools": bool(request.tools),
        "json": request.sampling.schema is not None,
    }
    return tuple(name for name, needed in found.items() if needed)


def _private(settings: ModelSettings) -> Refused:
    return Refused(
        f"this request is private, and the model {settings.name!r} runs elsewhere ({settings.host})",
        code="private",
        hint=f"set `trusted: true` on the model {settings.name} in kith.yaml if your words may go there",
    )
