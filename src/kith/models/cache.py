"""Replies that are remembered, where giving them again is safe.

Safe means: the caller gave a scope (see `Scope`), nothing can be done by tools, only text was said, and the question
does not depend on the moment it is asked. The key holds everything the reply was made of: the model's file, the scope,
the sampling and every message. By likeness only a lone question is compared (no earlier rounds), only with others of
the same scope and instructions, and only when it points at nothing outside itself and has the same numbers, names in
Latin letters and negations.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from kith.core.clock import Clock
from kith.core.errors import KithError
from kith.core.message import Message, Text
from kith.core.model import ChatRequest, ModelCard
from kith.models import metrics
from kith.models.settings import CacheSettings
from kith.runtime.codec import encode

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]

_LONGEST = 65_536  # characters of a reply that is remembered
_COMPARED = 256  # questions of one scope that are compared by likeness

_MOMENT = re.compile(
    r"\b(now|today|tonight|tomorrow|yesterday|currently|current|latest|recent(ly)?|news|weather|price|"
    r"this (morning|week|month|year)|(last|next) (week|month|year)|what time|what day|random|again|another|more)\b|"
    r"现在|今天|今晚|明天|昨天|刚才|刚刚|目前|当前|最近|最新|新闻|天气|价格|几点|几号|星期几|本周|这周|上周|下周|"
    r"本月|这个月|今年|去年|明年|随机|再来|再说|再讲|另一个|换一个|继续",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(it|its|this|that|these|those|they|them|he|she|him|her|here|there|above|previous|earlier|my|me|mine|i|we|our)\b|"
    r"这|那|它|他|她|上面|之前|前面|我",
    re.IGNORECASE,
)
_EXACT = re.compile(r"\d+(?:[.,:]\d+)*|[A-Z][\w-]*|[零一二三四五六七八九十百千万亿两]+")
_NOT = re.compile(r"\b(?:no|not|never|without|except|non)\b|n't\b|不|没|无|非|别|未|除", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """A remembered reply: its text, the model that made it, and when (monotonic seconds)."""

    text: str
    model: str
    at: float
    person: str = ""
    bucket: str = ""
    question: str = ""
    vector: tuple[float, ...] = ()


@dataclass(slots=True)
class Figures:
    """What was measured. `stale` look-ups found a reply that was too old."""

    exact: int = 0
    semantic: int = 0
    misses: int = 0
    stale: int = 0
    unsafe: int = 0
    ages: deque[float] = field(default_factory=lambda: deque[float](maxlen=1000))

    @property
    def rate(self) -> float:
        """Hits by look-ups."""
        looked = self.exact + self.semantic + self.misses + self.stale
        return (self.exact + self.semantic) / looked if looked else 0.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where the reply to a request is, or will be, kept."""

    key: str
    bucket: str
    question: str
    person: str
    model: str
    vector: tuple[float, ...] = ()


class ResponseCache:
    """At most `entries` replies, the least recently used go first. `embed` turns questions into vectors, if it can."""

    def __init__(self, settings: CacheSettings, clock: Clock, embed: Embed | None = None) -> None:
        self._settings, self._clock, self._embed = settings, clock, embed
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._buckets: dict[str, OrderedDict[str, None]] = {}
        self.figures = Figures()

    def __len__(self) -> int:
        return len(self._replies)

    def ticket(self, request: ChatRequest, card: ModelCard) -> Ticket | None:
        """The place of the reply of this model to this request; None when it may not be remembered."""
        if not self._settings.enabled or request.scope is None:
            return None
        if not safe(request):
            self.figures.unsafe += 1
            return None
        question = request.messages[-1].text
        made = [card.name, card.path, card.digest, card.version, encode(request.scope).decode()]
        made += [encode(request.sampling).decode(), *_words(request.messages[:-1])]
        bucket = _hash(*made) if _alone(request) else ""
        return Ticket(_hash(*made, question), bucket, question, request.scope.person, card.name)

    async def find(self, ticket: Ticket) -> tuple[Reply | None, Ticket]:
        """The remembered reply if there is one, and the ticket with which to `keep` a new one."""
        found = self._fresh(ticket.key)
        if found is not None:
            return self._hit(found, "exact"), ticket
        ticket = await self._vectored(ticket)
        if ticket.vector and (found := self._like(ticket)):
            return self._hit(found, "semantic"), ticket
        self.figures.misses += 1
        metrics.cache.add(model=ticket.model, result="miss")
        return None, ticket

    def keep(self, ticket: Ticket, text: str) -> None:
        """Remember the reply `text`."""
        if not text or len(text) > _LONGEST:
            return
        reply = Reply(text, ticket.model, self._clock.monotonic(), ticket.person, ticket.bucket)
        if ticket.vector:
            reply = replace(reply, question=ticket.question, vector=ticket.vector)
            bucket = self._buckets.setdefault(ticket.bucket, OrderedDict())
            bucket[ticket.key] = None
            if len(bucket) > _COMPARED:
                self._drop(next(iter(bucket)))
        self._replies[ticket.key] = reply
        self._replies.move_to_end(ticket.key)
        if len(self._replies) > self._settings.entries:
            self._drop(next(iter(self._replies)))

    def forget(self, *, model: str | None = None, person: str | None = None) -> int:
        """Drop what a model made, or what is kept for a person; returns how many replies that were."""
        gone = [key for key, reply in self._replies.items() if reply.model == model or reply.person == person]
        for key in gone:
            self._drop(key)
        return len(gone)

    def _fresh(self, key: str) -> Reply | None:
        reply = self._replies.get(key)
        if reply is not None and self._clock.monotonic() - reply.at > self._settings.lifetime:
            self._drop(key)
            self.figures.stale += 1
            metrics.cache.add(model=reply.model, result="stale")
            return None
        if reply is not None:
            self._replies.move_to_end(key)
        return reply

    def _hit(self, reply: Reply, result: str) -> Reply:
        age = self._clock.monotonic() - reply.at
        setattr(self.figures, result, getattr(self.figures, result) + 1)
        self.figures.ages.append(age)
        metrics.cache.add(model=reply.model, result=result)
        metrics.cache_age.observe(age, model=reply.model)
        return reply

    async def _vectored(self, ticket: Ticket) -> Ticket:
        """With the vector of its question, where likeness is asked for and can be told."""
        if not (self._settings.semantic and self._embed and ticket.bucket):
            return ticket
        try:
            rows = await self._embed([ticket.question])
        except KithError:
            return ticket
        norm = sum(value * value for value in rows[0]) ** 0.5
        return replace(ticket, vector=tuple(value / norm for value in rows[0]) if norm else ())

    def _like(self, ticket: Ticket) -> Reply | None:
        best, found = self._settings.semantic, ""
        for key in tuple(self._buckets.get(ticket.bucket, ())):
            reply = self._replies[key]
            if len(reply.vector) != len(ticket.vector) or not _same_facts(reply.question, ticket.question):
                continue
            likeness = sum(one * two for one, two in zip(reply.vector, ticket.vector, strict=True))
            if likeness >= best:
                best, found = likeness, key
        return self._fresh(found) if found else None

    def _drop(self, key: str) -> None:
        reply = self._replies.pop(key)
        bucket = self._buckets.get(reply.bucket)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del self._buckets[reply.bucket]


def safe(request: ChatRequest) -> bool:
    """Whether the reply depends on nothing but the request and its scope."""
    if request.tools or not request.messages or request.messages[-1].role != "user":
        return False
    if any(not isinstance(part, Text) for message in request.messages for part in message.parts):
        return False
    return not _MOMENT.search(request.messages[-1].text)


def _alone(request: ChatRequest) -> bool:
    """Whether it is a lone question that points at nothing outside itself."""
    roles = [message.role for message in request.messages[:-1]]
    return all(role == "system" for role in roles) and not _POINTING.search(request.messages[-1].text)


def _same_facts(one: str, two: str) -> bool:
    """Whether numbers, names and the number of negations agree: embeddings hardly see them."""
    if len(_NOT.findall(one)) != len(_NOT.findall(two)):
        return False
    return _exact(one) == _exact(two)


def _exact(text: str) -> list[str]:
    """Its numbers and names; the capital at the beginning of a sentence makes no name."""
    return sorted(map(str.lower, _EXACT.findall(text[:1].lower() + text[1:])))


def _words(messages: Sequence[Message]) -> list[str]:
    return [f"{message.role}\x1f{message.text}" for message in messages]


def _hash(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
