"""Says who calls an API: checks keys, and names callers for limits and budgets. Does no I/O."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from gateway.configuration import ApiKey
from gateway.domain.errors import Unauthenticated


class ApiKeys:
    """The keys that may call. Without keys everybody may."""

    def __init__(self, keys: Sequence[str], bound: Callable[[], Sequence[ApiKey]] = tuple) -> None:
        """``bound``: returns the keys that are bound to assistants and valid now, the same object until they change.

        ``keys`` may have those too, as they were at the start: one that is bound no longer is valid no longer.
        """
        self._bound = bound
        self._read: tuple[Sequence[ApiKey], Mapping[str, Sequence[str]]] = ((), {})
        """The bound keys as they were when somebody last asked, and the assistants of their owners."""
        self._owners = tuple(owner for owner in map(owner_of, keys) if owner not in self._assistants())

    @property
    def owners(self) -> Sequence[str]:
        """The digest of each key: whose objects a caller may see. Empty when everybody may call."""
        return (*self._owners, *self._assistants())

    def assistants_of(self, owner: str) -> Sequence[str]:
        """Returns the names of the assistants that a key may use, the first of them by default; empty: all."""
        return self._assistants().get(owner, ())

    def name_of(self, owner: str) -> str:
        """Returns what the operator calls a key; empty for one without a name, and for nobody."""
        named = (each.name for each in self._bound() if owner_of(each.key.get_secret_value()) == owner)
        return next(named, "")

    def owner(self, key: str, refusal: str) -> str:
        """Returns the digest of a key that may call; "" when everybody may.

        ``key``: as its header has it, decoded as Latin-1. Raises Unauthenticated with the text ``refusal``.
        """
        owners = self.owners
        if not owners:
            return ""
        caller = _digest(key.strip().encode("latin-1", "replace"))
        known = [owner for owner in owners if hmac.compare_digest(owner, caller)]
        if not known:
            raise Unauthenticated(refusal)
        return known[0]

    def describe(self) -> str:
        """Returns how many keys there are, for ``check``."""
        count = len(self.owners)
        return (
            f"{count} API key{'s' if count > 1 else ''}" if count else "open to everybody: GATEWAY_API_KEYS is not set"
        )

    def _assistants(self) -> Mapping[str, Sequence[str]]:
        """Returns the assistants of the bound keys, by owner."""
        bound, (known, assistants) = self._bound(), self._read
        if bound is not known:
            assistants = {owner_of(each.key.get_secret_value()): each.assistants for each in bound}
            self._read = bound, assistants
        return assistants


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
