"""An opened letter, to an envelope. Media are named by their media id until the channel has fetched them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kith.channels.kit import Arrival, read_letter
from kith.core.message import Envelope

NAME = "wecom"


def parse(raw: str | bytes | Mapping[str, Any], arrival: Arrival) -> Envelope | None:
    """The message in an XML letter; None for events (joined, left, opened). Raises `Invalid`."""
    return read_letter(raw, arrival, NAME)
