"""Secrets of channels: kept apart from the settings file, put in when a channel starts, forgotten with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from kith.channels import ChannelsSettings, check_channels
from kith.channels.kit import Notes
from kith.channels.vault import Vault, refers, secret_names
from kith.core.channel import Hook
from kith.core.errors import Invalid
from kith.runtime.registry import Registry

Open = Callable[..., Any]
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def wecom(**more: Any) -> dict[str, Any]:
    return {"corp": "c", "agent": 1, "secret": "very secret", "token": "tok", "key": KEY, "enabled": False, **more}


def test_which_settings_are_secrets() -> None:
    shelf = Registry("channels")
    names = {name: secret_names(cls.model_json_schema()) for name in ("wecom", "telegram", "slack", "email", "mqtt")
             if (cls := shelf.settings(name)) is not None}  # fmt: skip
    assert names["wecom"] == ["secret", "token", "key"] and {"token", "secret"} <= set(names["telegram"])
    assert names["slack"] == ["token", "app_token", "signing_secret"] and names["mqtt"] == ["password"]
    assert "keepalive" not in names["mqtt"]


def test_nothing_secret_is_written_and_all_of_it_comes_back(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            manager, records = home.manager, home.manager._ports.records
            await manager.start("w")
            written = await manager.conceal("wecom", wecom())
            assert "very secret" not in json.dumps(written) and KEY not in json.dumps(written)
            assert written["secret"] == "${secret:channels.wecom.secret}" and written["corp"] == "c"
            await manager.configure("wecom", written)
            assert manager.check("wecom", written)["key"] == KEY
            again = await manager.conceal("wecom", {"corp": "d", "agent": 2, "enabled": False, "token": "new"})
            assert again["key"] == written["key"] and manager.check("wecom", again)["secret"] == "very secret"
            assert manager.check("wecom", again)["token"] == "new"
            with pytest.raises(Invalid):
                await manager.conceal("wecom", wecom(key="too short"))
            await manager.configure("wecom", None)
            assert not await records.all("secret")
            with pytest.raises(Invalid, match="give it again"):
                manager.check("wecom", written)
            await manager.stop()

    asyncio.run(story())


def test_a_reference_passes_the_check_of_the_file_and_a_missing_secret_stops_only_its_channel(house: Open) -> None:
    given = wecom(key="${secret:channels.wecom.key}", enabled=True)
    check_channels(ChannelsSettings.model_validate({"wecom": given}), Registry("channels"))

    async def story() -> None:
        async with house(wecom=given) as home:
            await home.manager.start("w")
            told = home.manager.about("wecom")
            assert told["state"] == "failed" and "channels.wecom.key" in told["note"]
            assert home.manager.about("web")["state"] == "ready"
            await home.manager.stop()

    asyncio.run(story())


def test_a_vault_leaves_references_alone_and_survives_a_start() -> None:
    async def story() -> None:
        records = Notes()
        vault, schema = Vault(records), {"properties": {"token": {"type": "string"}, "name": {"type": "string"}}}
        assert await vault.conceal("channels.x", {"token": "${X}", "name": "n"}, schema) == {
            "token": "${X}",
            "name": "n",
        }
        written = await vault.conceal("channels.x", {"token": "t", "name": "n"}, schema)
        assert refers(written["token"]) and not refers("t") and not refers(3)
        another = Vault(records)
        await another.load()
        assert another.revealed("channels.x", {"deep": [{"token": written["token"]}]}) == {"deep": [{"token": "t"}]}
        await another.forget("channels.x")
        assert await records.all("secret") == {}

    asyncio.run(story())


def test_what_nobody_understood_can_be_looked_at(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            await home.manager.start("w")
            await home.manager._aside.keep("wecom", Hook("POST", headers={"cookie": "x"}, body=b"\xff<xml>"), "not XML")
            (row,) = await home.manager.kept("wecom")
            assert row["reason"] == "not XML" and row["headers"] == {} and await home.manager.kept("slack") == []
            await home.manager.stop()

    asyncio.run(story())
