"""Personas over HTTP: imported, chosen, worn in one's own conversation, removed; by admins, and written down."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

from kith.dialogue.personas.cast import Cast


def packed(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def picture(card: object) -> bytes:
    made = b"\x89PNG\r\n\x1a\n"
    text = b"chara\0" + base64.b64encode(json.dumps(card).encode())
    for kind, body in ((b"tEXt", text), (b"IEND", b"")):
        made += struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
    return made


def furnished(build: Any, folder: Path) -> tuple[Any, Cast]:
    house = build()
    cast = Cast(folder / "personas", house.log.shelf)
    object.__setattr__(house.ports, "personas", cast)
    return house, cast


def test_cards_are_imported_chosen_and_removed(build: Any, tmp_path: Path) -> None:
    async def story() -> None:
        house, cast = furnished(build, tmp_path)
        files = {
            "l.yaml": b"name: Lin\n",
            "m.json": json.dumps({"data": {"name": "Max", "first_mes": "Hi"}}).encode(),
            "a.png": picture({"name": "Ada", "description": "counts"}),
        }
        async with house.client("owner") as client:
            for name, raw in files.items():
                made = await client.post("/api/personas", json={"name": name, "file": packed(raw)})
                assert made.status_code == 201, made.text
            listed = (await client.get("/api/personas")).json()
            assert [row["name"] for row in listed["personas"]] == ["kith", "ada", "lin", "max"]
            assert [row["builtin"] for row in listed["personas"]] == [True, False, False, False]
            assert (await client.put("/api/personas/default", json={"name": "Max"})).json()["id"] == "max"
            assert (await client.get("/api/personas")).json()["default"] == "max"
            assert (await client.delete("/api/personas/max")).status_code == 200
            assert (await client.get("/api/personas")).json()["default"] == "kith"
            assert (await client.delete("/api/personas/kith")).status_code == 403
            assert (await client.delete("/api/personas/max")).status_code == 404
            assert (await client.put("/api/personas/default", json={"name": "max"})).status_code == 404
            for raw in (b"\xff\xfe", b"name: [", b"\x89PNG\r\n\x1a\n", b"name: '../..'\n", b'{"data": {}}'):
                wrong = await client.post("/api/personas", json={"name": "x", "file": packed(raw)})
                assert wrong.status_code == 400, raw
            for body in (
                {},
                {"name": "x", "file": "no base 64!"},
                {"name": "", "file": "eA=="},
                {"name": 1, "file": 2},
            ):
                assert (await client.post("/api/personas", json=body)).status_code == 400
            gone = await client.put("/api/conversations/none/persona", json={"name": "lin"})
            assert gone.status_code == 404
        assert [key for key, _ in cast.all()] == ["kith", "ada", "lin"]
        acts = [act.name for act in house.log.acts if act.name.startswith("persona.")]
        assert acts[:5] == ["persona.add"] * 3 + ["persona.default", "persona.remove"]

    asyncio.run(story())


def test_guests_may_look_only(build: Any, tmp_path: Path) -> None:
    async def story() -> None:
        house, cast = furnished(build, tmp_path)
        async with house.client("guest") as client:
            assert (await client.get("/api/personas")).status_code == 200
            body = {"name": "l.yaml", "file": packed(b"name: Lin\n")}
            assert (await client.post("/api/personas", json=body)).status_code == 403
            assert (await client.put("/api/personas/default", json={"name": "kith"})).status_code == 403
            assert (await client.delete("/api/personas/kith")).status_code == 403
        assert len(cast.all()) == 1

    asyncio.run(story())


def test_a_card_with_a_large_picture_is_taken_and_other_requests_keep_their_limit(build: Any, tmp_path: Path) -> None:
    async def story() -> None:
        house, _ = furnished(build, tmp_path)
        made = picture({"name": "Ada"})
        large = made[:-12] + struct.pack(">I4s", 7_000_000, b"prVt") + bytes(7_000_000)
        large += struct.pack(">I", zlib.crc32(b"prVt" + bytes(7_000_000))) + made[-12:]
        body = {"name": "a.png", "file": packed(large)}
        assert len(body["file"]) > house.gateway._settings.max_body
        async with house.client() as client:
            assert (await client.post("/api/personas", json=body)).status_code == 201
            assert (await client.put("/api/personas/default", json=body)).status_code == 413
            body["file"] += "A" * 4_000_000
            assert (await client.post("/api/personas", json=body)).status_code == 413

    asyncio.run(story())
