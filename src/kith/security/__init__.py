"""Security: who is at the door, what they may do, and the keys of the house."""

from kith.security.cipher import KeyRing
from kith.security.guard import HouseGuard
from kith.security.settings import SecuritySettings
from kith.security.tokens import Token, TokenAuth

__all__ = ["HouseGuard", "KeyRing", "SecuritySettings", "Token", "TokenAuth"]
