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
        self._per_minute = per_minute
        self._buckets = buckets

    def check(self, caller: str) -> None:
        """Counts a request. Does I/O if there is a limit.

        Raises Overloaded (``rate_limited``) when it is one too many, StoreUnavailable.
        """
        if not self._per_minute:
            return
        rate = Rate(MINUTE / self._per_minute, self._per_minute)
        if self._buckets.take_token(f"{NAME}:requests:{caller}", rate, max_wait=0.0) is None:
            message = f"More than {self._per_minute} requests within a minute. Come back after Retry-After seconds."
            raise Overloaded(message, code="rate_limited", retry_after=math.ceil(rate.interval))
