"""Settings of the security room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from kith.runtime.settings import Section

CATEGORIES = ("self_harm", "minors", "sexual", "violence", "hate", "illegal", "fraud", "injection")
Mode = Literal["off", "mark", "refuse"]


class FilterSettings(Section):
    """The content filter. ``mark`` counts and logs what is noticed, ``refuse`` does not answer it or cuts it off."""

    incoming: Mode = Field(default="refuse", description="What happens to a message that asks for harm.")
    outgoing: Mode = Field(default="mark", description="What happens to a reply that gives it.")
    thresholds: dict[str, float] = Field(
        default_factory=dict[str, float], description="How sure it has to be, by category; 0.5 for those not named."
    )
    programs: bool = Field(
        default=True,
        description="Whether programs that ask a model by its name meet the filters too, also of leaks.",
    )
    words: list[str] = Field(default_factory=list[str], description="Words of your own that are not let through.")
    allow: list[str] = Field(default_factory=list[str], description="Words that are not looked at.")

    @field_validator("thresholds")
    @classmethod
    def _known(cls, found: dict[str, float]) -> dict[str, float]:
        for name, value in found.items():
            if name not in CATEGORIES:
                raise ValueError(f"{name!r} is no category; there are {', '.join(CATEGORIES)}")
            if not 0.0 < value <= 1.0:
                raise ValueError(f"the threshold of {name} has to be above 0 and at most 1")
        return found


class OidcSettings(Section):
    """Single sign-on by OpenID Connect. Closed by default: only values that `roles` names are let in."""

    issuer: str = Field(
        default="",
        pattern=r"^(https://\S+|http://(localhost|127\.0\.0\.1)(:\d+)?(/\S*)?)?$",
        description="The provider's address, exactly as it calls itself; empty: off.",
    )
    client_id: str = Field(default="", description="What the provider calls this household.")
    client_secret: SecretStr = Field(default=SecretStr(""), description="Its secret there; write ${NAME}.")
    scopes: list[str] = Field(default=["openid", "profile", "email"], description="What is asked for.")
    role_claim: str = Field(default="groups", description="The claim whose values decide about roles.")
    roles: dict[str, Literal["admin", "member", "guest"]] = Field(
        default_factory=dict[str, Literal["admin", "member", "guest"]],
        description="Role by value of that claim; whoever has none of these values is not let in.",
    )

    link_by_mail: bool = Field(
        default=False,
        description="Whether an address that the provider has verified opens the account whose name is that address.",
    )

    @model_validator(mode="after")
    def _whole(self) -> OidcSettings:
        if self.issuer and not self.client_id:
            raise ValueError("client_id is needed with an issuer")
        return self


class SecuritySettings(Section):
    """Limits on what one sender may do to this household, and how long a proof of identity is good."""

    messages_per_minute: float = Field(default=600, gt=0, description="Messages one sender may send in the long run.")
    burst: int = Field(default=300, ge=1, description="Messages one sender may send at once.")
    max_characters: int = Field(default=100_000, ge=1, description="Longest text of one message, in characters.")
    session_days: float = Field(default=30, gt=0, le=365, description="Days for which a browser stays signed in.")
    access_minutes: float = Field(default=15, gt=0, le=1440, description="Minutes for which an access token is good.")
    refresh_days: float = Field(default=30, gt=0, le=365, description="Days for which it can be renewed.")
    signing_days: float = Field(default=7, gt=0, le=365, description="Days after which tokens get a new signing key.")
    second_factor: Literal["auto", "admins", "all", "off"] = Field(
        default="auto",
        description="Who has to have an authenticator or a passkey; auto: admins, when others can reach the door.",
    )
    oidc: OidcSettings = Field(default_factory=OidcSettings)
    code_hours: float = Field(default=24, gt=0, le=720, description="Hours for which a one-time code is good.")
    filter: FilterSettings = Field(default_factory=FilterSettings)
