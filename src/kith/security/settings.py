"""Settings of the security room."""

from __future__ import annotations

from pydantic import Field

from kith.runtime.settings import Section


class SecuritySettings(Section):
    """Limits on what one sender may do to this household."""

    messages_per_minute: float = Field(default=600, gt=0, description="Messages one sender may send in the long run.")
    burst: int = Field(default=300, ge=1, description="Messages one sender may send at once.")
    max_characters: int = Field(default=100_000, ge=1, description="Longest text of one message, in characters.")
