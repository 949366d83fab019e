"""``/v1/models``, ``/v1/embeddings``, ``/v1/moderations``, and plain words about what is not served yet.

Source: https://platform.openai.com/docs/api-reference. A client that names an ``anthropic-version`` gets the list of
models in Anthropic's words: https://docs.anthropic.com/en/api/models-list.
"""

from __future__ import annotations

import array
import base64
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith.core.errors import Fault, Invalid
from kith.core.model import ModelCard
from kith.gateway.body import Call, read_json
from kith.gateway.failures import Absent
from kith.gateway.mind import HOUSE, Mind, no_model
from kith.gateway.ports import GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

_TEXTS = 2048
_ASSISTANT = ModelCard(HOUSE, "chat", HOUSE, capabilities=("chat", "stream"))
_ABSENT = {
    "/v1/audio/transcriptions": "no model here turns speech into text",
    "/v1/audio/translations": "no model here translates speech",
    "/v1/audio/speech": "no model here speaks",
    "/v1/images/edits": "no model here draws",
    "/v1/images/variations": "no model here draws",
}

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000_000)]
Lines = Annotated[list[Line], msgspec.Meta(min_length=1, max_length=_TEXTS)]


class EmbeddingBody(msgspec.Struct, frozen=True):
    """Texts to be turned into vectors."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    input: Line | Lines
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    user: str | None = None


class ModerationBody(msgspec.Struct, frozen=True):
    """Texts to be judged."""

    input: Line | Lines
    model: str | None = None


class Catalogue:
    """The routes of ``/v1`` that do not talk."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings, self._mind = ports, settings, Mind(ports)
        self._born = int(ports.clock.now())

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        vectors = {"body": EmbeddingBody, "answer": "Embeddings", "role": "guest", "lane": True}
        judged = {"body": ModerationBody, "answer": "Moderation", "role": "guest"}
        return (
            get("/v1/models", opt={"answer": "ModelList", "role": "guest"})(self.models),
            get("/v1/models/{name:path}", opt={"answer": "Model", "role": "guest"})(self.model),
            post("/v1/embeddings", opt=vectors)(self.embeddings),
            post("/v1/moderations", opt=judged)(self.moderations),
            post(list(_ABSENT), opt={"answer": "Nothing", "role": "guest", "absent": True})(self.absent),
        )

    async def models(self, request: Call) -> ASGIApp:
        """List the models: the assistant itself as `kith`, and each model that talks, draws or makes vectors."""
        shape = self._shape(request)

        async def work() -> tuple[int, Any]:
            found = [shape(card) for card in (_ASSISTANT, *self._mind.cards("chat", "embed", "image"))]
            if not _anthropic(request):
                return 200, {"object": "list", "data": found}
            return 200, {"data": found, "has_more": False, "first_id": found[0]["id"], "last_id": found[-1]["id"]}

        return Whole(work)

    async def model(self, request: Call, name: FromPath[str]) -> ASGIApp:
        """Describe one model."""
        wanted, shape = name.removeprefix("/"), self._shape(request)

        async def work() -> tuple[int, Any]:
            for card in (_ASSISTANT, *self._mind.cards("chat", "embed", "image")):
                if card.name == wanted:
                    return 200, shape(card)
            raise no_model(wanted)

        return Whole(work)

    async def embeddings(self, request: Call) -> ASGIApp:
        """Turn texts into vectors."""
        body = await read_json(request, EmbeddingBody, self._settings)
        card = self._mind.card(body.model, "embed")
        texts = [body.input] if isinstance(body.input, str) else body.input

        async def work() -> tuple[int, Any]:
            rows = await self._ports.models.embed(texts, card.name)
            if body.dimensions and rows and len(rows[0]) != body.dimensions:
                fault = Fault("dimensions", f"the vectors of {card.name!r} have {len(rows[0])} numbers, and stay whole")
                raise Invalid("the request is not valid", faults=(fault,), code="invalid_request")
            tokens = sum([await self._ports.models.count(text, card.name) for text in texts])
            whole = body.encoding_format == "float"
            data = [
                {"object": "embedding", "index": index, "embedding": list(row) if whole else _packed(row)}
                for index, row in enumerate(rows)
            ]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            return 200, {"object": "list", "data": data, "model": card.name, "usage": usage}

        return Whole(work)

    async def moderations(self, request: Call) -> ASGIApp:
        """Judge texts by the house's content filter."""
        body = await read_json(request, ModerationBody, self._settings)
        judge = self._ports.judge
        if judge is None:
            raise Absent("no content filter is set up here")
        texts = [body.input] if isinstance(body.input, str) else body.input

        async def work() -> tuple[int, Any]:
            found = [await judge.judge(text) for text in texts]
            results = [
                {
                    "flagged": any(score >= 0.5 for score in scores.values()),
                    "categories": {name: score >= 0.5 for name, score in scores.items()},
                    "category_scores": dict(scores),
                }
                for scores in found
            ]
            return 200, {"id": self._ports.ids.new("modr"), "model": "kith-filter", "results": results}

        return Whole(work)

    async def absent(self, request: Call) -> ASGIApp:
        """Say that no model here can do this."""
        raise Absent(_ABSENT.get(request.url.path.rstrip("/"), "nothing here does this"))

    def _shape(self, request: Call) -> Any:
        return self._foreign if _anthropic(request) else self._own

    def _own(self, card: ModelCard) -> dict[str, Any]:
        about = {"kind": card.kind, "context": card.context, "capabilities": list(card.capabilities)}
        head = {"id": card.name, "object": "model", "created": self._born, "owned_by": card.backend}
        return {**head, "kith": about}

    def _foreign(self, card: ModelCard) -> dict[str, Any]:
        made = datetime.fromtimestamp(self._born, UTC).isoformat().replace("+00:00", "Z")
        return {"type": "model", "id": card.name, "display_name": card.name, "created_at": made}


def _anthropic(request: Call) -> bool:
    return "anthropic-version" in request.headers


def _packed(row: Sequence[float]) -> str:
    """Little-endian 32-bit floats in base 64, as OpenAI's clients ask for them by default."""
    numbers = array.array("f", row)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
