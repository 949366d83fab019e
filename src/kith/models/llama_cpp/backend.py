"""GGUF files through llama.cpp, in a process of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import psutil

from kith.core.errors import Broken, Invalid, KithError, NotFound, Unavailable
from kith.core.message import Delta, Usage
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import GgufFile, Means, ModelSettings, plain, read_gguf
from kith.models.llama_cpp.schema import check_schema
from kith.models.llama_cpp.settings import LlamaOptions
from kith.runtime.supervisor import Child, ChildSpec, Frame, State
from kith.runtime.telemetry import get_logger

_CONTEXT = 4096
_SMALL = 50_000_000  # parameters below which a second thread costs more than it brings
_COUNTS = 4096  # token counts that are remembered
_FINISH = {"stop": "stop", "length": "length", "cancelled": "cancelled"}

log = get_logger(__name__)


class LlamaCpp:
    """One GGUF file. See STACK: continuous batching, prefix reuse and sampling are the runtime's."""

    def __init__(self, settings: ModelSettings, options: LlamaOptions, means: Means) -> None:
        self._settings, self._options, self._means = settings, options, means
        path = Path(settings.path).expanduser()
        self._path = path if path.is_absolute() else means.folder / path
        if not self._path.is_file():
            raise NotFound(f"the model {settings.name!r} is to be at {self._path}, but there is no such file")
        file = self._file = read_gguf(self._path)
        self._embedding = settings.type == "embedding" or file.embedding
        if not file.number("block_count"):
            raise Invalid(f"{self._path.name} is no language model ({file.architecture})", code="broken_model")
        self._context = min(settings.context or _CONTEXT, file.context)
        self._parallel = settings.parallel or _parallel(file, self._context)
        self.card = _card(settings, file, self._context, self._parallel, self._embedding)
        self._slots = asyncio.Semaphore(self._parallel)
        self._waiting = 0
        self._last = 0
        self._calls: dict[int, asyncio.Queue[Frame]] = {}
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._child: Child | None = None

    async def start(self) -> None:
        """Load the model in its process. Raises `Unavailable`."""
        if self._child is None:
            self._fit()
            self._child = self._means.supervisor.child(self._spec(), self._on_frame, self._on_change)
        child = self._child
        if child.state == "failed":
            raise Unavailable(f"{self.card.name} cannot be loaded: {child.reason}", code="worker_failed")
        if child.state == "stopped":
            await child.start()
        elif child.state != "ready":
            await child.ready(patient=True)

    async def stop(self) -> None:
        """Unload; requests that are running end with `Unavailable`."""
        child, self._child = self._child, None
        if child is not None:
            await self._means.supervisor.release(child)

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Continue a conversation. Raises `Invalid`, or `Unavailable` (code ``worker_lost``: worth another try)."""
        body = self._body(request)
        name = self.card.name
        async with self._turn(request.deadline):
            await self.start()
            with self._call({"chat": body}) as (key, frames):
                while True:
                    frame = await self._next(frames, request.deadline)
                    if text := frame.get("t"):
                        yield Delta(text, model=name)
                    if "end" in frame:
                        self._calls.pop(key, None)
                        yield Delta(finish=_finish(frame["end"]), usage=Usage(*frame["usage"]), model=name)
                        return

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector of unit length for each text. Raises `Invalid` for a model that talks."""
        if not self._embedding:
            raise Invalid(f"{self.card.name} talks; it makes no vectors", code="unsupported")
        async with self._turn(0.0):
            await self.start()
            with self._call({"embed": list(texts)}) as (_, frames):
                frame = await self._next(frames, 0.0)
                return cast("list[list[float]]", frame["v"])

    async def count(self, text: str) -> int | None:
        """Exactly, once the model is loaded; remembered for the last texts."""
        if self._child is None or self._child.state != "ready":
            return None
        if text in self._counts:
            self._counts.move_to_end(text)
            return self._counts[text]
        with self._call({"count": text}) as (_, frames):
            found = int((await self._next(frames, 0.0))["n"])
        self._counts[text] = found
        if len(self._counts) > _COUNTS:
            self._counts.popitem(last=False)
        return found

    def _fit(self) -> None:
        total = psutil.virtual_memory().total
        if self.card.memory > total and not self._options.oversize:
            text = f"{self.card.name} needs about {self.card.memory >> 20} MiB, this machine has {total >> 20}"
            raise Unavailable(text, code="too_large", hint="choose a smaller model, quantisation or context")

    def _spec(self) -> ChildSpec:
        file, settings, options = self._file, self._settings, self._options
        ids = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}
        opening: dict[str, Any] = {
            "path": str(self._path.resolve()),
            "context": self._context,
            "parallel": self._parallel,
            "threads": settings.threads or _threads(file),
            "batch": options.batch,
            "gpu_layers": options.gpu_layers,
            "cache": options.cache,
            "share": options.share,
            "embedding": self._embedding,
            "pooled": f"{file.architecture}.pooling_type" in file.metadata,
            "template": options.template or file.template,
            "controls": file.controls,
            "specials": {name: file.token(key) for name, key in ids.items()},
        }
        return ChildSpec(
            name=f"model {self.card.name}",
            command=(sys.executable, "-P", "-m", "kith.models.llama_cpp.worker"),
            environment={"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "passive"},
            hello={"open": opening},
            ready=options.ready,
            memory=options.memory << 20,
        )

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """The request in the words of llama.cpp's ``/completion``."""
        sampling = request.sampling
        if sampling.schema is not None:
            check_schema(sampling.schema)
        wanted: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": None if sampling.seed is None else sampling.seed & 0xFFFFFFFF,
            "stop": list(sampling.stop) or None,
            "json_schema": sampling.schema,
        }
        return {
            **{key: value for key, value in wanted.items() if value is not None},
            "messages": [{"role": message.role, "content": plain(message)} for message in request.messages],
            "now": self._means.clock.now(),
            "n_predict": sampling.max_tokens or self._settings.max_tokens or -1,
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,
        }

    @contextmanager
    def _call(self, frame: dict[str, Any]) -> Generator[tuple[int, asyncio.Queue[Frame]]]:
        """Send one request; when its caller leaves before the end, the worker is told to stop working on it."""
        child = self._child
        if child is None or child.state != "ready":
            raise Unavailable(f"{self.card.name} is not running", code="worker_lost")
        self._last += 1
        key = self._last
        frames = self._calls[key] = asyncio.Queue[Frame]()
        try:
            child.send({"id": key, **frame})
            yield key, frames
        finally:
            if self._calls.pop(key, None) is not None and child.state == "ready":
                child.send({"id": key, "cancel": True})

    async def _next(self, frames: asyncio.Queue[Frame], deadline: float) -> Frame:
        """The next frame of a call. Raises what it says, or `Unavailable` when it does not come in time."""
        left = deadline - self._means.clock.monotonic() if deadline else self._options.stall
        try:
            async with asyncio.timeout(min(left, self._options.stall)):
                frame = await frames.get()
        except TimeoutError:
            if left > self._options.stall and self._child is not None:
                self._child.kill(f"gave no token for {self._options.stall:g} s")
            raise Unavailable(f"{self.card.name} did not answer in time", code="deadline") from None
        if "error" in frame:
            raise _error(frame["error"], self.card)
        return frame

    @property
    def load(self) -> tuple[int, int]:
        """(requests that run, requests that wait)."""
        return len(self._calls), self._waiting

    @asynccontextmanager
    async def _turn(self, deadline: float) -> AsyncGenerator[None]:
        """One slot of the model, waited for in order."""
        if self._waiting >= self._options.queue:
            text = f"{self._waiting} requests are already waiting for {self.card.name}"
            raise Unavailable(text, code="queue_full", retry_after=5.0)
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline - self._means.clock.monotonic() if deadline else None):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(f"{self.card.name} did not answer in time", code="deadline") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    def _on_frame(self, frame: Frame) -> None:
        frames = self._calls.get(frame["id"])
        if frames is not None:
            frames.put_nowait(frame)

    def _on_change(self, state: State, reason: str) -> None:
        if state == "ready":
            flaw = str(self._child.hello.get("flaw", "")) if self._child else ""
            if flaw:
                log.debug("template", model=self.card.name, flaw=flaw)
        else:
            lost = {"error": {"type": "worker_lost", "message": reason or state}}
            for frames in self._calls.values():
                frames.put_nowait(lost)
        names = {"waiting": "failed", "failed": "failed", "stopped": "stopped", "ready": "ready"}
        if state in names:
            self._means.changed(names[state], reason)


def _card(settings: ModelSettings, file: GgufFile, context: int, parallel: int, embedding: bool) -> ModelCard:
    return ModelCard(
        name=settings.name,
        kind="embed" if embedding else "chat",
        backend="llama_cpp",
        path=str(file.path),
        architecture=file.architecture,
        parameters=file.parameters,
        quantisation=file.quantisation,
        context=context,
        memory=file.memory(context, parallel),
        capabilities=("embed",) if embedding else file.capabilities(),
        licence=file.licence,
    )


def _parallel(file: GgufFile, context: int) -> int:
    """The largest of 4, 2 and 1 conversations whose keys and values take at most an eighth of the memory."""
    if file.embedding:
        return 1
    one = file.memory(context, 1) - file.memory(0, 1)
    room = psutil.virtual_memory().total // 8
    return next((slots for slots in (4, 2) if slots * one <= room), 1)


def _threads(file: GgufFile) -> int:
    """Cores less one: with all of them, one busy neighbour costs three quarters of the speed."""
    if file.parameters < _SMALL:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


def _finish(reason: str) -> Literal["stop", "length", "cancelled"]:
    return cast("Literal['stop', 'length', 'cancelled']", _FINISH.get(reason, "stop"))


def _error(error: dict[str, Any], card: ModelCard) -> KithError:
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    if kind == "exceed_context_size_error":
        text = f"the conversation has {error.get('n_prompt_tokens')} tokens, {card.name} takes {card.context}"
        return Invalid(text, code="context_length_exceeded")
    if kind == "worker_lost":
        return Unavailable(f"the process of {card.name} was lost: it {message}", code="worker_lost")
    if kind in {"invalid_request_error", "invalid_prompt"}:
        return Invalid(f"{card.name} cannot read the request: {message}", code="invalid_prompt")
    return Broken(f"{card.name} failed: {message}")
