"""Says who calls an API: checks keys, and names callers for limits and budgets. Does no I/O."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from gateway.domain.errors import Unauthenticated


class ApiKeys:
    """The keys that may call. Without keys everybody may."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.owners = tuple(_owner(key.encode()) for key in keys)
        """The digest of each key: whose objects a caller may see. Empty when everybody may call."""

    def owner(self, key: str, refusal: str) -> str:
        """Returns the digest of a key that may call; "" when everybody may.

        ``key``: as its header has it, decoded as Latin-1. Raises Unauthenticated with the text ``refusal``.
        """
        if not self.owners:
            return ""
        caller = _owner(key.strip().encode("latin-1", "replace"))
        known = [owner for owner in self.owners if hmac.compare_digest(owner, caller)]
        if not known:
            raise Unauthenticated(refusal)
        return known[0]


def bearer_token(authorization: str) -> str:
    """Returns the token of a header ``Authorization: Bearer …``; "" for any other."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme.lower() == "bearer" else ""


def caller_name(owner: str, network: str) -> str:
    """Returns the name that limits and budgets know a caller by: its API key's digest, or its network without keys."""
    return f"key {owner}" if owner else f"address {network}"


def _owner(key: bytes) -> str:
    return sha256(key).hexdigest()[:32]
