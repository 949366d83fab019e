"""The child's end of a supervised process that answers requests: `serve` an engine to the parent.

Frames in: ``open`` (how to begin), then requests with an ``id``, or ``cancel`` with the id of one. Frames out: whatever
the engine says with `Job.send`, or ``error`` with a type and a message. Standard library only.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
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
    """One request: `frame` is what was asked, and `cancelled` is set when nobody waits for it any more."""

    def __init__(self, frame: Mapping[str, Any], send: Callable[[Mapping[str, Any]], None]) -> None:
        self.frame = frame
        self.cancelled = threading.Event()
        self._send = send

    def send(self, **values: Any) -> None:
        """Answer with a frame."""
        self._send({"id": self.frame["id"], **values})

    def fail(self, kind: str, message: str) -> None:
        """Answer with an error."""
        self.send(error={"type": kind, "message": message[:2000]})


class Engine(Protocol):
    """What a process holds."""

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
    parent.send({"ready": True})
    for frame in frames:
        if "cancel" in frame:
            if job := jobs.get(frame["id"]):
                job.cancelled.set()
            continue
        job = jobs[frame["id"]] = Job(frame, parent.send)
        pool.submit(engine.work, job).add_done_callback(partial(_settle, job, jobs))
    os._exit(0)  # the parent is gone: nothing is worth waiting for


def _settle(job: Job, jobs: dict[int, Job], future: Future[None]) -> None:
    jobs.pop(job.frame["id"], None)
    error = future.exception()
    if isinstance(error, Failure):
        job.fail(error.kind, str(error))
    elif error is not None:
        job.fail("server_error", f"{type(error).__name__}: {error}")
