"""Security: who is at the door, what they may do, and the keys of the house."""

from kith.security.cipher import KeyRing
from kith.security.guard import HouseGuard
from kith.security.identity import Identity, Proof
from kith.security.settings import SecuritySettings

__all__ = ["HouseGuard", "Identity", "KeyRing", "Proof", "SecuritySettings"]
