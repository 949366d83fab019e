"""The child's end of a supervised process that answers requests: `serve` an engine to the parent.

Frames in: ``open`` (how to begin), then requests with an ``id``, or ``cancel`` with the id of one. Frames out: whatever
the engine says with `Job.send`, or ``error`` with a type and a message. Standard library only.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from kith.runtime.child import Parent


class Failure(Exception):
    """What an engine cannot do: `kind` is for programs, the text for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Job:
    """One request: `frame` is what was asked, `cancelled` is set when nobody waits for it any more.

    `prepared` is for the engine to keep what it made ready.
    """

    def __init__(self, frame: Mapping[str, Any], send: Callable[[Mapping[str, Any]], None]) -> None:
        self.frame = frame
        self.prepared: Any = None
        self.cancelled = threading.Event()
        self._send = send

    def send(self, **values: Any) -> None:
        """Answer with a frame."""
        self._send({"id": self.frame["id"], **values})

    def fail(self, kind: str, message: str) -> None:
        """Answer with an error."""
        self.send(error={"type": kind, "message": message[:2000]})


class Speech:
    """Turns tokens into text as they come: whole characters only, and nothing of a stop word.

    `decode` makes text of tokens. `stopped` is set once a stop word came.
    """

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._decode = decode
        self._stop = [word for word in stop if word]
        self._tokens = list[int]()
        self._from = self._to = 0  # only a window is decoded again for each token
        self._held = ""

    def add(self, token: int) -> str:
        """What may be said now."""
        self._tokens.append(token)
        known = self._decode(self._tokens[self._from : self._to])
        text = self._decode(self._tokens[self._from :])
        if len(text) <= len(known) or text.endswith("\ufffd"):
            return ""
        self._from, self._to = self._to, len(self._tokens)
        return self._release(text[len(known) :])

    def end(self) -> str:
        """What was kept back."""
        known = self._decode(self._tokens[self._from : self._to])
        text = self._release(self._decode(self._tokens[self._from :])[len(known) :])
        held, self._held = self._held, ""
        return text + ("" if self.stopped else held)

    def _release(self, text: str) -> str:
        self._held += text
        places = [place for word in self._stop if (place := self._held.find(word)) >= 0]
        if places:
            self.stopped = True
            said, self._held = self._held[: min(places)], ""
            return said
        keep = max((_overlap(self._held, word) for word in self._stop), default=0)
        said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return said


def _overlap(text: str, word: str) -> int:
    """How many characters at the end of `text` may be the beginning of `word`."""
    return next((size for size in range(min(len(text), len(word) - 1), 0, -1) if word.startswith(text[-size:])), 0)


class Engine(Protocol):
    """What a process holds. `hello` goes with the word that it is ready."""

    hello: Mapping[str, Any]

    def prepare(self, job: Job) -> None:
        """Get a request ready, in the main thread, where templates can be given a limit of time. Raises `Failure`."""
        ...

    def work(self, job: Job) -> None:
        """Answer one request, in a thread of its own. Raises `Failure`, or whatever its library does."""
        ...


def serve(opened: Callable[[Mapping[str, Any]], Engine]) -> None:
    """Load with the first frame, then answer frames until the parent goes away. As many threads as `parallel` says."""
    parent = Parent()
    parent.beat()
    frames = parent.frames()
    options = next(frames)["open"]
    try:
        engine = opened(options)
    except (Failure, OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
        parent.send({"fatal": f"the runtime cannot load the model: {error}"})
        sys.exit(1)
    jobs: dict[int, Job] = {}
    pool = ThreadPoolExecutor(int(options.get("parallel", 1)), "request")
    parent.send({"ready": True, **engine.hello})
    for frame in frames:
        if "cancel" in frame:
            if job := jobs.get(frame["id"]):
                job.cancelled.set()
            continue
        job = jobs[frame["id"]] = Job(frame, parent.send)
        try:
            engine.prepare(job)
        except Failure as error:
            jobs.pop(job.frame["id"]).fail(error.kind, str(error))
            continue
        pool.submit(engine.work, job).add_done_callback(partial(_settle, job, jobs))
    os._exit(0)  # the parent is gone: nothing is worth waiting for


def _settle(job: Job, jobs: dict[int, Job], future: Future[None]) -> None:
    jobs.pop(job.frame["id"], None)
    error = future.exception()
    if isinstance(error, Failure):
        job.fail(error.kind, str(error))
    elif error is not None:
        job.fail("server_error", f"{type(error).__name__}: {error}")
