"""Answers that take time: their work ends when the client leaves, and a client that does not read costs little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

import msgspec
from litestar.types import Receive, Scope, Send

from kith.core.errors import KithError
from kith.gateway.failures import Failure, Gone, Refusal, translate
from kith.gateway.patience import Patience

T = TypeVar("T")

_SOON = 0.02  # seconds before anybody looks whether the client is still there: most answers are out by then
SSE = "text/event-stream"
PLAIN = "text/plain; charset=utf-8"


def sse(data: bytes, event: str = "", id: str = "") -> bytes:  # noqa: A002  # the field's name in the specification
    """One server-sent event (WHATWG HTML, 9.2). `data` is JSON, so it has no line breaks."""
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return head.encode() + b"data: " + data + b"\n\n"


class closing(Generic[T]):  # noqa: N801  # as contextlib names such
    """Iterate `items`, and close them at the end at once where they can be closed: that frees a model's slot."""

    __slots__ = ("_items",)

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items = items

    async def __aenter__(self) -> AsyncIterator[T]:
        return self._items

    async def __aexit__(self, *_: object) -> None:
        if close := cast("Callable[[], Awaitable[None]] | None", getattr(self._items, "aclose", None)):
            await close()


class Whole:
    """An ASGI application that computes one JSON answer, and stops computing when the client leaves."""

    def __init__(self, work: Callable[[], Awaitable[tuple[int, Any]]]) -> None:
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer() -> None:
            try:
                status, value = await self._work()
            except Exception as error:  # noqa: BLE001  # translated for the client
                await Refusal(translate(error))(scope, receive, send)
                return
            body = msgspec.json.encode(value)
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        await attended(receive, answer)


class Streamed:
    """An ASGI application that sends the bytes of `chunks` while they come.

    - Before the first chunk an error is a proper error response; later `failed` renders it into the stream, and
      without `failed` the connection is cut, so that nobody takes half an answer for a whole one.
    - When the client leaves, or leaves what was sent unread for `patience` seconds, the generator is closed at once.
    - A slow client is waited for: no more than the socket's own buffer (64 KiB) is held for it.
    - A stream that says nothing for `heartbeat` seconds sends an SSE comment; 0 for none.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        media: str,
        *,
        patience: float,
        failed: Callable[[Failure], bytes] | None = None,
        heartbeat: float = 0,
    ) -> None:
        self._chunks, self._media, self._patience = chunks, media, patience
        self._failed, self._heartbeat = failed, heartbeat
        self._started = self._quiet = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        patience = Patience(self._patience)

        async def pump() -> None:
            async with aclosing(self._chunks) as chunks:
                try:
                    async for chunk in chunks:
                        await self._send(send, chunk, patience)
                except Exception as error:  # noqa: BLE001  # translated for the client
                    if not await self._fail(error, (scope, receive, send), patience):
                        return
            await self._send(send, b"", patience, more=False)

        try:
            await attended(receive, pump, (lambda: self._beat(send)) if self._heartbeat else None)
        finally:
            patience.close()

    async def _send(self, send: Send, chunk: bytes, patience: Patience, *, more: bool = True) -> None:
        self._quiet = False
        with patience:
            if not self._started:
                self._started = True
                headers = [(b"content-type", self._media.encode()), (b"x-accel-buffering", b"no")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            if chunk or not more:
                await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _fail(self, error: Exception, reply: tuple[Scope, Receive, Send], patience: Patience) -> bool:
        """Tell the client; whether the stream can be ended properly afterwards."""
        if isinstance(error, TimeoutError | Gone):
            return False
        failure = translate(error)
        if not self._started:
            await Refusal(failure)(*reply)
            return False
        if self._failed is None:
            return False
        await self._send(reply[2], self._failed(failure), patience)
        return True

    async def _beat(self, send: Send) -> None:
        patience = Patience(self._patience)
        try:
            if not self._started:
                await self._send(send, b": hello\n\n", patience)
            while True:
                self._quiet = True
                await asyncio.sleep(self._heartbeat)
                if self._quiet:
                    await self._send(send, b": still here\n\n", patience)
        finally:
            patience.close()


async def attended(
    receive: Receive, work: Callable[[], Awaitable[None]], beside: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> None:
    """Run `work` until it is done, the client leaves, or `beside` ends. Whatever still runs then is cancelled.

    What is done at once is not watched: the watcher is a task, and comes `_SOON` seconds later.
    """
    task, over = cast("asyncio.Task[None]", asyncio.current_task()), False
    others: list[asyncio.Future[None]] = []

    def stop(_: object) -> None:
        nonlocal over
        if not over:
            over = True
            task.cancel()

    def watch(one: Coroutine[Any, Any, None]) -> None:
        others.append(asyncio.ensure_future(one))
        others[-1].add_done_callback(stop)

    if beside is not None:
        watch(beside())
    timer = task.get_loop().call_later(_SOON, lambda: watch(_left(receive)))
    try:
        await work()
    except asyncio.CancelledError:
        if not over or task.uncancel():  # somebody else's wish too
            raise
    except (KithError, TimeoutError):
        pass
    except Exception as error:  # noqa: BLE001  # logged there: nothing can be told to the client any more
        translate(error)
    finally:
        over = True
        timer.cancel()
        for one in others:
            one.remove_done_callback(stop)
            one.add_done_callback(_heed)
            one.cancel()


async def _left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _heed(task: asyncio.Future[None]) -> None:
    """What goes wrong beside an answer that is over is nobody's business."""
    if not task.cancelled():
        task.exception()
