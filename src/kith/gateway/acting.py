"""Who acts in a request, and from where: for the audit log and for limits."""

from __future__ import annotations

from kith.core.audit import By
from kith.gateway.body import Call


def acting(request: Call) -> By:
    """The principal of a request and its address."""
    return By(request.user.id, origin(request))


def origin(request: Call) -> str:
    """The address that a request comes from."""
    return request.client.host if request.client else "console"
