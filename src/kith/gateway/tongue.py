"""The language of a request, and what is said in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from kith.core.errors import Invalid
from kith.gateway.body import Call
from kith.runtime.faults import translated


def tongue(request: Call) -> str:
    """The query's ``locale``, else the language that the caller's ``Accept-Language`` begins with, else English."""
    asked = request.query_params.get("locale", "").strip() or request.headers.get("accept-language", "").strip()
    return asked[:35] or "en"


@contextmanager
def refusing(request: Call) -> Generator[None]:
    """Mistakes in settings are named in the language of the request."""
    try:
        yield
    except Invalid as error:
        raise translated(error, tongue(request)) from None
