"""A real server on loopback that speaks OpenAI's API, badly on demand, and serves files in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.response import Redirect, Stream


def event(data: object) -> str:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\r\n\r\n"


def chunk(text: str = "", finish: str | None = None, **more: Any) -> str:
    return event({"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]})


def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments, **more.pop("function", {})}, **more}]}


class Endpoint:
    """What it heard, and what it does: the model's name chooses."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.ended = asyncio.Event()
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.breaks = 0
        self.headers: dict[str, str] = {}
        self.file_headers: dict[str, str] = {}
        self.url = ""

    def app(self) -> Litestar:
        @post("/v1/chat/completions", status_code=200)
        async def chat(request: Request[Any, Any, Any]) -> Response[Any] | Stream:
            asked = await request.json()
            self.heard.append(asked)
            self.keys.append(request.headers.get("authorization"))
            return self.answer(asked["model"])

        @post("/v1/embeddings", status_code=200)
        async def embeddings(request: Request[Any, Any, Any]) -> dict[str, Any]:
            texts = (await request.json())["input"]
            rows = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(texts)]
            return {"data": rows[::-1]}

        @get("/files/{name:path}")
        async def file(request: Request[Any, Any, Any]) -> Response[Any] | Stream:
            return self.file(str(request.path_params["name"]), request.headers.get("range"))

        @get("/{owner:str}/{repo:str}/resolve/{revision:str}/{name:path}")
        async def hub(request: Request[Any, Any, Any]) -> Redirect:
            return Redirect(f"/files{request.path_params['name']}", headers=self.headers)

        return Litestar([chat, embeddings, file, hub], openapi_config=None)

    def answer(self, model: str) -> Response[Any] | Stream:
        if model.isdigit():
            said = {
                "error": {"message": f"this is {model}", "code": "context_length_exceeded" if model == "422" else ""}
            }
            return Response(said, status_code=int(model), headers={"Retry-After": "7"})
        if model == "json":
            return Response({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]})
        if model == "html":
            return Response("<html>no</html>", media_type="text/html")
        return Stream(self.stream(model), media_type="text/event-stream")

    async def stream(self, model: str) -> AsyncIterator[str]:
        try:
            async for piece in self.pieces(model):
                yield piece
        finally:
            self.ended.set()

    async def pieces(self, model: str) -> AsyncIterator[str]:
        match model:
            case "tools":
                yield chunk(finish=None, **call(0, "", id="c1", function={"name": "weather"}))
                yield chunk(**call(0, '{"city":'))
                yield chunk(**call(0, '"上海"}'))
                yield chunk(**call(1, "{}", id="c2", function={"name": "clock"}))
                yield chunk(finish="tool_calls")
            case "endless":
                while True:
                    yield chunk("x")
                    await asyncio.sleep(0.005)
            case "likely":
                odds = {"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "a", "logprob": -0.1}]}
                yield event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [odds]}}]})
                yield event({"choices": [{"delta": {"content": "b"}, "logprobs": {"content": ["odd", 5]}}]})
                yield chunk(finish="stop")
            case "halfway":
                yield chunk("half")
            case "nonsense":
                yield event("{not json")
            case "list":
                yield event([1, 2])
            case "types":
                yield event({"choices": [{"delta": {"content": 5}}]})
            case "types2":
                yield event({"choices": "many"})
            case "late error":
                yield chunk("one")
                yield event({"error": {"message": "out of memory"}})
            case "line":
                while True:
                    yield "data: " + "x" * 1_000_000
                    await asyncio.sleep(0.001)
            case "silent":
                await asyncio.sleep(60)
            case _:
                yield ": a comment\r\n\r\nevent: ping\r\n"
                for word in ("Hello", " 世", "界"):
                    yield chunk(word)
                yield chunk(finish="stop")
                usage = {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
                yield event({"choices": [], "usage": usage})
                yield "data: [DONE]\n\n"

    def file(self, name: str, wanted: str | None) -> Response[Any] | Stream:
        self.ranges.append(wanted)
        data = self.files.get(name.lstrip("/"))
        if data is None:
            return Response("", status_code=404)
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = data[begin:]
        headers = {"ETag": '"v1"', "Content-Length": str(len(body)), **self.file_headers}
        if wanted:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        if self.breaks > 0:
            self.breaks -= 1
            body = body[: len(body) // 2]

        async def pieces() -> AsyncIterator[bytes]:
            yield body
            if int(headers["Content-Length"]) > len(body):
                raise ConnectionResetError

        return Stream(pieces(), headers=headers, status_code=206 if wanted else 200, media_type="binary/octet-stream")


@asynccontextmanager
async def serving() -> AsyncGenerator[Endpoint]:
    """A running endpoint; its `url` ends before /v1."""
    endpoint = Endpoint()
    config = uvicorn.Config(endpoint.app(), port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    endpoint.url = f"http://127.0.0.1:{port}"
    try:
        yield endpoint
    finally:
        server.should_exit = server.force_exit = True
        with suppress(asyncio.CancelledError):
            await task
