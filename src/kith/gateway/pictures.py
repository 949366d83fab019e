"""``/v1/images/generations``: pictures from words, where a model that draws is set up.

Source: https://platform.openai.com/docs/api-reference/images/create. A picture comes back as base 64; who asks for an
address gets a ``data:`` URL, because nothing that was drawn is kept here.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith.core.model import Picture
from kith.gateway.body import Call, read_json
from kith.gateway.failures import Absent
from kith.gateway.mind import Mind
from kith.gateway.ports import Draws, GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

_MOST = 4  # pictures of one request

Prompt = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]


class PictureBody(msgspec.Struct, frozen=True):
    """What is to be drawn. `seed`, `steps` and `negative_prompt` are not OpenAI's; sizes are in pixels."""

    prompt: Prompt
    model: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] | None = None
    size: Annotated[str, msgspec.Meta(pattern=r"^(auto|[0-9]{2,5}x[0-9]{2,5})$")] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    output_format: Literal["png"] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] | None = None
    steps: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    negative_prompt: Annotated[str, msgspec.Meta(max_length=8192)] = ""
    user: str | None = None


class Pictures:
    """The route that draws."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings, self._mind = ports, settings, Mind(ports)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """The route, ready to be registered."""
        drawn = {"body": PictureBody, "answer": "Images", "role": "guest"}
        return (post("/v1/images/generations", status_code=200, opt=drawn)(self.draw),)

    async def draw(self, request: Call) -> ASGIApp:
        """Draw pictures from words, one after another."""
        models, cards = self._ports.models, self._mind.cards("image")
        if not cards or not isinstance(models, Draws):
            raise Absent("no model here draws")
        body = await read_json(request, PictureBody, self._settings)
        card = self._mind.card(body.model, "image") if body.model else cards[0]

        async def work() -> tuple[int, Any]:
            if self._ports.judge is not None:
                await self._ports.judge.direct([body.prompt], ())
            found = [await models.draw(_picture(body, number), card.name) for number in range(body.n or 1)]
            data = [_shown(picture, body) for picture in found]
            about = {"model": card.name}
            return 200, {"created": int(self._ports.clock.now()), "data": data, "output_format": "png", "kith": about}

        return Whole(work)


def _picture(body: PictureBody, number: int) -> Picture:
    """The picture of this number; with a seed, each has its own."""
    width, height = (int(side) for side in body.size.split("x")) if body.size and body.size != "auto" else (0, 0)
    seed = None if body.seed is None else (body.seed + number) % (1 << 32)
    return Picture(body.prompt, width, height, body.steps or 0, seed, body.negative_prompt)


def _shown(picture: bytes, body: PictureBody) -> dict[str, str]:
    text = base64.b64encode(picture).decode()
    return {"url": f"data:image/png;base64,{text}"} if body.response_format == "url" else {"b64_json": text}
