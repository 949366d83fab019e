"""Every model of this household behind one door: what there is, who is asked, and what may be said again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

from kith.core.clock import Clock
from kith.core.errors import Invalid, KithError, NotFound, Refused
from kith.core.events import ModelChanged
from kith.core.message import Delta, Usage
from kith.core.model import ChatRequest, ModelCard, Picture
from kith.core.ports import Cipher
from kith.models.backend import Backend, Classifies, Draws, Embeds, Fetch, Keeps, Ranks
from kith.models.cache import ResponseCache, Ticket
from kith.models.keeper import Keeper, Senses
from kith.models.maker import Entry, Maker
from kith.models.means import nowhere
from kith.models.pool import Pool, Replica
from kith.models.power import profile
from kith.models.prefixes import Prefixes
from kith.models.router import Candidate, Facts, Route, Step, facts_of, route
from kith.models.settings import ModelSettings, ServingSettings
from kith.models.shelf import Shelf
from kith.models.swap import Swapped, Swapper
from kith.models.tokens import estimate
from kith.models.traffic import Asked, Traffic
from kith.runtime.http import http_client
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import get_logger, span

__all__ = ["ModelService", "estimate"]

log = get_logger(__name__)


class ModelService:
    """The port `Models`. `models` are the settings' list; those in `folder`'s own register follow it.

    `publish` gets a `ModelChanged` whenever a model becomes ready, fails or stops. Only with a `cipher` is what models
    have read kept over a restart.
    """

    def __init__(
        self,
        models: Sequence[ModelSettings],
        clock: Clock,
        supervisor: Supervisor,
        folder: Path,
        *,
        publish: Callable[[ModelChanged], None] | None = None,
        serving: ServingSettings | None = None,
        fetch: Fetch = nowhere,
        cipher: Cipher | None = None,
    ) -> None:
        self._wanted = tuple(models)
        self._clock = clock
        self._folder = folder
        self._publish = publish
        self._serving = serving or ServingSettings()
        self._client = http_client(kept=self._serving.connections)
        self._entries: dict[str, Entry] = {}
        kept = self._serving.prefixes
        self._prefixes = Prefixes(folder, cipher, kept) if cipher is not None and kept.size else None
        self._maker = Maker(clock, supervisor, self._client, folder, self._serving, self._changed, fetch)
        self._maker.prefixes = self._prefixes
        self._keeper = Keeper(self._entries, self._maker, clock, self._serving, Senses())
        self._traffic = Traffic(self._entries, self._keeper, clock)
        self.cache = ResponseCache(self._serving.cache, clock, self._embed_for_cache)
        self._background: set[asyncio.Task[None]] = set()
        self._swapper = Swapper(self._maker, clock, folder, self._keeper.spare, self._later, self._renewed)

    async def start(self) -> None:
        """Read every model's card, and begin to load those marked `preload`. A model that is wrong stops nobody."""
        if self._prefixes is not None:
            await asyncio.to_thread(self._prefixes.tidy)
        for settings in self._wanted:
            await self.add_model(settings)
        self._later(self._keeper.run())
        try:
            shelved = await asyncio.to_thread(Shelf(self._folder).settings)
        except Invalid as error:
            log.warning("models", error=str(error))
            return
        for settings in shelved:
            if settings.name not in self._entries:
                await self.add_model(settings)

    async def stop(self) -> None:
        """Unload everything."""
        for task in tuple(self._background):
            task.cancel()
        await self._keeper.stop()
        pools = [entry.pool for entry in self._entries.values() if entry.pool is not None]
        self._entries.clear()
        await asyncio.gather(*(replica.backend.stop() for pool in pools for replica in pool.replicas))
        await self._client.aclose()

    async def add_model(self, settings: ModelSettings) -> ModelCard:
        """Add a model, or replace the one of the same name. What is wrong with it is told when it is asked."""
        old = self._entries.get(settings.name)
        entry = await asyncio.to_thread(self._maker.entry, settings)
        if old is not None and old.pool is not None:
            await self._replace(old.pool, entry)
        self._entries[settings.name] = entry
        self.cache.forget(model=settings.name)
        if entry.error is not None:
            log.warning("model", name=settings.name, error=entry.error.message)
            self._changed(settings.name, "failed", entry.error.message)
        elif settings.preload or (settings.path and profile(self._serving.power).preload):
            self._later(self._preload(entry))
        return entry.card

    async def refresh(self) -> Sequence[str]:
        """Take in what was added to the register since; returns the names. Raises `Invalid` when it cannot be read."""
        found = await asyncio.to_thread(Shelf(self._folder).settings)
        fresh = [settings for settings in found if settings.name not in self._entries]
        for settings in fresh:
            await self.add_model(settings)
        return [settings.name for settings in fresh]

    async def remove(self, name: str) -> None:
        """Take a model that was added off the shelf, and let what it has begun end. Raises `NotFound` or `Refused`."""
        if any(settings.name == name for settings in self._wanted):
            raise Refused(f"the model {name!r} stands in kith.yaml; take it out there", code="in_settings")
        await asyncio.to_thread(Shelf(self._folder).remove, name)
        entry = self._entries.pop(name, None)
        self.cache.forget(model=name)
        if entry is not None and entry.pool is not None:
            self._later(self._discard(name, entry.pool))
        self._changed(name, "stopped", "")

    async def versions(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The kept versions of a model, oldest first; ``used`` marks the one in use."""

        def read() -> list[Mapping[str, Any]]:
            versions = Shelf(self._folder).versions(name)
            current = versions.current
            return [{**row.model_dump(mode="json"), "used": row.version == current} for row in versions.all()]

        return await asyncio.to_thread(read)

    async def forget(self, person: str, _: Sequence[str] = ()) -> None:
        """Delete what may hold words of a person: replies remembered for them, and all that models have read."""
        self.cache.forget(person=person)
        if self._prefixes is not None:
            await asyncio.to_thread(self._prefixes.forget)
            self._later(self._unlearn())

    async def swap(self, name: str, version: str = "", *, drain: bool = False) -> Swapped:
        """Change a model to another version, by default its newest, while it serves.

        With `drain`, where two copies do not fit, requests wait meanwhile. Raises as `kith.models.swap.Swapper.swap`.
        """
        entry = self._entries.get(name)
        if entry is None:
            known = ", ".join(self._entries) or "none"
            raise NotFound(f"there is no model {name!r}; there are: {known}", code="model_not_found")
        return await self._swapper.swap(entry, version, drain=drain)

    def cards(self) -> Sequence[ModelCard]:
        """What is known of every model, in the order of the settings; also of one that cannot run."""
        return [entry.card for entry in self._entries.values()]

    def flaws(self) -> dict[str, str]:
        """Why models cannot run, by name."""
        return {name: entry.error.message for name, entry in self._entries.items() if entry.error is not None}

    def route(self, request: ChatRequest, kind: str = "chat") -> Route:
        """Which models would answer this request, in order, and why.

        Raises `NotFound` (code ``model_not_found``) with the names there are, `Refused` (code ``private``) when the
        request may not leave this machine, `Invalid` (code ``unsupported``).
        """
        return self._route(facts_of(request, kind))

    def chat(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        """Stream a reply: a remembered one, or that of the first model of the route that can give one.

        When the first piece is asked for it raises as `route`, `Invalid` (code ``context_length_exceeded``),
        `Unavailable`.
        """
        return self._traffic.chat(self._steps, request) if request.scope is None else self._remembered(request)

    def _steps(self, request: ChatRequest) -> Sequence[Step]:
        """As `route`. Where one model alone can be asked, what the request is like decides nothing."""
        named = self._entries.get(request.model)
        alone = named is not None and not named.settings.fallback and not self._serving.fallback
        if named is None or not alone or named.card.kind != "chat" or (request.private and not named.settings.local):
            return self.route(request).steps
        return (Step(request.model, "named by the request"),)

    async def _remembered(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        chosen = self.route(request)
        ticket = self.cache.ticket(request, self._entries[chosen.steps[0].model].card)
        if ticket is not None:
            reply, ticket = await self.cache.find(ticket)
            if reply is not None:
                yield Delta(reply.text, model=reply.model)
                yield Delta(finish="stop", usage=Usage(), model=reply.model)
                return
        async with aclosing(self._traffic.chat(lambda _: chosen.steps, request)) as deltas:
            async for delta in deltas if ticket is None else self._kept(deltas, ticket):
                yield delta

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        """One vector for each text, by `model` or the first that makes vectors. Raises as `chat`."""
        async with self.using("embed", model) as backend:
            if not isinstance(backend, Embeds):
                raise Invalid(f"the model {model!r} makes no vectors", code="unsupported")
            with span("model.embed", model=model):
                return await backend.embed(texts)

    async def rank(self, query: str, texts: Sequence[str], model: str = "") -> Sequence[float]:
        """How well each text answers the query, by `model` or the first that ranks. Raises as `chat`."""
        async with self.using("rerank", model) as backend:
            if not isinstance(backend, Ranks):
                raise Invalid(f"the model {model!r} does not rank", code="unsupported")
            with span("model.rank", model=model):
                return await backend.rank(query, texts)

    async def classify(self, texts: Sequence[str], model: str = "") -> Sequence[Mapping[str, float]]:
        """The labels of each text with probabilities, by `model` or the first that gives any. Raises as `chat`."""
        async with self.using("classify", model) as backend:
            if not isinstance(backend, Classifies):
                raise Invalid(f"the model {model!r} gives no labels", code="unsupported")
            with span("model.classify", model=model):
                return await backend.classify(texts)

    async def draw(self, picture: Picture, model: str = "") -> bytes:
        """A picture as PNG, by `model` or the first that draws. Raises as `chat`."""
        async with self.using("image", model) as backend:
            if not isinstance(backend, Draws):
                raise Invalid(f"the model {model!r} does not draw", code="unsupported")
            with span("model.draw", model=model):
                return await backend.draw(picture)

    def using(self, kind: str, model: str = "", asked: Asked | None = None) -> AbstractAsyncContextManager[Backend]:
        """A loaded copy of `model`, or of the first that does `kind`, held for one private request. Raises as `route`.

        No other model takes its place: vectors and labels of two models do not mean the same.
        """
        step = self._route(Facts(kind, model)).steps[0]
        return self._traffic.using(self._entries[step.model], asked or Asked())

    async def count(self, text: str, model: str = "") -> int:
        """Tokens of `text`: exact where the model is loaded, else `estimate`. Raises `NotFound` for an unknown name."""
        entry = self._entries.get(model) if model else next(iter(self._entries.values()), None)
        if model and entry is None:
            known = ", ".join(self._entries) or "none"
            raise NotFound(f"there is no model {model!r}; there are: {known}", code="model_not_found")
        if entry is not None and entry.backend is not None:
            try:
                found = await entry.backend.count(text)
            except KithError as error:
                log.debug("count", model=entry.settings.name, error=error.message)
                found = None
            if found is not None:
                return found
        return estimate(text)

    async def _kept(self, deltas: AsyncGenerator[Delta], ticket: Ticket) -> AsyncGenerator[Delta]:
        """The same, remembered when it ended well and was made by the model that was asked."""
        texts: list[str] = []
        async for delta in deltas:
            texts.append(delta.text)
            yield delta
            if delta.finish == "stop" and not delta.calls and not delta.fallback:
                self.cache.keep(ticket, "".join(texts))

    async def _embed_for_cache(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return await self.embed(texts)

    async def _unlearn(self) -> None:
        """Start every process anew that may hold what it has read, and delete what it kept on its way out."""
        for entry in tuple(self._entries.values()):
            for replica in tuple(entry.pool.live) if entry.pool else ():
                if entry.pool and replica.loaded and isinstance(replica.backend, Keeps):
                    try:
                        await self._keeper.recycle(entry, entry.pool, replica)
                    except KithError as error:
                        log.warning("not started anew", name=entry.settings.name, error=error.message)
        if self._prefixes is not None:
            await asyncio.to_thread(self._prefixes.forget)

    def _route(self, facts: Facts) -> Route:
        entries, named = self._entries, self._entries.get(facts.model)
        if named is not None:  # nobody else can be asked, and where there are many models, looking at all takes long
            names = dict.fromkeys((facts.model, *named.settings.fallback, *self._serving.fallback))
            entries = {name: self._entries[name] for name in names if name in self._entries}
        return route(facts, [_candidate(entry) for entry in entries.values()], self._serving)

    async def _preload(self, entry: Entry) -> None:
        if entry.pool is None:
            return
        try:
            await self._keeper.ready(entry, entry.pool.live[0])
        except KithError as error:
            log.warning("model", name=entry.settings.name, error=error.message)

    async def _replace(self, pool: Pool, entry: Entry) -> None:
        """Let `entry` take over: who waits is served by the new model, who runs finishes at the old one."""
        old = pool.live
        if entry.pool is not None:
            old = await pool.exchange(entry.pool.backend)
            entry.pool = pool
        for replica in old:
            self._later(_put_away(pool, replica))

    async def _discard(self, name: str, pool: Pool) -> None:
        for replica in pool.live:
            await _put_away(pool, replica)
        if self._prefixes is not None:
            await asyncio.to_thread(self._prefixes.forget, name)

    def _renewed(self, name: str) -> None:
        self.cache.forget(model=name)
        self._changed(name, "ready", "")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _changed(self, name: str, state: str, reason: str) -> None:
        if self._publish is not None:
            self._publish(ModelChanged(name, state, reason))


async def _put_away(pool: Pool, replica: Replica) -> None:
    """Stop a copy that was replaced, once it has finished what it had begun."""
    while replica.running or (not replica.retiring and pool.busy):
        await replica.drained()
        await asyncio.sleep(0)
    await replica.backend.stop()


def _candidate(entry: Entry) -> Candidate:
    queue = entry.pool.queue if entry.pool else None
    return Candidate(
        entry.settings,
        entry.card,
        local=entry.settings.local,
        flaw=entry.error.message if entry.error else "",
        open=entry.breaker.state == "open",
        load=(queue.running + queue.waiting) / max(1, queue.capacity) if queue else 0.0,
        waiting=queue.waiting if queue else 0,
    )
