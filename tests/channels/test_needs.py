"""What a channel cannot do without is asked for before it is written down, and named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kith.channels import ChannelsSettings, check_channels
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


CALLS, LONG = {"mode": "calls"}, "a-secret-of-the-tests"
SLACK = {"token": "xoxb-1"}
FEISHU = {"app": "cli_1", "secret": "x"}
TELEGRAM = {"token": "1:x", "mode": "calls"}
PHONES = {"password": "x", "url": "http://kith.example/hooks"}
META = {"number": "1", "token": "x", "secret": "x", "verify": "x"}
MATRIX = {"homeserver": "https://home.test", "user": "@kith:home.test"}


@pytest.mark.parametrize(
    ("name", "given", "lacking", "more"),
    [
        ("slack", SLACK, ["app_token", "signing_secret"], {"app_token": "xapp-1"}),
        ("slack", SLACK, ["app_token", "signing_secret"], {"signing_secret": "x"}),
        ("feishu", {**FEISHU, "secret": ""}, ["secret"], FEISHU),
        ("feishu", {**FEISHU, **CALLS}, ["encrypt_key"], {"encrypt_key": "x"}),
        ("feishu", {**FEISHU, **CALLS}, ["encrypt_key"], {"mode": "socket"}),
        ("telegram", TELEGRAM, ["url", "secret"], {"url": "https://kith.example/x", "secret": LONG}),
        ("telegram", {**TELEGRAM, "url": "https://kith.example/x", "secret": "short"}, ["secret"], {"secret": LONG}),
        ("imessage", PHONES, ["secret"], {"secret": LONG}),
        ("imessage", {**PHONES, "secret": "short"}, ["secret"], {"url": ""}),
        ("onebot", {"url": "http://127.0.0.1:1"}, ["url"], {"url": "ws://127.0.0.1:1"}),
        ("onebot", CALLS, ["url", "secret"], {"url": "http://127.0.0.1:1", "secret": LONG}),
        ("onebot", {"mode": "server", "listen": "0.0.0.0:1"}, ["token"], {"listen": "127.0.0.1:1"}),
        ("whatsapp", {"number": "1"}, ["token", "secret", "verify"], META),
        ("irc", {"host": "h", "sasl_user": "kith"}, ["sasl_password"], {"sasl_password": "x"}),
        ("xmpp", {"jid": "kith"}, ["jid"], {"jid": "kith@home.test"}),
        ("matrix", {**MATRIX, "user": "kith"}, ["user"], MATRIX),
        ("dingtalk", {"app": "a", "secret": ""}, ["secret"], {"secret": "x"}),
    ],
)
def test_what_a_channel_needs_because_of_its_other_settings_is_asked_for(
    house: Open, name: str, given: dict[str, Any], lacking: list[str], more: dict[str, Any]
) -> None:
    async def story() -> None:
        async with house() as home:
            with pytest.raises(Invalid) as refused:
                await home.manager.conceal(name, given)
            assert refused.value.code == "channel_needs" and "enabled: false" in refused.value.hint
            assert [fault.path for fault in refused.value.faults] == [f"channels.{name}.{key}" for key in lacking]
            assert not await home.manager._ports.records.all("secret")
            assert await home.manager.conceal(name, {**given, "enabled": False})
            assert await home.manager.conceal(name, {**given, **more})
            with pytest.raises(Invalid, match="cannot be used"):  # the settings file says the same when it is checked
                check_channels(ChannelsSettings.model_validate({name: given}), Registry("channels"), whole=True)

    asyncio.run(story())


def test_what_is_lacking_is_told_in_the_language_of_whoever_asks(house: Open) -> None:
    async def story(locale: str) -> Invalid:
        async with house() as home:
            with pytest.raises(Invalid) as refused:
                await home.manager.conceal("slack", SLACK, locale)
            return refused.value

    english, chinese = (asyncio.run(story(locale)) for locale in ("en-GB,en;q=0.9", "zh-CN,zh;q=0.9"))
    assert [fault.reason for fault in english.faults] == [
        "is empty: set it, or signing_secret instead", "is empty: set it, or app_token instead",
    ]  # fmt: skip
    assert "或改填 signing_secret" in chinese.faults[0].reason and "通道 slack" in chinese.message


def test_a_channel_that_lacks_something_keeps_no_household_from_starting(house: Open) -> None:
    async def story() -> None:
        async with house(feishu={**FEISHU, **CALLS}) as home:
            await home.manager.start("w")
            await home.until(lambda: "encrypt_key" in home.manager.about("feishu")["note"])
            assert home.manager.about("web")["state"] == "ready"
            await home.manager.stop()

    asyncio.run(story())


def test_what_is_known_elsewhere_is_not_judged() -> None:
    kept = {**TELEGRAM, "url": "https://kith.example/x", "secret": "${X}"}
    named = {"slack": {"token": "${T}", "app_token": "${secret:channels.slack.app_token}"}, "telegram": kept}
    check_channels(ChannelsSettings.model_validate(named), Registry("channels"), whole=True)
    half: dict[str, Any] = {"slack": SLACK, "irc": {}, "feishu": {**FEISHU, **CALLS}}
    check_channels(ChannelsSettings.model_validate(half), Registry("channels"))
    off = {name: {**given, "enabled": False} for name, given in half.items()}
    check_channels(ChannelsSettings.model_validate(off), Registry("channels"), whole=True)
