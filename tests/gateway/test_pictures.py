"""``/v1/images/generations`` without a network."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import pytest

from kith.core.errors import Invalid
from kith.core.model import ModelCard, Picture

PATH = "/v1/images/generations"
PNG = b"\x89PNG\r\n\x1a\n and more"


def drawing(house: Any) -> list[tuple[Picture, str]]:
    """Let the house draw; returns what it is asked."""
    asked = list[tuple[Picture, str]]()

    def cards() -> Sequence[ModelCard]:
        return (ModelCard("small", "chat", "echo"), ModelCard("brush", "image", "echo", capabilities=("image",)))

    async def draw(picture: Picture, model: str = "") -> bytes:
        asked.append((picture, model))
        if picture.width % 8:
            raise Invalid("sides are multiples of 8", code="unsupported")
        return PNG

    house.models.cards, house.models.draw = cards, draw
    return asked


def test_a_picture_from_words(build: Any) -> None:
    async def story() -> None:
        house = build()
        asked = drawing(house)
        async with house.client() as client:
            body = (await client.post(PATH, json={"prompt": "一只猫", "size": "512x256", "n": 2, "seed": 5})).json()
            assert [base64.b64decode(one["b64_json"]) for one in body["data"]] == [PNG, PNG]
            assert body["kith"] == {"model": "brush"}
            assert [(one.prompt, one.width, one.height, one.seed) for one, _ in asked] == [
                ("一只猫", 512, 256, 5),
                ("一只猫", 512, 256, 6),
            ]
            more = {"model": "brush", "response_format": "url", "size": "auto"}
            body = (await client.post(PATH, json={"prompt": "a cat", **more})).json()
            assert body["data"][0]["url"].startswith("data:image/png;base64,")
            assert (asked[-1][0].width, asked[-1][1]) == (0, "brush")
            assert "brush" in [one["id"] for one in (await client.get("/v1/models")).json()["data"]]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"prompt": ""}, 400),
        ({"prompt": "x" * 9000}, 400),
        ({"prompt": 5}, 400),
        ({"n": 0}, 400),
        ({"n": 99}, 400),
        ({"size": "9x9"}, 400),
        ({"size": "511x512"}, 400),
        ({"size": "512x512; rm"}, 400),
        ({"seed": -1}, 400),
        ({"output_format": "webp"}, 400),
        ({"model": "small"}, 404),
        ({"model": "none"}, 404),
    ],
)
def test_what_cannot_be_drawn(build: Any, wrong: dict[str, Any], status: int) -> None:
    async def story() -> None:
        house = build()
        drawing(house)
        async with house.client() as client:
            answer = await client.post(PATH, json={"prompt": "a cat", **wrong})
            assert answer.status_code == status, answer.text
            assert (await client.post(PATH, content=b"\xff" * 100)).json()["error"]["code"] == "not_json"

    asyncio.run(story())
