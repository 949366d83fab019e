"""What a channel cannot do without is asked for before it is written down, and named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kith.core.errors import Invalid
from kith.core.ports import Records
from kith.runtime.registry import Registry

Open = Callable[..., Any]


def test_every_need_is_a_setting_of_its_channel() -> None:
    shelf = Registry("channels")
    found = {
        name: manifest.details["needs"] for name, manifest in shelf.manifests().items() if "needs" in manifest.details
    }
    assert found["telegram"] == ["token"]
    for name, needs in found.items():
        cls = shelf.settings(name)
        assert cls is not None and needs and set(needs) <= set(cls.model_fields), name


def test_a_channel_without_its_token_is_refused_unless_it_is_to_be_off(house: Open) -> None:
    async def story() -> None:
        async with house() as home:
            manager = home.manager
            records: Records = manager._ports.records
            await manager.start("w")
            assert manager.about("telegram")["schema"]["required"] == ["token"]
            for given in ({}, {"token": ""}):
                with pytest.raises(Invalid) as refused:
                    await manager.conceal("telegram", given)
                assert [fault.path for fault in refused.value.faults] == ["channels.telegram.token"]
            assert not await records.all("secret")
            assert await manager.conceal("telegram", {"enabled": False}) == {"enabled": False}
            written = await manager.conceal("telegram", {"token": "1:x"})
            assert written == {"token": "${secret:channels.telegram.token}"}
            await manager.stop()

    asyncio.run(story())
