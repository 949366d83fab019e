"""An endpoint that speaks OpenAI's API: vLLM, SGLang, Ollama, LM Studio, llama-server, a cloud."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx

from kith.core.errors import Invalid, NotFound, Unavailable
from kith.core.message import Delta, Image
from kith.core.model import ChatRequest, ModelCard
from kith.models.backend import Means, ModelSettings, likely
from kith.models.openai_compat.profiles import profile_of
from kith.models.openai_compat.settings import OpenAIOptions
from kith.models.openai_compat.wire import Chunks, body, refusal
from kith.runtime.leaks import masked
from kith.runtime.telemetry import get_logger

log = get_logger(__name__)
_EVENT = 4 * 1024 * 1024  # characters of one event that are believed
_ANSWER = 64 * 1024 * 1024  # bytes of one whole answer
_CONTEXT = 8192
_ACCEPT = "application/json, text/event-stream"


class OpenAICompat:
    """One model behind one endpoint. Nothing is loaded here; `start` does not ask, so that it works offline."""

    def __init__(self, settings: ModelSettings, options: OpenAIOptions, means: Means) -> None:
        if not settings.url:
            raise Invalid(f"the model {settings.name!r} needs a url", code="no_url")
        self._settings, self._options, self._means = settings, options, means
        self._model = settings.model or settings.name
        self._ready = False
        key, agent = settings.api_key.get_secret_value(), {"User-Agent": "kith", "Content-Type": "application/json"}
        given = {"Authorization": f"Bearer {key}"} if key else {}
        self._headers = httpx.Headers({"Accept": _ACCEPT, **agent, **given, **options.headers}).raw
        self._patience = {"timeout": httpx.Timeout(options.timeout, connect=10.0).as_dict()}
        self._urls = dict[str, httpx.URL]()
        self._profile = profile_of(options.profile, settings.url)
        self._sees = settings.type == "vision"
        kind = {"embedding": "embed", "rerank": "rerank"}.get(settings.type, "chat")
        abilities = ("chat", "stream", "tools", "json", "logprobs", *(["vision"] if self._sees else []))
        abilities = abilities if kind == "chat" else (kind,)
        self.card = ModelCard(
            settings.name, kind, "openai_compat", context=settings.context or _CONTEXT, capabilities=abilities
        )

    async def start(self) -> None:
        if not self._ready:
            self._ready = True
            self._means.changed("ready", "")

    async def stop(self) -> None:
        self._ready = False
        self._means.changed("stopped", "")

    async def count(self, text: str) -> int | None:  # noqa: ARG002 - the port's signature
        return None

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Continue a conversation there. Closing the iterator closes the connection, which stops the endpoint."""
        pictures = await self._pictures(request) if self._sees else {}
        asked = body(request, self._model, self._settings.max_tokens, self._profile, pictures)
        asked |= {"stream": True} | self._options.extra
        if self._options.usage:
            asked["stream_options"] = {"include_usage": True}
        chunks = Chunks(self.card.name)
        async with self._post("/chat/completions", asked) as response:
            async for data in _events(response, self.card.name):
                if text := chunks.feed(data):
                    yield Delta(text, model=self.card.name, logprobs=likely(chunks.likely, request.sampling))
        if not chunks.finish:
            raise Unavailable(f"the endpoint of {self.card.name} broke off its answer", code="worker_lost")
        yield chunks.last()

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""
        async with self._post("/embeddings", {"model": self._model, "input": list(texts)}) as response:
            answer: Any = await _json(response)
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            found = [[float(value) for value in row["embedding"]] for row in rows]
        except (TypeError, KeyError, ValueError):
            found = []
        if len(found) != len(texts) or len({len(row) for row in found}) > 1:
            raise Unavailable(
                f"the endpoint of {self.card.name} answers something that is not its API", code="bad_answer"
            )
        return found

    async def rank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the query, as the endpoint scores it. Raises `Invalid` where it cannot."""
        if not self._profile.rerank:
            hint = "set `options.profile` of the model to the server that it is"
            raise Invalid(f"the endpoint of {self.card.name} is not known to rank", code="unsupported", hint=hint)
        if not texts:
            return []
        asked = {"model": self._model, "query": query, "documents": list(texts)}
        async with self._post(self._profile.rerank, asked) as response:
            answer: Any = await _json(response)
        try:
            listed: Any = cast("dict[str, Any]", answer)["results"] if isinstance(answer, dict) else answer
            rows = cast("list[dict[str, Any]]", listed)
            found = {
                int(row["index"]): float(row["relevance_score"] if "relevance_score" in row else row["score"])
                for row in rows
            }
            return [found[index] for index in range(len(texts))]
        except (TypeError, KeyError, ValueError, AttributeError):
            text = f"the endpoint of {self.card.name} answers something that is not its API"
            raise Unavailable(text, code="bad_answer") from None

    async def _pictures(self, request: ChatRequest) -> dict[str, str]:
        """The pictures of a conversation as data URLs; those that are not kept are left out."""
        found: dict[str, str] = {}
        for part in (part for message in request.messages for part in message.parts if isinstance(part, Image)):
            try:
                data = await self._means.fetch(part)
            except NotFound as error:
                log.debug("picture", model=self.card.name, error=error.message)
                continue
            found[part.blob] = f"data:{part.mime};base64,{base64.b64encode(data).decode()}"
        return found

    def _post(self, path: str, asked: dict[str, Any]) -> AbstractAsyncContextManager[httpx.Response]:
        return _sent(self._means.client, self.card.name, self._request(path, asked))

    def _request(self, path: str, asked: dict[str, Any]) -> httpx.Request:
        said = asked if self._settings.local else _masked(asked)
        content = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        url = self._url(path)
        framed = [(b"Host", url.netloc), (b"Content-Length", b"%d" % len(content)), *self._headers]
        return httpx.Request("POST", url, headers=framed, stream=httpx.ByteStream(content), extensions=self._patience)

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = httpx.URL(self._settings.url.rstrip("/") + path)
        return self._urls[path]


def _masked(value: Any, name: str = "") -> Any:
    """The same without secrets, before it goes to a machine that its owner has not called trusted. Tools and pictures
    stay as they are."""
    if isinstance(value, str):
        return value if value.startswith("data:image/") or name == "model" else masked(value)
    if isinstance(value, list):
        return [_masked(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: one if key == "tools" else _masked(one, key) for key, one in fields.items()}
    return value


@asynccontextmanager
async def _sent(client: httpx.AsyncClient, name: str, request: httpx.Request) -> AsyncGenerator[httpx.Response]:
    """The answer to `request`, once it is a good one; every failure becomes one of ours."""
    try:
        response = await client.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise refusal(response.status_code, await _json(response), name, response.headers.get("retry-after"))
            yield response
        finally:
            await response.aclose()
    except httpx.TimeoutException:
        raise Unavailable(f"the endpoint of {name} did not answer in time", code="deadline") from None
    except httpx.ConnectError:
        raise Unavailable(f"the endpoint of {name} cannot be reached", code="unreachable", retry_after=5.0) from None
    except httpx.HTTPError:
        raise Unavailable(f"the connection to the endpoint of {name} broke", code="worker_lost") from None


async def _json(response: httpx.Response) -> Any:
    try:
        return json.loads(await _whole(response))
    except ValueError:
        return None


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body while it comes; what `httpx` does around it is only needed where it is compressed."""
    plain = "content-encoding" not in response.headers and isinstance(response.stream, httpx.AsyncByteStream)
    return aiter(cast("httpx.AsyncByteStream", response.stream)) if plain else response.aiter_bytes()


async def _whole(response: httpx.Response) -> bytes:
    """The whole answer; empty when it is larger than any can be."""
    data = bytearray()
    async for piece in _pieces(response):
        data += piece
        if len(data) > _ANSWER:
            return b""
    return bytes(data)


async def _events(response: httpx.Response, name: str) -> AsyncIterator[str]:
    """The data of each server-sent event until ``[DONE]``; a plain JSON answer counts as one event.

    Comments, event names and fields other than data are skipped, as the specification of server-sent events says.
    """
    if "json" in response.headers.get("content-type", ""):
        yield (await _whole(response)).decode("utf-8", "replace")
        return
    buffer, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
    async for piece in _pieces(response):
        buffer += decoder.decode(piece)
        *lines, buffer = buffer.replace("\r\n", "\n").split("\n")
        for line in lines:
            data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
            if data == "[DONE]":
                return
            if data:
                yield data
        if len(buffer) > _EVENT:
            raise Unavailable(f"the endpoint of {name} sends an endless line", code="bad_answer")
