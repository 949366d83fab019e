"""Every model of this household behind one door: which one answers, when it is loaded, what is tried again."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from kith.core.clock import Clock
from kith.core.errors import Fault, Invalid, KithError, Missing, NotFound, Refused, Unavailable
from kith.core.events import ModelChanged
from kith.core.manifest import Manifest
from kith.core.message import Delta
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import Backend, ChatModel, Embeds, Means
from kith.models.settings import ModelSettings
from kith.models.shelf import Shelf
from kith.runtime.http import http_client
from kith.runtime.registry import Registry
from kith.runtime.supervisor import Supervisor
from kith.runtime.telemetry import counter, get_logger, span

_AGAIN = frozenset({"worker_lost"})  # failures after which one more try makes sense
_KINDS = {"llama": "chat", "embedding": "embed"}

log = get_logger(__name__)
_requests = counter("kith_model_requests_total", "Requests to models by outcome", ("model", "outcome"))
_retries = counter("kith_model_retries_total", "Requests tried again after a lost worker", ("model",))


@dataclass(slots=True)
class _Entry:
    """One configured model: its backend, or why there is none."""

    settings: ModelSettings
    card: ModelCard
    backend: Backend | None = None
    error: KithError | None = None
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


class ModelService:
    """The port `Models`. `models` are the settings' list; those in `folder`'s own register follow it.

    `publish` gets a `ModelChanged` whenever a model becomes ready, fails or stops.
    """

    def __init__(
        self,
        models: Sequence[ModelSettings],
        clock: Clock,
        supervisor: Supervisor,
        folder: Path,
        *,
        client: httpx.AsyncClient | None = None,
        publish: Callable[[ModelChanged], None] | None = None,
    ) -> None:
        self._wanted = tuple(models)
        self._clock = clock
        self._supervisor = supervisor
        self._folder = folder
        self._given = client
        self._client = client
        self._publish = publish
        self._registry = Registry("models")
        self._entries: dict[str, _Entry] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read every model's card, and begin to load those marked `preload`. A model that is wrong stops nobody."""
        self._client = self._client or http_client()
        for settings in self._wanted:
            await self.add_model(settings)
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
        for task in self._background:
            task.cancel()
        backends = [entry.backend for entry in self._entries.values() if entry.backend is not None]
        self._entries.clear()
        await asyncio.gather(*(backend.stop() for backend in backends))
        if self._given is None and self._client is not None:
            await self._client.aclose()
            self._client = None

    async def add_model(self, settings: ModelSettings) -> ModelCard:
        """Add a model, or replace the one of the same name. What is wrong with it is told when it is asked."""
        old = self._entries.get(settings.name)
        entry = self._entries[settings.name] = await asyncio.to_thread(self._open, settings)
        if old is not None and old.backend is not None:
            await old.backend.stop()
        if entry.error is not None:
            log.warning("model", name=settings.name, error=entry.error.message)
            self._changed(settings.name, "failed", entry.error.message)
        elif settings.preload:
            task = asyncio.create_task(self._preload(entry))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        return entry.card

    def cards(self) -> Sequence[ModelCard]:
        """What is known of every model, in the order of the settings; also of one that cannot run."""
        return [entry.card for entry in self._entries.values()]

    def flaws(self) -> dict[str, str]:
        """Why models cannot run, by name."""
        return {name: entry.error.message for name, entry in self._entries.items() if entry.error is not None}

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        """Stream a reply. A worker that is lost before the first token is tried once more.

        Raises `NotFound` (code ``model_not_found``) with the names there are, `Refused` (code ``private``) when the
        request may not leave this machine, `Invalid` (code ``context_length_exceeded``), `Unavailable`.
        """
        entry = self._route(request.model, "chat", private=request.private)
        asked = replace(request, model=entry.settings.name)
        spoke, outcome = False, "cancelled"
        try:
            for attempt in (1, 2):
                try:
                    async with aclosing(self._attempt(entry, asked)) as deltas:
                        async for delta in deltas:
                            spoke = True
                            yield delta
                    outcome = "ok"
                    return
                except Unavailable as error:
                    if spoke or attempt == 2 or error.code not in _AGAIN:
                        raise
                    _retries.add(model=entry.settings.name)
        except KithError as error:
            outcome = error.code
            raise
        finally:
            _requests.add(model=entry.settings.name, outcome=outcome)

    async def embed(self, texts: Sequence[str], model: str = "") -> Sequence[Sequence[float]]:
        """One vector for each text, by `model` or the first that makes vectors. Raises as `chat`."""
        entry = self._route(model, "embed", private=True)
        backend = await self._ready(entry)
        if not isinstance(backend, Embeds):
            raise Invalid(f"the model {entry.settings.name!r} makes no vectors", code="unsupported")
        with span("model.embed", model=entry.settings.name):
            return await backend.embed(texts)

    async def count(self, text: str, model: str = "") -> int:
        """Tokens of `text`: exact where the model is loaded, else `estimate`. Raises `NotFound` for an unknown name."""
        entry = self._entries.get(model) if model else next(iter(self._entries.values()), None)
        if model and entry is None:
            raise self._unknown(model)
        if entry is not None and entry.backend is not None:
            try:
                found = await entry.backend.count(text)
            except KithError as error:
                log.debug("count", model=entry.settings.name, error=error.message)
                found = None
            if found is not None:
                return found
        return estimate(text)

    async def _attempt(self, entry: _Entry, request: ChatRequest) -> AsyncGenerator[Delta]:
        try:
            async with asyncio.timeout(request.deadline - self._clock.monotonic() if request.deadline else None):
                backend = await self._ready(entry)
        except TimeoutError:
            raise Unavailable(f"{entry.settings.name} was not loaded in time", code="deadline") from None
        if not isinstance(backend, ChatModel):
            raise Invalid(f"the model {entry.settings.name!r} does not talk", code="unsupported")
        with span("model.chat", model=entry.settings.name):
            deltas = backend.stream(request)
            try:
                async for delta in _within(deltas, request.deadline, self._clock, entry.settings.name):
                    yield delta
            finally:
                if isinstance(deltas, AsyncGenerator):
                    await deltas.aclose()

    async def _ready(self, entry: _Entry) -> Backend:
        if entry.error is not None:
            raise entry.error
        assert entry.backend is not None
        async with entry.starting:
            await entry.backend.start()
        return entry.backend

    async def _preload(self, entry: _Entry) -> None:
        try:
            await self._ready(entry)
        except KithError as error:
            log.warning("model", name=entry.settings.name, error=error.message)

    def _route(self, name: str, kind: str, *, private: bool) -> _Entry:
        """The model called `name`, or the first of its kind that works and may see the request."""
        if name:
            entry = self._entries.get(name)
            if entry is None:
                raise self._unknown(name)
            if entry.card.kind != kind and kind not in entry.card.capabilities:
                raise Invalid(f"the model {name!r} is of kind {entry.card.kind}, not {kind}", code="unsupported")
            if private and not _may_see(entry.settings):
                raise _private(entry.settings)
            return entry
        able = [entry for entry in self._entries.values() if entry.card.kind == kind]
        allowed = [entry for entry in able if not private or _may_see(entry.settings)]
        if able and not allowed:
            raise _private(able[0].settings)
        if not allowed:
            hint = "`kith models add` takes a path, a URL or a hub name"
            raise NotFound(f"there is no model for {kind} yet", code="model_not_found", hint=hint)
        return next((entry for entry in allowed if entry.error is None), allowed[0])

    def _unknown(self, name: str) -> NotFound:
        known = ", ".join(self._entries) or "none"
        return NotFound(f"there is no model {name!r}; there are: {known}", code="model_not_found")

    def _open(self, settings: ModelSettings) -> _Entry:
        card = ModelCard(settings.name, _KINDS.get(settings.type, settings.type), settings.backend, path=settings.path)
        try:
            manifest = choose(self._registry, settings)
            card = replace(card, backend=manifest.name)
            entry: Any = self._registry.load(manifest.name)
            options = _options(self._registry.settings(manifest.name), settings)
            backend: Backend = entry(settings, options, self._means(settings.name))
        except KithError as error:
            return _Entry(settings, card, error=error)
        return _Entry(settings, backend.card, backend)

    def _means(self, name: str) -> Means:
        assert self._client is not None

        def changed(state: str, reason: str) -> None:
            self._changed(name, state, reason)

        return Means(self._clock, self._supervisor, self._client, self._folder, changed)

    def _changed(self, name: str, state: str, reason: str) -> None:
        if self._publish is not None:
            self._publish(ModelChanged(name, state, reason))


async def _within(deltas: AsyncIterator[Delta], deadline: float, clock: Clock, name: str) -> AsyncGenerator[Delta]:
    """The same, until `deadline` on the monotonic clock (0: for ever). Raises `Unavailable` (code ``deadline``)."""
    if not deadline:
        async for delta in deltas:
            yield delta
        return
    while True:
        try:
            async with asyncio.timeout(deadline - clock.monotonic()):
                delta = await anext(deltas, None)
        except TimeoutError:
            raise Unavailable(f"{name} did not answer in time", code="deadline") from None
        if delta is None:
            return
        yield delta


def choose(registry: Registry, settings: ModelSettings) -> Manifest:
    """The folder that runs a model: the one named, else by type and place. Raises `NotFound` or `Missing`."""
    if settings.backend:
        return registry.manifest(settings.backend)
    place = "url" if settings.url else "path"
    suffix = Path(settings.path).suffix.lower()
    for manifest in registry.manifests().values():
        details = manifest.details
        fits = place == "url" or suffix in details.get("suffixes", ())
        if fits and settings.type in details.get("types", ()) and details.get("place") == place:
            return manifest
    raise Missing(f"no backend is installed that runs the {settings.type} model {settings.name!r}", extra=settings.type)


def _options(cls: type[BaseModel] | None, settings: ModelSettings) -> BaseModel | None:
    if cls is None:
        return None
    try:
        return cls.model_validate(settings.options)
    except ValidationError as error:
        base = f"models.{settings.name}.options"
        faults = [Fault(".".join([base, *map(str, fault["loc"])]), fault["msg"]) for fault in error.errors()]
        raise Invalid(f"the options of the model {settings.name!r} are wrong", faults=tuple(faults)) from None


def _may_see(settings: ModelSettings) -> bool:
    """Whether private requests may go to this model: it runs on this machine, or its owner trusts where it runs."""
    if not settings.url or settings.trusted:
        return True
    host = urlsplit(settings.url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _private(settings: ModelSettings) -> Refused:
    host = urlsplit(settings.url).hostname
    return Refused(
        f"this request is private, and the model {settings.name!r} runs elsewhere ({host})",
        code="private",
        hint=f"set `trusted: true` on the model {settings.name} in kith.yaml if your words may go there",
    )


_PIECES = re.compile(r"[A-Za-z]+|\d|[\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]|\s+|.", re.DOTALL)


def estimate(text: str) -> int:
    """A cautious estimate of tokens for vocabularies of 30,000 and more, within the text's bytes.

    A word costs a token for each four letters begun, a digit or mark one, a Chinese character one and a half, any other
    sign outside ASCII two. (Byte-level vocabularies never need more tokens than bytes.)
    """
    found = 0.0
    for piece in _PIECES.findall(text):
        if piece.isascii():
            found += math.ceil(len(piece) / 4) if piece.isalpha() else 1 if not piece.isspace() else len(piece) > 1
        else:
            found += 1.5 if "\u3000" <= piece <= "\u9fff" else 2
    return math.ceil(found)
