"""Limits how many requests a caller of /chat may make per minute."""

from __future__ import annotations

import math

from adapters.http.settings import NAME
from gateway.domain.errors import Overloaded
from gateway.ports.store import Rate, TokenBuckets

MINUTE = 60.0


class RequestLimit:
    """A token bucket for each caller, counted in the database, so that all processes share it."""

    def __init__(self, per_minute: int, buckets: TokenBuckets) -> None:
        """``per_minute``: 0 for no limit."""
        self.is_set = per_minute > 0
        self._per_minute = per_minute
        self._buckets = buckets

    def check(self, caller: str) -> None:
        """Counts a request. Does I/O. Called if the limit is set.

        Raises Overloaded (``rate_limited``) when it is one too many, StoreUnavailable.
        """
        rate = Rate(MINUTE / self._per_minute, self._per_minute)
        if self._buckets.take_token(f"{NAME}:requests:{caller}", rate, max_wait=0.0) is None:
            message = f"More than {self._per_minute} requests within a minute. Come back after Retry-After seconds."
            raise Overloaded(message, code="rate_limited", retry_after=math.ceil(rate.interval))
