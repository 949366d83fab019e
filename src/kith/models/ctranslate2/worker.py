"""The process that holds one converted model.

Conversations that come within `wait` seconds become one batch of the native generator. It stops for each of them as
soon as it has ended, been left, or said enough; the batch ends with the last.
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kith.runtime.template import ChatTemplate
from kith.runtime.work import Failure, Job, Speech, serve


@dataclass(slots=True, eq=False)
class Talk:
    """One conversation that is continued."""

    job: Job
    prompt: list[str]
    most: int
    speech: Speech
    made: int = 0
    ended: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    @property
    def way(self) -> tuple[float, float, int]:
        """Conversations with the same way of choosing tokens can share a batch."""
        chat = self.job.frame["chat"]
        temperature = 1.0 if chat["temperature"] is None else float(chat["temperature"])
        top_p = 1.0 if chat["top_p"] is None else float(chat["top_p"])
        return temperature, min(1.0, max(0.01, top_p)), int(chat["seed"] or 0) & 0x7FFFFFFF

    def take(self, token: int) -> bool:
        """Hear one token; whether the generator may stop for this conversation."""
        if self.ended:
            return True
        if self.job.cancelled.is_set():
            return self.finish("cancelled")
        self.made += 1
        if text := self.speech.add(token):
            self.job.send(t=text)
        if self.speech.stopped:
            return self.finish("stop")
        if self.made >= self.most:
            return self.finish("length")
        return False

    def finish(self, reason: str) -> bool:
        """Say that it is over; always true."""
        if not self.ended:
            self.ended = reason
            if reason != "cancelled" and (rest := self.speech.end()):
                self.job.send(t=rest)
            self.job.send(end=reason, usage=[len(self.prompt), self.made, 0])
            self.over.set()
        return True


class Generator:
    """The loaded model."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        native: Any = importlib.import_module("ctranslate2")
        tokenizers: Any = importlib.import_module("tokenizers")
        folder = Path(options["path"])
        self._native, self._options = native, options
        self._tokenizer = tokenizers.Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
        self._tokenizer.no_truncation()
        marks = self._tokenizer.get_added_tokens_decoder().values()
        controls = [mark.content for mark in marks if mark.special]
        self._ends = [mark for mark in {options["specials"].get("eos_token", ""), *_turns(controls)} if mark]
        self._template = ChatTemplate(options["template"], controls, options["specials"])
        self._model = native.Generator(
            str(folder),
            device=options["device"],
            compute_type=options["compute"],
            inter_threads=1,
            intra_threads=options["threads"],
        )
        self.hello: Mapping[str, Any] = {"device": self._model.device, "compute": self._model.compute_type}
        self._waiting: queue.SimpleQueue[Talk] = queue.SimpleQueue()
        threading.Thread(target=self._loop, daemon=True, name="batches").start()

    def prepare(self, job: Job) -> None:
        """Render a conversation. Raises `Failure`."""
        if "chat" in job.frame:
            job.prepared = self._talk(job)

    def work(self, job: Job) -> None:
        """Answer one request."""
        if "count" in job.frame:
            job.send(n=len(self._tokenizer.encode(job.frame["count"], add_special_tokens=False).ids))
            return
        talk: Talk = job.prepared
        self._waiting.put(talk)
        talk.over.wait()
        if talk.error is not None:
            raise RuntimeError(str(talk.error))

    def _talk(self, job: Job) -> Talk:
        chat = job.frame["chat"]
        try:
            text = self._template.render(chat["messages"], chat["now"])
        except ValueError as error:
            raise Failure("invalid_prompt", str(error)) from None
        prompt: list[str] = self._tokenizer.encode(text, add_special_tokens=False).tokens
        room = self._options["context"] - len(prompt)
        if room < 1 or not prompt:
            raise Failure("too_long", f"{len(prompt)} tokens, it takes {self._options['context']}")
        decode: Callable[[list[int]], str] = self._tokenizer.decode
        return Talk(job, prompt, min(chat["max_tokens"] or room, room), Speech(decode, chat["stop"]))

    def _loop(self) -> None:
        while True:
            talks, end = [self._waiting.get()], time.monotonic() + self._options["wait"]
            while len(talks) < self._options["batch"]:
                try:
                    talks.append(self._waiting.get(timeout=max(0.0, end - time.monotonic())))
                except queue.Empty:
                    break
            for way in dict.fromkeys(talk.way for talk in talks):
                self._batch([talk for talk in talks if talk.way == way], way)

    def _batch(self, talks: list[Talk], way: tuple[float, float, int]) -> None:
        temperature, top_p, seed = way
        self._native.set_random_seed(seed or time.monotonic_ns() & 0x7FFFFFFF)
        greedy = temperature <= 0.0

        def step(result: Any) -> bool:
            return talks[int(result.batch_id)].take(int(result.token_id))

        try:
            self._model.generate_batch(
                [talk.prompt for talk in talks],
                max_length=max(talk.most for talk in talks),
                include_prompt_in_result=False,
                sampling_topk=1 if greedy else 0,
                sampling_topp=1.0 if greedy else top_p,
                sampling_temperature=1.0 if greedy else temperature,
                end_token=self._ends or None,
                callback=step,
            )
        except (RuntimeError, ValueError, MemoryError) as error:
            for talk in talks:
                talk.error = error
                talk.over.set()
        for talk in talks:
            if talk.error is None:
                talk.finish("stop")


def _turns(controls: list[str]) -> list[str]:
    """The marks that end a turn in the formats in use."""
    known = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "</s>", "<|endoftext|>"}
    return [mark for mark in controls if mark in known]


if __name__ == "__main__":
    serve(Generator)
