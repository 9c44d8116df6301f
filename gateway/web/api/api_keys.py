"""Says who calls an API: checks keys, and names callers for limits and budgets. Does no I/O."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from gateway.domain.errors import Unauthenticated


class ApiKeys:
    """The keys that may call. Without keys everybody may."""

    def __init__(self, keys: Sequence[str], bound: Callable[[], Mapping[str, Sequence[str]]] = dict) -> None:
        """``bound``: returns further keys that are valid now, by owner, and the assistants that each may use."""
        self._owners = tuple(map(owner_of, keys))
        self._bound = bound

    @property
    def owners(self) -> Sequence[str]:
        """The digest of each key: whose objects a caller may see. Empty when everybody may call."""
        bound = self._bound()
        return (*(owner for owner in self._owners if owner not in bound), *bound)

    def assistants_of(self, owner: str) -> Sequence[str]:
        """Returns the names of the assistants that a key may use, the first of them by default; empty: all."""
        return self._bound().get(owner, ())

    def owner(self, key: str, refusal: str) -> str:
        """Returns the digest of a key that may call; "" when everybody may. Raises as ``matching_owner``."""
        return matching_owner(self.owners, key, refusal)


def matching_owner(owners: Sequence[str], key: str, refusal: str) -> str:
    """Returns the digest of a key if it is among these; "" if there are none.

    ``key``: as its header has it, decoded as Latin-1. Raises Unauthenticated with the text ``refusal``.
    """
    if not owners:
        return ""
    caller = _digest(key.strip().encode("latin-1", "replace"))
    known = [owner for owner in owners if hmac.compare_digest(owner, caller)]
    if not known:
        raise Unauthenticated(refusal)
    return known[0]


def owner_of(key: str) -> str:
    """Returns the digest of a key, by which what its holder makes is kept."""
    return _digest(key.encode())


def bearer_token(authorization: str) -> str:
    """Returns the token of a header ``Authorization: Bearer …``; "" for any other."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme.lower() == "bearer" else ""


def caller_name(owner: str, network: str) -> str:
    """Returns the name that limits and budgets know a caller by: its API key's digest, or its network without keys."""
    return f"key {owner}" if owner else f"address {network}"


def _digest(key: bytes) -> str:
    return sha256(key).hexdigest()[:32]
