"""The OpenAPI description is the truth: whatever is made from it is answered as it says.

Requests are made by schemathesis from every operation, as the description allows them and as it does not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.gateway.conftest import House

pytestmark = pytest.mark.server
EXAMPLES = 8


def no_bug(context: Any, answer: Any, case: Any) -> None:
    """501 and 503 are said on purpose, and only where they are declared."""
    del context, case
    assert answer.status_code in (501, 503) or answer.status_code < 500, answer.text


CHECKS = [no_bug, status_code_conformance, content_type_conformance]


class Running:
    """A household of fakes in a thread of its own, as requests are made by a client that waits."""

    def __init__(self) -> None:
        self._up, self._stop = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.address = self.token = ""
        self.document: dict[str, Any] = {}

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        house = House()
        async with house.serving() as (self.address, self.token), house.client() as client:
            self.document = (await client.get("/openapi.json")).json()
            self._up.set()
            await self._stop.wait()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._up.wait(90)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(90)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with Running() as server:
        yield server


def operations() -> list[Any]:
    """Every operation of the description with what is valid, and with what is not where anything of it can be wrong."""

    async def read() -> dict[str, Any]:
        async with House().client() as client:
            return (await client.get("/openapi.json")).json()

    paths = asyncio.run(read())["paths"]
    cases: list[Any] = []
    for method, path, told in ((method, path, told) for path, found in paths.items() for method, told in found.items()):
        asked = "requestBody" in told or any(one["in"] == "query" for one in told.get("parameters", ()))
        cases.append(pytest.param(method, path, GenerationMode.POSITIVE, id=f"{method}-{path}-valid"))
        if asked:
            cases.append(pytest.param(method, path, GenerationMode.NEGATIVE, id=f"{method}-{path}-invalid"))
    return cases


@pytest.mark.parametrize(("method", "path", "mode"), operations())
def test_an_operation_answers_as_described(running: Running, method: str, path: str, mode: Any) -> None:
    schema = schemathesis.openapi.from_dict(running.document)
    operation = schema[path][method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        headers = {"Authorization": f"Bearer {running.token}"}
        answer = case.call(base_url=running.address, headers=headers, timeout=90)
        case.validate_response(answer, checks=CHECKS)

    ask()
