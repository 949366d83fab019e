"""What a password costs whoever would guess it."""

from __future__ import annotations

import pytest

from kith.core.errors import Invalid
from kith.security.passwords import check_password, hash_password


def test_a_password_is_kept_at_the_cost_that_was_recommended() -> None:
    kept = hash_password("three or four words")
    assert (kept["n"], kept["r"], kept["p"]) == (2**14, 8, 5)  # OWASP Password Storage Cheat Sheet, 2023
    assert kept["salt"] != hash_password("three or four words")["salt"]
    assert check_password("three or four words", kept)
    assert not check_password("three or four wordS", kept)
    assert not check_password("three or four words", None)


@pytest.mark.parametrize("password", ["", "nine char", "x" * 201])
def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(Invalid, match="cannot be taken"):
        hash_password(password)
