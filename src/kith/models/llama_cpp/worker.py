"""The process that holds one model: it speaks frames with its supervisor and threads with the native runtime.

In: ``open`` (the settings), ``chat``, ``cancel``, ``count``, ``embed``, ``rank``, ``keep``. Out, each with the id of
what it answers: ``t`` (text), ``p`` (prompt tokens processed so far), ``end`` (finish and usage), ``n`` (a count),
``v`` (vectors), ``s`` (scores), ``k`` (bytes kept), ``error``.
"""

from __future__ import annotations

import http.client
import importlib
import importlib.metadata
import json
import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kith.models.llama_cpp.kept import PLACE, Kept, can_keep
from kith.runtime.child import Parent
from kith.runtime.template import ChatTemplate


class Worker:
    """One model and the requests that are being answered."""

    def __init__(self, parent: Parent, options: dict[str, Any]) -> None:
        self._parent = parent
        self._key = secrets.token_hex(32)
        self._server = _open(options, self._key)
        self._address = self._server.listening_address.removeprefix("http://")
        self._local = threading.local()
        self._template = ChatTemplate(options["template"], options["controls"], options["specials"])
        # Where a picture goes: drawn by lot at each start, so that nobody's words can contain it.
        self._mark = str(self._exchange("GET", "/props")["media_marker"]) if options["projector"] else ""
        self._opening = self._prefix()
        self._cancelled: set[int] = set()
        self._running: set[int] = set()
        self._pool = ThreadPoolExecutor(options["parallel"] + 1, "request")
        order = options.get("kept")
        self._kept = Kept(order, options["parallel"], _version(), self._post) if order and can_keep() else None
        self.restored = self._kept.restore() if self._kept else 0

    @property
    def flaw(self) -> str:
        return self._template.flaw

    def handle(self, frame: dict[str, Any]) -> None:
        """Begin to answer one frame; returns at once. Templates are rendered here, in the main thread."""
        key = frame["id"]
        if "cancel" in frame:
            if key in self._running:
                self._cancelled.add(key)
            return
        self._running.add(key)
        works = {"count": self._count, "embed": self._embed, "rank": self._rank, "keep": self._keep}
        if "chat" in frame:
            body = dict(frame["chat"])
            try:
                body["prompt"] = self._prompt(body)
            except ValueError as error:
                self._fail(key, "invalid_prompt", str(error))
                return
            seeing = isinstance(body["prompt"], dict)
            self._pool.submit(self._guard, key, self._look if seeing else self._chat, body)
        else:
            name = next(name for name in works if name in frame)
            self._pool.submit(self._guard, key, works[name], frame[name])

    def _prompt(self, body: dict[str, Any]) -> Any:
        """The text of the prompt; with pictures, the runtime's own form of both. Each stands before its message."""
        messages, pictures = body.pop("messages"), list[str]()
        for message in messages:
            own = message.pop("pictures", [])
            message["content"] = f"{self._mark}\n" * len(own) + message["content"]
            pictures += own
        prompt = self._template.render(messages, body.pop("now"), body.pop("tools", ()))
        prompt = prompt.removeprefix(self._opening)
        return {"prompt_string": prompt, "multimodal_data": pictures} if pictures else prompt

    def _guard(self, key: int, work: Any, argument: Any) -> None:
        try:
            work(key, argument)
        except (RuntimeError, ValueError, KeyError, TypeError, OSError, http.client.HTTPException) as error:
            self._fail(key, "server_error", f"{type(error).__name__}: {error}")
        finally:
            self._running.discard(key)
            self._cancelled.discard(key)

    def _fail(self, key: int, kind: str, message: str) -> None:
        self._parent.send({"id": key, "error": {"type": kind, "message": message}})

    def _chat(self, key: int, body: dict[str, Any]) -> None:
        send, cancelled, done = self._parent.send, self._cancelled, False

        def chunk(piece: dict[str, Any]) -> bool:
            nonlocal done
            if key in cancelled:
                return True
            if "error" in piece:
                done = True
                send({"id": key, "error": piece["error"]})
                return False
            choice = piece["choices"][0]
            if choice["finish_reason"] is not None:
                done = True
                send({"id": key, "t": choice["text"], "end": choice["finish_reason"], "usage": _usage(piece)})
            elif choice["text"]:
                told: Any = (choice.get("logprobs") or {"content": None})["content"]
                send({"id": key, "t": choice["text"]} | ({"lp": told} if told else {}))
            elif "prompt_progress" in piece:
                send({"id": key, "p": piece["prompt_progress"]["processed"]})
            return False

        if key not in cancelled:
            self._server.handle_completions(body, chunk)
        if not done:
            send({"id": key, "end": "cancelled", "usage": [0, 0, 0]})

    def _look(self, key: int, body: dict[str, Any]) -> None:
        """As `_chat`, for prompts with pictures: those pass only through the runtime's own HTTP door."""
        link = http.client.HTTPConnection(self._address, timeout=600)
        try:
            response = self._request(link, "POST", "/completion", body)
            if response.status != 200:
                self._parent.send({"id": key, "error": json.loads(response.read())["error"]})
                return
            while key not in self._cancelled and (line := response.readline()):
                if line.startswith(b"data: ") and self._glance(key, json.loads(line[6:])):
                    return
            self._parent.send({"id": key, "end": "cancelled", "usage": [0, 0, 0]})
        finally:
            link.close()  # which stops the runtime, if it has not ended

    def _glance(self, key: int, piece: dict[str, Any]) -> bool:
        """Hand on one event; whether it was the last."""
        if "error" in piece:
            self._parent.send({"id": key, "error": piece["error"]})
        elif piece.get("stop"):
            end = "length" if piece.get("stop_type") == "limit" else "stop"
            timings = piece.get("timings", {})
            usage = [piece["tokens_evaluated"], piece["tokens_predicted"], timings.get("cache_n", 0)]
            self._parent.send({"id": key, "t": piece["content"], "end": end, "usage": usage})
        elif piece.get("content"):
            self._parent.send({"id": key, "t": piece["content"]})
        return "error" in piece or bool(piece.get("stop"))

    def _count(self, key: int, text: str) -> None:
        found = self._post("/tokenize", {"content": text, "add_special": False, "parse_special": False})
        self._parent.send({"id": key, "n": len(found["tokens"])})

    def _embed(self, key: int, texts: list[str]) -> None:
        found = self._server.handle_embeddings({"input": texts})
        if "error" in found:
            self._parent.send({"id": key, "error": found["error"]})
        else:
            self._parent.send({"id": key, "v": [row["embedding"] for row in found["data"]]})

    def _rank(self, key: int, asked: dict[str, Any]) -> None:
        found = self._server.handle_rerank({"query": asked["query"], "documents": asked["texts"]})
        if "error" in found:
            self._parent.send({"id": key, "error": found["error"]})
        else:
            scores = {row["index"]: row["relevance_score"] for row in found["results"]}
            self._parent.send({"id": key, "s": [scores[index] for index in range(len(asked["texts"]))]})

    def _keep(self, key: int, _: Any) -> None:
        self._parent.send({"id": key, "k": self._kept.keep() if self._kept else 0})

    def _prefix(self) -> str:
        """The text of the token that the runtime itself puts first: a template must not write it a second time."""
        found = self._post("/tokenize", {"content": "", "add_special": True, "with_pieces": True})["tokens"]
        return "".join(token["piece"] for token in found[:1] if isinstance(token["piece"], str))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the runtime's own HTTP server: it has no other door to its tokenizer."""
        try:
            found = self._exchange("POST", path, body)
        except (OSError, http.client.HTTPException):
            self._local.link = None  # it had closed an idle connection: once more with a new one
            found = self._exchange("POST", path, body)
        if "error" in found:
            raise ValueError(found["error"].get("message", "no reason given"))
        return found

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        link: http.client.HTTPConnection | None = getattr(self._local, "link", None)
        if link is None:
            link = self._local.link = http.client.HTTPConnection(self._address, timeout=30)
        return json.loads(self._request(link, method, path, body).read())

    def _request(
        self, link: http.client.HTTPConnection, method: str, path: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        link.request(method, path, json.dumps(body) if body is not None else None, headers)
        return link.getresponse()


def _version() -> str:
    return f"xllamacpp {importlib.metadata.version('xllamacpp')}"


def _usage(piece: dict[str, Any]) -> list[int]:
    usage: dict[str, Any] = piece["usage"]
    return [usage["prompt_tokens"], usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"]]


def _open(options: dict[str, Any], key: str) -> Any:
    """Load the model. The runtime insists on an HTTP server: on loopback, any port, behind a random key."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = options["path"]
    params.n_ctx = options["context"] * options["parallel"]
    params.n_parallel = options["parallel"]
    params.cpuparams.n_threads = options["threads"]
    params.cpuparams_batch.n_threads = options["threads"]
    params.n_batch = params.n_ubatch = options["batch"]
    params.cache_ram_mib = options["cache"]
    _place(params, options, xllamacpp)
    _lay_over(params, options, xllamacpp)
    params.embedding = bool(options["pooling"])
    if options["pooling"] in {"mean", "rank"}:
        pooling = f"LLAMA_POOLING_TYPE_{options['pooling'].upper()}"
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, pooling)
    params.no_extra_bufts = options["share"]
    params.fit_params = False
    params.warmup = False
    # The runtime would run the file's own chat template while loading, without a limit of time: it never sees it.
    params.use_jinja = False
    params.chat_template = "chatml"
    params.verbosity = 1
    params.api_keys = [key]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = ""
    if options.get("kept") and can_keep():
        params.slot_save_path = PLACE
    return xllamacpp.Server(params)


def _place(params: Any, options: dict[str, Any], xllamacpp: Any) -> None:
    """Which processors do the work, and how keys and values are kept."""
    params.n_gpu_layers = options["gpu_layers"]
    params.split_mode = getattr(xllamacpp.llama_split_mode, f"LLAMA_SPLIT_MODE_{options['split_mode'].upper()}")
    params.main_gpu = options["main_gpu"]
    if options["split"]:
        shares = list(params.tensor_split)
        shares[: len(options["split"])] = options["split"]
        params.tensor_split = shares[: len(params.tensor_split)]
    kind = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{options['kv_type'].upper()}")
    params.cache_type_k = params.cache_type_v = kind
    flash = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[options["flash"]]
    params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{flash}")


def _lay_over(params: Any, options: dict[str, Any], xllamacpp: Any) -> None:
    """What is added to the weights: adapters, and eyes."""
    adapters = list[Any]()
    for path, scale in options["lora"]:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, scale
        adapters.append(adapter)
    if adapters:
        params.lora_adapters = adapters
    if options["projector"]:
        params.mmproj.path = options["projector"]
        params.mmproj_use_gpu = options["gpu_layers"] != 0


def main() -> None:
    """Serve one supervisor until it goes away."""
    parent = Parent()
    parent.beat()
    frames = parent.frames()
    options = next(frames)["open"]
    try:
        worker = Worker(parent, options)
    except (RuntimeError, ValueError) as error:
        parent.send({"fatal": f"the runtime cannot load the model: {error}"})
        sys.exit(1)
    parent.send({"ready": True, "flaw": worker.flaw, "restored": worker.restored})
    for frame in frames:
        worker.handle(frame)
    os._exit(0)  # the parent is gone: nothing is worth waiting for


if __name__ == "__main__":
    main()
