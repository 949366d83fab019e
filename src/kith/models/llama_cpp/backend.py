"""GGUF files through llama.cpp, in a process of their own."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import psutil

from kith.core.errors import Invalid, KithError, NotFound
from kith.core.message import Delta, Image, Message, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import (
    GgufFile,
    Limits,
    Means,
    ModelProcess,
    ModelSettings,
    failure,
    fit,
    likely,
    read_gguf,
    threads,
)
from kith.models.llama_cpp.schema import check_grammar, check_schema
from kith.models.llama_cpp.settings import LlamaOptions
from kith.models.llama_cpp.tools import HERMES, Form, Splitter, described, explain, form_of, grammar
from kith.models.llama_cpp.wire import messages_of
from kith.runtime.telemetry import get_logger

_CONTEXT = 4096
_SMALL = 50_000_000  # parameters below which a second thread costs more than it brings
_COUNTS = 4096  # token counts that are remembered
_KEEPING = 20.0  # seconds that keeping what was read may take
_WORKER = "kith.models.llama_cpp.worker"
_FINISH = {"stop": "stop", "length": "length", "cancelled": "cancelled"}

log = get_logger(__name__)


class LlamaCpp:
    """One GGUF file. See STACK: continuous batching, prefix reuse and sampling are the runtime's."""

    def __init__(self, settings: ModelSettings, options: LlamaOptions, means: Means) -> None:
        self._settings, self._options, self._means = settings, options, means
        self._path = self._file_at(settings.path)
        file = self._file = read_gguf(self._path)
        self._pooling = _pooling(settings, file)
        if not file.number("block_count"):
            raise Invalid(f"{self._path.name} is no language model ({file.architecture})", code="broken_model")
        _check_keys(file, options)
        self._adapters = [(self._beside(one.path, "lora"), one.scale) for one in options.lora]
        self._projector = self._beside(options.projector, "projector") if options.projector else None
        self._context = min(settings.context or _CONTEXT, file.context)
        # In a batch of several texts the runtime cuts the longer ones in pieces, and a decoder pools only the last.
        alone = bool(self._pooling) and "bert" not in file.architecture
        self._parallel = 1 if alone else settings.parallel or _parallel(file, self._context)
        known = form_of(options.template or file.template)
        self._form: Form | None = {"auto": known, "prompt": known or HERMES, "off": None}[options.tools]
        self._explains = self._form is not None and known is None
        self.card = self._card()
        limits = Limits(self._parallel, options.queue, options.stall, options.ready, options.memory << 20)
        self._process = ModelProcess(self.card, means, _WORKER, self._opening, limits, error=_error)
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._fresh = False  # whether anything was read since it was kept

    @property
    def load(self) -> tuple[int, int]:
        """(requests that run, requests that wait)."""
        return self._process.load

    @property
    def pid(self) -> int:
        """Its process, 0 when it is not loaded."""
        return self._process.pid

    @property
    def slots(self) -> int:
        """Requests at once."""
        return self._parallel

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        if self._process.child is None:
            fit(self.card, oversize=self._options.oversize)
        await self._process.start()

    async def stop(self) -> None:
        """Unload, after keeping what was read; requests that are running end with `Unavailable`."""
        if not self._process.load[0]:
            await self.keep()
        await self._process.stop()

    async def keep(self) -> int:
        """Seal what the runtime has read; returns the bytes written. A failure is told to the log only."""
        process, prefixes = self._process, self._means.prefixes
        if prefixes is None or not self._fresh or not process.ready:
            return 0
        self._fresh = False
        try:
            with process.call({"keep": True}) as (key, frames):
                deadline = self._means.clock.monotonic() + _KEEPING
                found = int((await process.next(frames, deadline))["k"])
                process.done(key)
        except KithError as error:
            log.warning("keep", model=self.card.name, error=error.message)
            return 0
        await asyncio.to_thread(prefixes.tidy)
        return found

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Continue a conversation. Raises `Invalid`, or `Unavailable` (code ``worker_lost``: worth another try)."""
        body = await self._body(request)
        splitter = Splitter(self._form) if self._form is not None and request.tools else None
        name, process = self.card.name, self._process
        async with process.turn(request.deadline):
            await self.start()
            with process.call({"chat": body}) as (key, frames):
                while True:
                    frame = await process.next(frames, request.deadline)
                    text = str(frame.get("t") or "")
                    if text := splitter.feed(text) if splitter else text:
                        yield Delta(text, model=name, logprobs=likely(frame.get("lp"), request.sampling))
                    if "end" in frame:
                        process.done(key)
                        self._fresh = True
                        yield _last(frame, splitter, name)
                        return

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector of unit length for each text. Raises `Invalid` for a model that talks."""
        self._demand("embed", "makes no vectors")
        found = await self._ask({"embed": list(texts)})
        return cast("list[list[float]]", found["v"])

    async def rank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the query, as the model scores it. Raises `Invalid` for one that does not rank."""
        self._demand("rerank", "does not rank")
        if not texts:
            return []
        found = await self._ask({"rank": {"query": query, "texts": list(texts)}})
        return cast("list[float]", found["s"])

    async def count(self, text: str) -> int | None:
        """Exactly, once the model is loaded; remembered for the last texts."""
        process = self._process
        if not process.ready:
            return None
        if text in self._counts:
            self._counts.move_to_end(text)
            return self._counts[text]
        with process.call({"count": text}) as (key, frames):
            found = int((await process.next(frames, 0.0))["n"])
            process.done(key)
        self._counts[text] = found
        if len(self._counts) > _COUNTS:
            self._counts.popitem(last=False)
        return found

    async def _ask(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._process.child is None:
            fit(self.card, oversize=self._options.oversize)
        return await self._process.ask(frame)

    def _demand(self, capability: str, otherwise: str) -> None:
        if capability not in self.card.capabilities:
            raise Invalid(f"{self.card.name} {otherwise}", code="unsupported")

    def _file_at(self, given: str) -> Path:
        path = Path(given).expanduser()
        path = path if path.is_absolute() else self._means.folder / path
        if not path.is_file():
            raise NotFound(f"the model {self._settings.name!r} is to be at {path}, but there is no such file")
        return path

    def _beside(self, given: str, what: str) -> str:
        """A file that is laid over the model: checked like the model itself."""
        path = self._file_at(given)
        found = read_gguf(path)
        kind = str(found.metadata.get("general.type", ""))
        wanted = {"lora": kind == "adapter", "projector": found.architecture == "clip"}[what]
        if not wanted:
            raise Invalid(f"{path.name} is no {what} ({kind or found.architecture})", code="broken_model")
        return str(path.resolve())

    def _card(self) -> ModelCard:
        file, settings = self._file, self._settings
        abilities: tuple[str, ...] = ("rerank",) if self._pooling == "rank" else ("embed",)
        if not self._pooling:
            more = (self._form is not None, "tools"), (self._projector is not None, "vision"), (True, "logprobs")
            abilities = (*file.capabilities(), *(name for there, name in more if there))
        return ModelCard(
            name=settings.name,
            kind="chat" if not self._pooling else abilities[0],
            backend="llama_cpp",
            path=str(file.path),
            architecture=file.architecture,
            parameters=file.parameters,
            quantisation=file.quantisation,
            context=self._context,
            memory=file.memory(self._context, self._parallel) + _sizes(self._adapters, self._projector),
            capabilities=abilities,
            licence=file.licence,
        )

    def _opening(self) -> dict[str, Any]:
        file, settings, options = self._file, self._settings, self._options
        ids = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}
        kept = {"batch", "gpu_layers", "split", "split_mode", "main_gpu", "kv_type", "flash", "cache", "share"}
        return {
            **options.model_dump(include=kept),
            "path": str(self._path.resolve()),
            "context": self._context,
            "parallel": self._parallel,
            "threads": settings.threads or (1 if file.parameters < _SMALL else threads()),
            "lora": self._adapters,
            "projector": self._projector or "",
            "pooling": self._pooling,
            "template": options.template or file.template,
            "controls": file.controls,
            "specials": {name: file.token(key) for name, key in ids.items()},
            "kept": self._kept(),
        }

    def _kept(self) -> dict[str, Any] | None:
        """Where what is read is kept; nowhere without a key, and for models that only make numbers."""
        prefixes = self._means.prefixes
        if prefixes is None or self._pooling or self._projector is not None:
            return None
        over = [(prefixes.fingerprint(Path(path)), scale) for path, scale in self._adapters]
        state = {"context": self._context, "kv_type": self._options.kv_type, "flash": self._options.flash, "over": over}
        try:
            return prefixes.opening(self.card.name, self._path.resolve(), state)
        except (KithError, OSError) as error:
            log.warning("keep", model=self.card.name, error=str(error))
            return None

    async def _body(self, request: ChatRequest) -> dict[str, Any]:
        """The request in the words of llama.cpp's ``/completion``."""
        sampling = request.sampling
        if sampling.schema is not None:
            check_schema(sampling.schema)
        if sampling.grammar:
            check_grammar(sampling.grammar)
        wanted: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": None if sampling.seed is None else sampling.seed & 0xFFFFFFFF,
            "stop": list(sampling.stop) or None,
            "json_schema": sampling.schema,
            "grammar": sampling.grammar or None,
            "n_probs": None if sampling.logprobs is None else max(1, sampling.logprobs),
        }
        offered = self._offer(request) if self._form is not None and request.tools else {}
        return {
            **offered,
            **{key: value for key, value in wanted.items() if value is not None},
            "messages": await self._messages(request),
            "now": self._means.clock.now(),
            "n_predict": sampling.max_tokens or self._settings.max_tokens or -1,
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,
        }

    def _offer(self, request: ChatRequest) -> dict[str, Any]:
        """What makes a model call tools: their description, and a grammar that keeps its calls well-formed."""
        assert self._form is not None
        offer: dict[str, Any] = {"preserved_tokens": self._form.preserved}
        if not self._explains:
            offer["tools"] = [described(tool) for tool in request.tools]
        if self._form.strict and request.sampling.schema is None and not request.sampling.grammar:
            for tool in request.tools:
                check_schema(tool.schema)
            offer["grammar"] = grammar(request.tools)
        return offer

    async def _messages(self, request: ChatRequest) -> list[dict[str, Any]]:
        structured = self._form is not None and not self._explains and bool(request.tools)
        found = list[dict[str, Any]]()
        for message in request.messages:
            pictures = await self._pictures(message)
            found += messages_of(message, structured=structured, seeing=bool(pictures))
            if pictures:
                found[-1]["pictures"] = pictures
        if self._explains and request.tools:
            text = explain(request.tools)
            if found and found[0]["role"] == "system":
                found[0]["content"] += f"\n\n{text}"
            else:
                found.insert(0, {"role": "system", "content": text})
        return found

    async def _pictures(self, message: Message) -> list[str]:
        if self._projector is None:
            return []
        pictures = [part for part in message.parts if isinstance(part, Image)]
        try:
            return [base64.b64encode(await self._means.fetch(picture)).decode() for picture in pictures]
        except NotFound as error:
            log.debug("picture", model=self.card.name, error=error.message)
            return []  # it is named in the text instead


def _last(frame: Mapping[str, Any], splitter: Splitter | None, name: str) -> Delta:
    finish = cast("Literal['stop', 'length', 'cancelled']", _FINISH.get(frame["end"], "stop"))
    said, calls = splitter.end() if splitter else ("", ())
    usage = Usage(*frame["usage"])
    return Delta(said, calls=calls, finish="tool_calls" if calls else finish, usage=usage, model=name)


def _pooling(settings: ModelSettings, file: GgufFile) -> Literal["", "mean", "own", "rank"]:
    """How tokens become one answer: not at all for a model that talks."""
    if settings.type == "rerank":
        return "rank"
    if settings.type == "embedding" or file.embedding:
        return "own" if f"{file.architecture}.pooling_type" in file.metadata else "mean"
    return ""


def _check_keys(file: GgufFile, options: LlamaOptions) -> None:
    """Quantised keys are kept in blocks of 32. Raises `Invalid` where they do not fit; the runtime gives no reason."""
    heads = max(1, file.number("attention.head_count", 1))
    width = file.number("attention.key_length", file.number("embedding_length") // heads)
    if options.kv_type[0] in "qi" and width % 32:
        text = f"kv_type {options.kv_type} needs heads of a multiple of 32, those of {file.path.name} have {width}"
        raise Invalid(text, code="unsupported")
    if options.kv_type[0] in "qi" and options.flash == "off":
        raise Invalid(f"kv_type {options.kv_type} needs flash attention, which is off", code="unsupported")


def _sizes(adapters: Sequence[tuple[str, float]], projector: str | None) -> int:
    return sum(Path(path).stat().st_size for path in (*(path for path, _ in adapters), *filter(None, [projector])))


def _parallel(file: GgufFile, context: int) -> int:
    """The largest of 4, 2 and 1 conversations whose keys and values take at most an eighth of the memory."""
    if file.embedding:
        return 1
    one = file.memory(context, 1) - file.memory(0, 1)
    room = psutil.virtual_memory().total // 8
    return next((slots for slots in (4, 2) if slots * one <= room), 1)


def _error(error: Mapping[str, Any], card: ModelCard) -> KithError:
    if error.get("type") == "exceed_context_size_error":
        text = f"the conversation has {error.get('n_prompt_tokens')} tokens, {card.name} takes {card.context}"
        return Invalid(text, code="context_length_exceeded")
    return failure(error, card)
