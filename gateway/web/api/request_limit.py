"""Limits how many messages a caller of the APIs may send per minute: one limit for all of them."""

from __future__ import annotations

import math
from collections import OrderedDict
from threading import Lock

from gateway.domain.errors import Overloaded
from gateway.domain.sentences import counted
from gateway.ports.token_buckets import Rate, TokenBuckets, TokenRequest
from gateway.web.api.call_limit import MAX_CALLERS, MINUTE

BUCKET = "http:requests"
BLOCKS_PER_MINUTE = 60
"""A process takes this fraction of a minute's tokens together, so that few requests cost a write."""


class RequestLimit:
    """A token bucket for each caller, counted in the database, so that all processes share it. Thread-safe.

    Tokens come in blocks: beside those of a minute, each process may let through what is left of its block.
    """

    def __init__(self, per_minute: int, buckets: TokenBuckets) -> None:
        """``per_minute``: 0 for no limit."""
        self._per_minute = per_minute
        self._block = max(1, per_minute // BLOCKS_PER_MINUTE)
        self._buckets = buckets
        self._left: OrderedDict[str, int] = OrderedDict()
        """By caller, the tokens of its last block that are left."""
        self._lock = Lock()

    def take_held(self, caller: str) -> bool:
        """Counts a request if that needs no I/O; returns whether it did."""
        if not self._per_minute:
            return True
        with self._lock:
            left = self._left.pop(caller, 0)
            if left > 1:
                self._left[caller] = left - 1
            return left > 0

    def check(self, caller: str) -> None:
        """Counts a request. Does I/O. Called if ``take_held`` did not.

        Raises Overloaded (``rate_limited``) when it is one too many, StoreUnavailable.
        """
        rate = Rate(MINUTE / self._per_minute, self._per_minute)
        request = TokenRequest(f"{BUCKET}:{caller}", rate, max_wait=0.0, count=self._block)
        if self._buckets.take_tokens([request])[0] is None:
            message = counted(
                "More than one request within a minute. Come back after Retry-After seconds.",
                "More than {count} requests within a minute. Come back after Retry-After seconds.",
                self._per_minute,
            )
            raise Overloaded(message, code="rate_limited", retry_after=math.ceil(rate.interval * self._block))
        if self._block > 1:
            self._keep(caller)

    def _keep(self, caller: str) -> None:
        with self._lock:
            self._left[caller] = self._left.pop(caller, 0) + self._block - 1
            if len(self._left) > MAX_CALLERS:
                self._left.popitem(last=False)
