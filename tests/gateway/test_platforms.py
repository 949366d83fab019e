"""Channels through the door: secrets stay behind it, and who looks at what nobody understood is written down."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from kith.core.audit import By
from kith.core.errors import Fault, Invalid, NotFound
from kith.gateway import Gateway, GatewaySettings

Build = Callable[..., Any]


class Platforms:
    """Stands in for the channels and for the settings file."""

    def __init__(self) -> None:
        self.written: dict[str, Any] = {}
        self.configured: list[Any] = []
        self.file: dict[str, Any] = {}
        self.locale = ""
        self.lacking: tuple[Fault, ...] = ()

    def about(self, name: str) -> Mapping[str, Any]:
        if name != "chat":
            raise NotFound(f"there is no {name}")
        pin = {"type": "string", "format": "password", "writeOnly": True}
        return {"name": name, "state": "ready", "note": "", "schema": {"properties": {"pin": pin}}}

    def describe(self) -> Sequence[Mapping[str, Any]]:
        form = {"title": "ChatSettings", "properties": {"enabled": {"type": "boolean", "description": "Is on."}}}
        return [{**self.about("chat"), "schema": form}, {"name": "formless"}]

    async def conceal(self, name: str, settings: Mapping[str, Any], locale: str = "") -> Mapping[str, Any]:
        self.about(name)
        self.locale = locale
        if self.lacking:
            raise Invalid("no", faults=self.lacking, code="channel_needs")
        return {**settings, **({"token": "${secret:channels.chat.token}"} if settings.get("token") else {})}

    async def configure(self, name: str, settings: Mapping[str, Any] | None) -> Mapping[str, Any]:
        self.configured.append(settings)
        return self.about(name)

    async def kept(self, name: str) -> Sequence[Mapping[str, Any]]:
        self.about(name)
        body = base64.b64encode(b"\xff<xml>\x00").decode()
        return [{"at": 1.0, "method": "POST", "headers": {}, "body": body, "reason": "not XML"}]

    def section(self, place: str) -> Mapping[str, Any]:
        assert place == "channels.chat"
        return self.file

    async def change(self, changes: Mapping[str, Any], by: By) -> Sequence[str]:
        self.written |= changes
        return list(changes)


def opened(build: Build) -> tuple[Any, Platforms]:
    house, platforms = build(), Platforms()
    ports = dataclasses.replace(house.ports, channels=platforms, preferences=platforms)
    house.gateway = Gateway(ports, GatewaySettings(port=0))
    return house, platforms


def test_a_token_reaches_neither_the_file_nor_the_running_settings_in_plain_words(build: Build) -> None:
    async def story() -> None:
        house, platforms = opened(build)
        async with house.client() as client:
            answer = await client.put("/api/channels/chat", json={"token": "very secret", "name": "x"})
            assert answer.status_code == 200, answer.text
        assert platforms.written == {"channels.chat": {"token": "${secret:channels.chat.token}", "name": "x"}}
        assert platforms.configured == [platforms.written["channels.chat"]]

    asyncio.run(story())


def test_what_a_channel_lacks_is_named_in_the_language_of_the_request(build: Build) -> None:
    async def story() -> None:
        house, platforms = opened(build)
        async with house.client() as client:
            for wanted, locale in (("zh-CN,zh;q=0.9", "zh-CN,zh;q=0.9"), ("", "en")):
                headers = {"Accept-Language": wanted}
                assert (await client.put("/api/channels/chat", json={}, headers=headers)).status_code == 200
                assert platforms.locale == locale
            platforms.lacking = (Fault("channels.chat.pin", "is empty"),)
            for path, body in (("", {"name": "x"}), ("/settings", {"changes": {"name": "x"}})):
                answer = await client.put(f"/api/channels/chat{path}", json=body)
                assert answer.status_code == 400 and answer.json()["error"]["code"] == "channel_needs"
                assert answer.json()["error"]["faults"] == [
                    {"path": "channels.chat.pin", "reason": "is empty", "line": 0}
                ]
        assert len(platforms.configured) == 2

    asyncio.run(story())


def test_a_form_is_explained_in_the_language_that_was_asked_for(build: Build) -> None:
    async def story() -> None:
        house, _ = opened(build)
        async with house.client() as client:
            for asked, wanted in (("", "Is on."), ("?locale=en-GB", "Is on."), ("?locale=zh-CN", "通道是否")):
                chat, formless = (await client.get(f"/api/channels{asked}")).json()["channels"]
                assert chat["schema"]["properties"]["enabled"]["description"].startswith(wanted), asked
                assert formless == {"name": "formless"}

    asyncio.run(story())


def test_only_administrators_look_at_what_was_laid_aside_and_it_is_written_down(build: Build) -> None:
    async def story() -> None:
        house, _ = opened(build)
        async with house.client("admin") as client:
            told = (await client.get("/api/channels/chat/kept")).json()
            assert told["channel"] == "chat"
            assert told["calls"][0] | {"size": 7, "text": "\ufffd<xml>\ufffd", "reason": "not XML"} == told["calls"][0]
            assert (await client.get("/api/channels/none/kept")).status_code == 404
        acts = [(act.name, act.subject, act.detail) for act in house.log.acts if act.name == "channel.kept"]
        assert acts == [("channel.kept", "chat", {"calls": "1"})]
        async with house.client("member") as client:
            assert (await client.get("/api/channels/chat/kept")).status_code == 403

    asyncio.run(story())


FILE = {
    "token": "${secret:channels.chat.token}", "pin": "4711", "host": "example.org", "poll": 25, "proxy": "${PROXY}",
    "enabled": True, "allow": ["a", "b"], "headers": {"Authorization": "Bearer x"},
}  # fmt: skip
MASK = "********"


def test_a_form_is_given_the_settings_but_no_secret(build: Build) -> None:
    async def story() -> None:
        house, platforms = opened(build)
        async with house.client("admin") as client:
            assert (await client.get("/api/channels/chat/settings")).json()["settings"] == {}
            platforms.file = dict(FILE)
            told = (await client.get("/api/channels/chat/settings")).json()
            assert told == {"channel": "chat", "settings": FILE | {"token": MASK, "pin": MASK, "headers": MASK}}
            assert (await client.get("/api/channels/none/settings")).status_code == 404
        async with house.client("member") as client:
            assert (await client.get("/api/channels/chat/settings")).status_code == 403
            assert (await client.put("/api/channels/chat/settings", json={"changes": {}})).status_code == 403

    asyncio.run(story())


def test_only_what_was_changed_is_written_and_the_channel_runs_with_the_whole(build: Build) -> None:
    async def story() -> None:
        house, platforms = opened(build)
        platforms.file = dict(FILE)
        changes = {"host": "example.net", "poll": None, "token": MASK, "headers": MASK, "names": ["Kith"]}
        async with house.client() as client:
            answer = await client.put("/api/channels/chat/settings", json={"changes": changes})
            assert answer.status_code == 200, answer.text
            written = {"host": "example.net", "poll": None, "names": ["Kith"]}
            assert platforms.written == {f"channels.chat.{key}": value for key, value in written.items()}
            whole = {key: value for key, value in (FILE | written).items() if key != "poll"}
            assert platforms.configured == [whole]
            platforms.written.clear()
            answer = await client.put("/api/channels/chat/settings", json={"changes": {"pin": None, "token": "new"}})
            assert platforms.written == {"channels.chat.pin": ""} and "new" not in str(platforms.configured)

    asyncio.run(story())


@pytest.mark.parametrize("body", [{}, {"changes": None}, {"changes": []}, {"changes": {"allow": ["a", MASK]}}, [1]])
def test_changes_that_make_no_sense_change_nothing(build: Build, body: Any) -> None:
    async def story() -> None:
        house, platforms = opened(build)
        async with house.client() as client:
            assert (await client.put("/api/channels/chat/settings", json=body)).status_code == 400
            assert (await client.put("/api/channels/none/settings", json={"changes": {}})).status_code == 404
        assert not platforms.written and not platforms.configured

    asyncio.run(story())
