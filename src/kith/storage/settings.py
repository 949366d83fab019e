"""The section `storage` of kith.yaml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kith.runtime.settings import Section, home


class StorageSettings(Section):
    """Where messages, turns and people are kept, and for how long."""

    backend: str = Field(default="sqlite", description="Which backend keeps the data: sqlite, postgres or memory.")
    path: Path = Field(
        default_factory=lambda: home() / "data" / "kith.db", description="The file of the embedded backend."
    )
    dsn: str = Field(
        default="", description="The address of the database server, for a backend that has one.", repr=False
    )
    media_limit: int = Field(
        default=2 * 1024**3,
        ge=0,
        description="Bytes of pictures, sounds and files of messages that are kept; beyond it the oldest go.",
    )
    lease_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="How long a worker may be silent, in seconds."
    )
    dedup_days: float = Field(
        default=7.0,
        ge=7,
        le=3650,
        description="Days for which a repeated delivery is recognised and sent replies are kept.",
    )
    waiting_limit: int = Field(
        default=20_000,
        ge=1,
        description="Unanswered messages above which new ones are refused before they are acknowledged.",
    )
    queue_limit: int = Field(default=4096, ge=1, description="Operations that may wait for the disk at one moment.")
    pool: int = Field(default=8, ge=2, le=200, description="Connections to a database server.")
    turn_cache: int = Field(
        default=2000,
        ge=0,
        description="Turns kept decoded in memory; a conversation's last 100 rounds are read through it.",
    )
