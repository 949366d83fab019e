"""Settings of the security room."""

from __future__ import annotations

from pydantic import Field

from kith.runtime.settings import Section


class SecuritySettings(Section):
    """Limits on what one sender may do to this household, and how long a proof of identity is good."""

    messages_per_minute: float = Field(default=600, gt=0, description="Messages one sender may send in the long run.")
    burst: int = Field(default=300, ge=1, description="Messages one sender may send at once.")
    max_characters: int = Field(default=100_000, ge=1, description="Longest text of one message, in characters.")
    session_days: float = Field(default=30, gt=0, le=365, description="Days for which a browser stays signed in.")
    access_minutes: float = Field(default=15, gt=0, le=1440, description="Minutes for which an access token is good.")
    refresh_days: float = Field(default=30, gt=0, le=365, description="Days for which it can be renewed.")
    signing_days: float = Field(default=7, gt=0, le=365, description="Days after which tokens get a new signing key.")
    code_hours: float = Field(default=24, gt=0, le=720, description="Hours for which a one-time code is good.")
