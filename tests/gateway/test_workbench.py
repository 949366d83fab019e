"""Settings, the flow's text, knowledge and figures over the API, on a real house without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from kith.dialogue import FlowBook
from kith.dialogue.workshop.studio import Studio
from kith.gateway import Gateway, GatewaySettings
from kith.knowledge import KnowledgeSettings, Library
from kith.runtime.edits import MASK, Edits
from kith.runtime.telemetry import counter, histogram
from kith.settings import Settings

FLOW = """\
# mine
intents:
  - name: tea
    patterns: ["make tea", "a cup of tea please"]
    responses: ["At once."]
"""


@asynccontextmanager
async def opened(build: Any, folder: Path, role: str = "owner") -> AsyncGenerator[tuple[Any, httpx.AsyncClient]]:
    house = build()
    ports = replace(
        house.ports,
        preferences=Edits(Settings, folder / "kith.yaml", Settings(), house.log),
        studio=Studio(FlowBook(), folder / "flow.yaml", house.clock),
        knowledge=Library(KnowledgeSettings()),
    )
    house.gateway = Gateway(ports, GatewaySettings(port=0))
    async with house.client(role) as client:
        yield house, client


def test_settings_are_read_changed_and_refused_by_their_key(build: Any, tmp_path: Path) -> None:
    (tmp_path / "kith.yaml").write_text("# home\nlog:\n  level: info\n", "utf-8")

    async def story() -> None:
        async with opened(build, tmp_path) as (house, client):
            told = (await client.get("/api/settings")).json()
            assert told["values"]["log"]["level"] == "info"
            port = told["schema"]["$defs"]["GatewaySettings"]["properties"]["port"]
            assert port["description"] == "Port to listen on; 0 takes any free one."
            told = (await client.get("/api/settings?locale=zh-CN")).json()
            port = told["schema"]["$defs"]["GatewaySettings"]["properties"]["port"]
            assert (port["description"], port["default"]) == ("监听的端口；0 表示任选一个空闲端口", 8787)
            chinese = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
            told = (await client.get("/api/settings", headers=chinese)).json()
            assert told["schema"]["$defs"]["GatewaySettings"]["properties"]["port"] == port
            told = (await client.get("/api/settings?locale=en", headers=chinese)).json()
            assert told["schema"]["$defs"]["GatewaySettings"]["properties"]["port"] != port
            for headers, reason in ((chinese, "不能大于 65535"), ({}, "has to be at most 65535")):
                changes = {"changes": {"gateway.port": 99999}}
                wrong = (await client.put("/api/settings", json=changes, headers=headers)).json()["error"]
                assert [(one["path"], one["reason"]) for one in wrong["faults"]] == [("gateway.port", reason)]
                assert wrong["message"] == ("这些设置不能使用" if headers else "these settings cannot be used")
            done = await client.put("/api/settings", json={"changes": {"gateway.port": 9999, "log.level": None}})
            assert done.json()["changed"] == ["gateway.port", "log.level"]
            assert "gateway.port" in done.json()["waiting"]
            assert (tmp_path / "kith.yaml").read_text("utf-8").startswith("# home\n")
            for key, value in (("gateway.port", "high"), ("gateway.prt", 1), ("gateway.host", "0.0.0.0")):
                wrong = await client.put("/api/settings", json={"changes": {key: value}})
                assert wrong.status_code == 400, key
                assert wrong.json()["error"]["faults"][0]["path"].startswith("gateway")
            assert [act.name for act in house.log.acts if act.name.startswith("settings")] == ["settings.change"]
        async with opened(build, tmp_path, "admin") as (_, client):
            assert (await client.get("/api/settings")).status_code == 403
            assert (await client.put("/api/settings", json={"changes": {}})).status_code == 403

    asyncio.run(story())


def test_a_secret_never_leaves(build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_KEY", "sk-very-secret")
    text = "models:\n  - {name: far, backend: openai_compat, base_url: 'https://x.example', api_key: '${THEIR_KEY}'}\n"
    (tmp_path / "kith.yaml").write_text(text, "utf-8")

    async def story() -> None:
        async with opened(build, tmp_path) as (_, client):
            answer = await client.get("/api/settings")
            if answer.status_code == 200:
                assert MASK in answer.text
            assert "sk-very-secret" not in answer.text

    asyncio.run(story())


def test_a_flow_is_read_checked_tried_and_written(build: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(build, tmp_path) as (house, client):
            source = (await client.get("/api/flow/source")).json()
            assert source["builtin"] is True
            assert (await client.post("/api/flow/check", json={"text": source["text"]})).status_code == 200
            broken = await client.post("/api/flow/check", json={"text": "intents:\n  - nme: x\n"})
            assert broken.status_code == 400
            assert broken.json()["error"]["faults"][0]["line"] == 2
            assert (await client.put("/api/flow/source", json={"text": "intents: ["})).status_code == 400
            assert not (tmp_path / "flow.yaml").exists()
            written = await client.put("/api/flow/source", json={"text": FLOW})
            assert (written.status_code, [one["name"] for one in written.json()["intents"]]) == (200, ["tea"])
            assert (tmp_path / "flow.yaml").read_text("utf-8") == FLOW
            assert "flow.yaml" in (tmp_path / "kith.yaml").read_text("utf-8")
            tried = (await client.post("/api/flow/try", json={"text": "please make tea"})).json()
            assert (tried["understanding"]["intent"], tried["answer"]) == ("tea", "At once.")
            assert (await client.get("/api/flow/report")).json()["phrases"] == 2
            assert "flow.write" in [act.name for act in house.log.acts]
        async with opened(build, tmp_path, "admin") as (_, client):
            assert (await client.put("/api/flow/source", json={"text": FLOW})).status_code == 403

    asyncio.run(story())


def test_knowledge_is_searched(build: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(build, tmp_path, "guest") as (_, client):
            found = (await client.get("/api/knowledge?q=how do I add a model&locale=en")).json()["passages"]
            assert found
            assert found[0]["source"]
            for wrong in ("", "q=", f"q={'x' * 501}", "q=a&limit=0"):
                assert (await client.get(f"/api/knowledge?{wrong}")).status_code == 400

    asyncio.run(story())


@pytest.mark.server
def test_figures_of_a_house_that_serves(build: Any) -> None:
    async def story() -> None:
        house = build()
        async with house.serving() as (address, token), httpx.AsyncClient(base_url=address) as client:
            counter("kith_test_total", "For a test.", ("kind",)).add(2, kind="a")
            times = histogram("kith_test_seconds", "For a test.")
            for value in (1.0, 2.0, 9.0):
                times.observe(value)
            told = (await client.get("/api/metrics", headers={"Authorization": f"Bearer {token}"})).json()
            found = {one["name"]: one for one in told["metrics"]}
            assert found["kith_test_total"]["rows"] == [{"labels": {"kind": "a"}, "value": 2.0}]
            assert found["kith_test_seconds"]["rows"][0] == {
                "labels": {},
                "value": 12.0,
                "count": 3,
                "p50": 2.0,
                "p95": 2.0,
            }
            assert told["process"]["memory"] > 0

    asyncio.run(story())
