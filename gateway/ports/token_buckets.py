"""The interface to the database for rate limits that all processes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate of a token bucket."""

    interval: float
    """Seconds per token."""
    burst: int = 1
    """How many tokens accumulate while none is taken."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Tokens to take of one bucket, see ``Store.take_tokens``."""

    bucket: str
    rate: Rate
    max_wait: float
    """Seconds; if the first token would be valid later, none is taken."""
    count: int = 1
    """How many tokens to take, one after the other."""


class TokenBuckets(Protocol):
    """Rate limits that all processes on one database share. Sync, thread-safe."""

    def take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        """Takes the next free token of a bucket. Does I/O; raises StoreUnavailable.

        Returns the seconds until it is free; None, and takes none, if that is more than ``max_wait``.
        """
        ...

    def take_tokens(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        """Takes tokens as ``take_token`` does, in one transaction; returns the result of each request, in order."""
        ...
