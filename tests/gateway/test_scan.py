"""Setting a channel up by a QR code over the API, against an emulator of its platform."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kith.channels import ChannelManager, ChannelPorts, ChannelsSettings
from kith.gateway import Gateway, GatewaySettings
from kith.runtime.edits import Edits
from kith.settings import Settings
from tests.channels.emulators.ilink import OWNER, TOKEN, confirmed, ilink

pytestmark = pytest.mark.server


class Nothing:
    """An outbox without replies."""

    async def take(self, worker: str, limit: int) -> tuple[()]:
        return ()


def test_a_channel_is_set_up_by_a_scan(build: Any, tmp_path: Path) -> None:
    async def story() -> None:
        house = build()
        ports = house.ports
        doors = ChannelPorts(ports.talk, Nothing(), ports.store, ports.streams, ports.health)  # pyright: ignore
        manager = ChannelManager(doors, ChannelsSettings(), house.clock, ports.ids)
        edits = Edits(Settings, tmp_path / "kith.yaml", Settings(), house.log)
        house.gateway = Gateway(replace(ports, channels=manager, preferences=edits), GatewaySettings(port=0))
        async with ilink() as platform, house.client("admin") as client:
            start = {"base": platform.url, "cdn": f"{platform.url}/c2c"}
            assert (await client.post("/api/channels/loopback/scan", json={})).status_code == 404
            assert (await client.post("/api/channels/ilink/scan", json={"poll": 1})).status_code == 400
            begun = await client.post("/api/channels/ilink/scan", json=start)
            assert begun.status_code == 201, begun.text
            told = begun.json()
            assert (told["state"], told["picture"]) == ("waiting", "https://w/q1") and told["svg"].startswith("<svg")
            platform.statuses = [{"status": "need_verifycode"}, confirmed(platform.url)]
            path = f"/api/channels/ilink/scan/{told['scan']}"
            assert (await client.post(path)).json()["state"] == "code"
            done = await client.post(path, json={"code": "4711"})
            assert done.json()["state"] == "done" and TOKEN not in done.text and platform.asked == ["", "4711"]
            assert (await client.post(path)).status_code == 404
            one = next(row for row in (await client.get("/api/channels")).json()["channels"] if row["name"] == "ilink")
            assert (one["configured"], one["state"], one["scan"]) == (True, "ready", True)
            written = (tmp_path / "kith.yaml").read_text("utf-8")
            assert OWNER in written and platform.url in written and TOKEN not in written
            assert "${secret:channels.ilink.token}" in written
            assert [act.name for act in house.log.acts if act.name.startswith("settings")] == ["settings.change"]
            await manager.stop()
        async with house.client("member") as client:
            assert (await client.post("/api/channels/ilink/scan", json={})).status_code == 403

    asyncio.run(story())
